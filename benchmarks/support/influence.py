"""What wrong spots do to others: the same harms to the map, the markers and the evaluation, in phantoms and tissue.

Spots that are found dead or swamped are left out, as every command does; what is reported is about the others.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from histoscribe.domains.markers import marker_genes
from histoscribe.encoders import build_encoder, embed, load_card
from histoscribe.expression.dead_spots import dead_spots, swamped_spots
from histoscribe.expression.measured import Measured
from histoscribe.expression.normalise import library_size
from histoscribe.expression.targets import make_target
from histoscribe.graph.lattice import lattice_graph
from histoscribe.io import read
from histoscribe.maps.cells import read_cell_features, write_cell_features
from histoscribe.maps.dense import DenseMapper
from histoscribe.maps.mapper import MapProblem
from histoscribe.maps.metrics import pearson
from histoscribe.maps.problem import model_grid
from histoscribe.phantom import Phantom, cohort, make_phantom
from histoscribe.predict.context import Context, feature_blocks
from histoscribe.predict.data import Observed, grouping_of, inputs_of
from histoscribe.predict.evaluate import FoldSettings, evaluate_fold
from histoscribe.predict.fitting import make_head, weights_of
from histoscribe.predict.metrics import average_sections, score_section
from histoscribe.predict.splits import outer_folds
from histoscribe.run.maps.settings import MapSettings
from histoscribe.run.maps.stages import map_problem
from histoscribe.section import Lattice, Section
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.tissue import tissue_mask
from panels import sections
from support.expression import observed, request_of

SHARES = (0.01, 0.05)
GENE = 7  # that is wild or noisy, and scored nowhere
HEADS = ("ridge", "lowrank", "knn")
CONTEXT = Context(tile_um=(112.0,))
_UM, _RANK = 32.0, 10  # coarser and fewer than by default, for the time
_VARIES = 0.1  # standard deviation over the tissue from which a gene of a map has a pattern


@dataclass(frozen=True)
class Harm:
    """Counts (n, g) of which some rows are wrong, or one column."""

    name: str
    counts: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Tissue:
    """Counts (n, g), places, neighbours and known domains of a section's spots."""

    counts: np.ndarray
    xy_um: np.ndarray
    graph: sparse.csr_matrix
    domain: np.ndarray


def harms(counts: np.ndarray, *, seed: int = 0) -> Iterator[Harm]:
    """Every harm; the first is none."""
    rng, n = np.random.default_rng(seed), len(counts)
    yield Harm("none", counts, np.array([], int))
    for share in SHARES:
        rows = rng.choice(n, max(1, round(share * n)), replace=False)
        own, total = counts[rows], counts[rows].sum(axis=1, keepdims=True)
        wild = {f"wild_{times}": own.copy() for times in (2, 100)}
        for times, harmed in zip((2, 100), wild.values(), strict=True):
            harmed[:, [GENE]] = np.round(times * total)
        wrong = {
            "killed": 0 * own,
            "weak_0.06": rng.binomial(own.astype(np.int64), 0.06),
            "weak_0.25": rng.binomial(own.astype(np.int64), 0.25),
            **wild,
            "copied": np.repeat(own[:1], len(rows), axis=0),
            "of_other_places": counts[rng.permutation(n)[: len(rows)]],
            "ten_times": 10 * own,
        }
        for name, values in wrong.items():
            harmed = counts.copy()
            harmed[rows] = values
            if share == SHARES[-1] or name in ("killed", "weak_0.06", "wild_2"):
                yield Harm(f"{name}_{share:g}", harmed, rows)
    noisy = counts.copy()
    noisy[:, GENE] = np.round(np.exp(rng.normal(np.log(counts.sum(axis=1).mean() / 100), 3, n)))
    yield Harm("noisy_gene", noisy, np.array([], int))


def measured(counts: np.ndarray, xy_um: np.ndarray) -> np.ndarray:
    """Which spots every command uses."""
    total = counts.sum(axis=1)
    swamped = swamped_spots(total, counts.max(axis=1), xy_um)
    return ~(dead_spots(np.where(swamped, np.median(total), total), xy_um) | swamped)


