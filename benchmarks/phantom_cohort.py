"""Claim: on patients with known truth, what the picture shows is predicted near its ceiling, the rest is not trusted.

A cohort of phantoms, one patient left out at a time, encoder "morphology", so that nothing is needed but the package.
Genes of the families cell_type and domain follow what the picture shows; all others do not depend on it. The oracles
show what limits the heads: the expected expression itself; a ridge that is given the true shares of cell types and the
domain under each spot; and one that is given the domain and the nuclei under it by type.
"""

import argparse

import numpy as np

from histoscribe.encoders import build_encoder, embed, load_card
from histoscribe.expression.ceiling import noise_ceiling
from histoscribe.expression.measured import Measured
from histoscribe.expression.targets import make_target
from histoscribe.graph.lattice import lattice_graph
from histoscribe.io import read_section
from histoscribe.numerics.correlation import columnwise_pearson
from histoscribe.phantom import Phantom, cohort, make_phantom, write_spaceranger
from histoscribe.predict import HEADS
from histoscribe.predict.context import Context, feature_blocks
from histoscribe.predict.data import Observed
from histoscribe.predict.evaluate import MEMBERS_MEAN, FoldSettings, evaluate_fold
from histoscribe.predict.gene_card import LEAST_SKILL
from histoscribe.predict.head import Inputs
from histoscribe.predict.splits import outer_folds
from support.expression import KEPT

PATIENTS, SIZE_UM, SEED = 6, 2400.0, 11
MEMBERS = ("ridge", "lowrank")


class Cohort:
    """Sections as the heads' inputs, and their truth."""

    def __init__(self, context: Context, n_genes: int, seed: int) -> None:
        self.observed: dict[str, Observed] = {}
        self.expected: dict[str, np.ndarray] = {}  # (n, g) ln(1 + expected counts per 10,000)
        self.truth: dict[str, dict[str, np.ndarray]] = {}
        self.seed = seed
        for phantom in cohort(PATIENTS, like=make_phantom(seed, size_um=SIZE_UM, n_genes=n_genes)):
            self._add(phantom, context)
            self.var = phantom.programmes.var

    def _add(self, phantom: Phantom, context: Context) -> None:
        folder = KEPT / "phantom_cohort" / f"{self.seed}_{SIZE_UM:g}_{phantom.n_genes}_{phantom.name}"
        if not folder.exists():
            write_spaceranger(phantom, folder)
        section, truth = read_section(folder), phantom.spots()
        rows = truth.obs_names.get_indexer(section.spots.obs_names)
        graph = lattice_graph(section.xy_um, kind="hex", pitch_um=section.lattice.pitch_um)
        encoder = build_encoder(load_card("morphology"))
        embeddings = {
            ("morphology", side): embed(
                section.require_image(),
                section.xy_px,
                encoder,
                tile_um=side,
                folder=folder.with_name(f"{folder.name}_{side:g}.zarr"),
            )
            for side in context.tile_um
        }
        counts, genes = section.spots.X.astype(np.float64).tocsr(), tuple(section.spots.var_names)
        name = phantom.name
        self.observed[name] = Observed(
            name,
            phantom.patient_name,
            feature_blocks(embeddings, graph=graph, xy_um=section.xy_um, context=context),
            section.xy_um,
            Measured(name, counts, genes, graph=graph),
        )
        rate = truth.obsm["factors"][rows] @ phantom.programmes.loadings
        self.expected[name] = np.log1p(1e4 * rate / rate.sum(axis=1, keepdims=True))
        domain = np.eye(len(phantom.domain_names), dtype=np.float32)[truth.obs["domain_index"].to_numpy()[rows]]
        self.truth[name] = {
            "shares": np.column_stack([domain, truth.obsm["cell_types"][rows]]).astype(np.float32),
            "nuclei": np.column_stack([domain, truth.obsm["cell_counts"][rows]]).astype(np.float32),
        }

    def oracle(self, kind: str, train: list[str], test: str, Y: np.ndarray) -> np.ndarray:
        """Predict a section by a ridge on the truth of the others."""
        X = Inputs({kind: np.concatenate([self.truth[name][kind] for name in train])})
        groups = np.repeat(train, [len(self.truth[name][kind]) for name in train])
        return HEADS.get("ridge")().fit(X, Y, groups).predict(Inputs({kind: self.truth[test][kind]}))


def share_of_ceiling(pearson: np.ndarray, ceiling: np.ndarray, chosen: np.ndarray) -> float:
    """Mean Pearson of some genes over their mean ceiling."""
    return float(np.nanmean(pearson[chosen]) / np.nanmean(ceiling[chosen]))


def fold_scores(bench: Cohort, fold, settings: FoldSettings) -> dict[str, float]:
    """All numbers of one held-out patient."""
    result = evaluate_fold(bench.observed, fold, settings)
    names, test = result.record["target"]["names"], fold.test[0]
    predictable = bench.var.loc[names, "from_image"].to_numpy(bool)
    ceiling = np.array(result.record["ceiling"][test], np.float64)
    found = {"ceiling_predictable": float(np.nanmean(ceiling[predictable]))}
    for head, scores in result.record["heads"].items():
        pearson = np.array(scores["sections"][test]["pearson"], np.float64)
        verdicts = np.array([card["verdict"] for card in scores["cards"]])
        found[f"{head}_share_of_ceiling"] = share_of_ceiling(pearson, ceiling, predictable)
        found[f"{head}_share_of_ceiling_independent"] = share_of_ceiling(pearson, ceiling, ~predictable)
        found[f"{head}_card_auroc"] = scores["card_auroc"]
        found[f"{head}_independent_do_not_use"] = float((verdicts[~predictable] == "do not use").mean())
        found[f"{head}_predictable_use"] = float((verdicts[predictable] == "use").mean())
        beyond = np.array(scores["sections"][test]["pearson_given_depth"], np.float64)
        found[f"{head}_card_auroc_given_depth"] = scores["card_auroc_given_depth"]
        found[f"{head}_use_reached"] = float((beyond[verdicts == "use"] >= LEAST_SKILL).mean())
        covered = scores["coverage"][test]
        found[f"{head}_coverage"] = covered["all"]
        for kind in ("depth", "thinned"):
            found |= {f"{head}_coverage_{kind}_{name}": share for name, share in covered.get(kind, {}).items()}
    measured = {name: one.require_measured() for name, one in bench.observed.items()}
    target = make_target("genes", genes=names).fit([measured[name] for name in fold.train])
    columns = bench.var.index.get_indexer(list(target.names_))
    Y = np.concatenate([target.transform(measured[name]) for name in fold.train])
    oracles = {kind: bench.oracle(kind, list(fold.train), test, Y) for kind in ("shares", "nuclei")}
    ceiling = noise_ceiling(target, measured[test])
    for kind, P in (oracles | {"expected": bench.expected[test][:, columns]}).items():
        pearson = columnwise_pearson(target.transform(measured[test]), P)
        found[f"oracle_{kind}_share_of_ceiling"] = share_of_ceiling(pearson, ceiling, predictable)
    return found


def main() -> None:
    """Print every number averaged over the held-out patients, the claim last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tile-um", type=float, nargs="+", default=list(Context().tile_um))
    parser.add_argument("--genes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=SEED, help="of the cohort")
    chosen = parser.parse_args()
    bench = Cohort(Context(tile_um=tuple(chosen.tile_um)), chosen.genes, chosen.seed)
    settings = FoldSettings("genes", {"n_genes": chosen.genes}, ("mean", "depth", *MEMBERS), seed=SEED)
    folds = outer_folds([(one.name, one.patient) for one in bench.observed.values()])
    found = [fold_scores(bench, fold, settings) for fold in folds]
    for key in found[0]:
        values = np.array([one.get(key, np.nan) for one in found], np.float64)
        if key.startswith(("oracle", "ceiling", *MEMBERS, MEMBERS_MEAN)) and np.isfinite(values).any():
            print(f"phantom_{key} {np.nanmean(values):.3f} share (lowest {np.nanmin(values):.3f})")
    print(f"phantom_lowrank {np.mean([one['lowrank_share_of_ceiling'] for one in found]):.3f} share of the ceiling")


if __name__ == "__main__":
    main()