def phantom_section(phantom: Phantom, picture: np.ndarray | None = None) -> Section:
    """Make a section of a phantom's spots, with its picture or another one."""
    height, width = phantom.shape
    pixels = phantom.image.read(0, 0, width, height) if picture is None else picture
    spots = phantom.spots()
    plain = AnnData(spots.X, obs=spots.obs[["array_row", "array_col"]], var=spots.var[[]])
    plain.obsm["spatial"] = spots.obsm["spatial"]
    image = SlideImage(ArraySource([pixels]), mpp=phantom.mpp)
    return Section.from_anndata(plain, name="one", image=image, platform="visium", lattice=Lattice("hex", 100.0, 55.0))


def map_sections() -> Iterator[tuple[str, Section]]:
    """Yield the sections whose maps are measured: a phantom and a breast."""
    yield "phantom", phantom_section(make_phantom(11, size_um=1800.0, mpp=2.0, n_domains=4, n_genes=150))
    yield "C2", read(request_of("C2")).section


def problem_of(section: Section) -> MapProblem:
    """Return what the default mapper learns from, without an encoder, as if the 150 most abundant genes were all."""
    image = section.require_image()
    grid = model_grid(image, um=_UM)
    settings = MapSettings(genes="top:150", um=_UM)
    problem, asked = map_problem(section, tissue_mask(image), settings, grid=grid)
    counts = problem.counts[:, : len(asked)]
    problem = replace(problem, counts=counts, library=library_size(counts), genes=tuple(asked))
    with tempfile.TemporaryDirectory() as name:
        write_cell_features(image, grid, problem.cells, Path(name), encoder=None)
        return replace(problem, features=np.asarray(read_cell_features(Path(name), problem.cells)[:]))


class MapInfluence:
    """Maps of one section, compared with its undisturbed map."""

    def __init__(self, problem: MapProblem) -> None:
        self.problem = problem
        self.counts = problem.counts.toarray()
        self.xy_um, self.truth = problem.xy_um, problem.log_values()
        self.values, self.held = self._made(problem, np.arange(len(problem)))

    def _made(self, problem: MapProblem, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = DenseMapper(rank=_RANK).fit(problem)
        held = np.full(self.truth.shape, np.nan, np.float32)
        held[rows] = found.held.values
        return np.log1p(found.per_10k()), held

    def of(self, harm: Harm) -> str:
        """Correlation with the undisturbed map, and held-out Pearson of the same spots with and without the harm."""
        kept = measured(harm.counts, self.xy_um)
        taken = np.flatnonzero(kept)
        wrong = replace(self.problem, counts=sparse.csr_matrix(harm.counts), library=harm.counts.sum(axis=1))
        values, held = self._made(wrong.take(taken), taken)
        genes = np.delete(np.arange(self.counts.shape[1]), GENE)
        genes = genes[self.values[:, genes].std(axis=0) > _VARIES]
        same = pearson(self.values[:, genes], values[:, genes])
        others = np.setdiff1d(taken, harm.rows)
        scores = [np.nanmean(pearson(self.truth[others][:, genes], of[others][:, genes])) for of in (self.held, held)]
        return (
            f"{same.mean():.3f} r with the undisturbed map (lowest gene {same.min():.3f}), held-out {scores[1]:.3f} "
            f"(undisturbed {scores[0]:.3f}), {int((~kept).sum())} left out"
        )


def markers_of(harm: Harm, undisturbed: pd.DataFrame | None, tissue: Tissue) -> tuple[pd.DataFrame, str]:
    """Ten markers of each domain, and how many of the undisturbed ones are among them, worst domain last."""
    kept = measured(harm.counts, tissue.xy_um)
    graph = tissue.graph[kept][:, kept]
    names = [str(column) for column in range(harm.counts.shape[1])]
    counts = sparse.csr_matrix(harm.counts[kept])
    found = marker_genes(counts, tissue.domain[kept], genes=names, graph=graph, n_markers=10)
    found = found[found["gene"] != str(GENE)]
    before = found if undisturbed is None else undisturbed
    both = before.merge(found, on=["domain", "gene"], suffixes=("", "_harmed"))
    shared = (both.groupby("domain").size() / before.groupby("domain").size()).fillna(0)
    moved = (both["effect_harmed"] - both["effect"]).abs().mean()
    return before, (
        f"{shared.mean():.2f} of the markers kept (least {shared.min():.2f}), effects moved by {moved:.2f} "
        f"of {before['effect'].mean():.2f}"
    )


def tissues() -> Iterator[tuple[str, Tissue]]:
    """Yield a phantom, a section of cortex and one of breast with known domains."""
    phantom = make_phantom(11, size_um=2400.0, mpp=2.0, n_domains=4, n_genes=200)
    spots = phantom.spots()
    xy_um = spots.obsm["spatial"] * phantom.mpp
    graph = lattice_graph(xy_um, kind="hex", pitch_um=100.0)
    yield "phantom", Tissue(spots.X.toarray(), xy_um, graph, spots.obs["domain_index"].to_numpy() + 1)
    for name, counts, xy_um, graph, truth in sections():
        if name in ("151510", "A1"):
            abundant = np.argsort(-np.asarray(counts.sum(axis=0)).ravel(), kind="stable")[:500]
            known = np.flatnonzero([label is not None for label in truth])
            domain = np.unique(truth[known].astype(str), return_inverse=True)[1] + 1
            yield name, Tissue(counts[known][:, abundant].toarray(), xy_um[known], graph[known][:, known], domain)


def phantom_cohort() -> dict[str, Observed]:
    """Three small patients as heads see them, encoder "morphology"."""
    encoder, made = build_encoder(load_card("morphology")), {}
    for phantom in cohort(3, like=make_phantom(11, size_um=1500.0, mpp=1.0, n_genes=120)):
        section, spots = phantom_section(phantom), phantom.spots()
        graph = lattice_graph(section.xy_um, kind="hex", pitch_um=100.0)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "embedding.zarr"
            seen = embed(section.require_image(), section.xy_px, encoder, tile_um=112.0, folder=folder)
            blocks = feature_blocks({("morphology", 112.0): seen}, graph=graph, xy_um=section.xy_um, context=CONTEXT)
        counted = Measured(phantom.name, spots.X.astype(np.float64).tocsr(), tuple(spots.var_names), graph=graph)
        made[phantom.name] = Observed(phantom.name, phantom.patient_name, blocks, section.xy_um, counted)
    return made


def alive(section: Observed) -> np.ndarray:
    """Which spots of a section every command uses."""
    return measured(section.require_measured().require_counts().toarray(), section.xy_um)


def harmed(section: Observed, harm: Harm) -> Observed:
    """Return the section as every command would use it after the harm."""
    counted = replace(section.require_measured(), counts=sparse.csr_matrix(harm.counts))
    return replace(section, measured=counted).rows(np.flatnonzero(measured(harm.counts, section.xy_um)))


def evaluated(train: list[Observed], test: Observed, genes: list[str]) -> str:
    """Scores on one section of heads that were fitted on others."""
    names = [one.name for one in (*train, test)]
    fold = next(fold for fold in outer_folds([(name, name) for name in names]) if fold.test == (test.name,))
    settings = FoldSettings("genes", {"genes": genes}, ("mean", *HEADS), stacks=())
    record = evaluate_fold({one.name: one for one in (*train, test)}, fold, settings).record
    scores = {head: record["heads"][head]["sections"][test.name] for head in HEADS}
    return ", ".join(said(head, one) for head, one in scores.items())


def said(head: str, scores: dict) -> str:
    """Pearson, and error beside that of the mean."""
    return f"{head} {scores['mean_pearson']:.3f} r {scores['mean_error_ratio']:.3f}"


def weighed(names: tuple[str, ...]) -> Iterator[str]:
    """Predict each section from the others, its heads fitted with and without weights; means over the sections."""
    every = {name: observed(name, ("morphology",), CONTEXT) for name in names}
    kept = {name: one.rows(np.flatnonzero(alive(one))) for name, one in every.items()}
    for label in ("plain", "weighed"):
        found: dict[str, list] = {head: [] for head in HEADS[:2]}
        for name, test in kept.items():
            train = [one for other, one in kept.items() if other != name]
            counted = [one.require_measured() for one in train]
            target = make_target("genes", n_genes=150).fit(counted)
            X, Y = inputs_of(train), np.concatenate([target.transform(one) for one in counted])
            X = replace(X, weight=weights_of(counted, target) if label == "weighed" else None)
            _, groups = grouping_of(train).of(np.arange(len(Y)))
            truth = target.transform(test.require_measured())
            for head, scores in found.items():
                P = make_head(head).fit(X, Y, groups).predict(inputs_of([test], depth=False))
                scores.append(score_section(truth, P, train_mean=Y.mean(axis=0)))
        yield f"{label}: {', '.join(said(head, average_sections(scores)) for head, scores in found.items())}"
