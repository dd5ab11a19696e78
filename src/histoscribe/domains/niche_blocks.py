"""Feature blocks for niches: each in components, each weighed by how much of its variance is coherent in space.

A block says nothing about regions, whatever its variance, if neighbours differ in it as much as any two spots do: the
picture of a blank or badly focused slide is one. So a block's share of the squared distance is its weight times the
part of its variance that neighbours have in common.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains import features
from histoscribe.domains.expression import expression_components, usable_genes
from histoscribe.domains.features import join_blocks
from histoscribe.errors import ConfigError, InputError
from histoscribe.expression.normalise import library_size
from histoscribe.graph.moran import morans_i

# share of the squared distance by block; "depth" is how much was captured on a spot, which separates cellular tissue
# from fat and fibres; the position has none, because a larger share draws compact patches whatever the tissue is
WEIGHTS = {"counts": 1.0, "depth": 0.25, "image": 1.0, "nuclei": 0.5, "position": 0.0}
# expression is looked at in several ways: genes weighed by their spatial autocorrelation to some power, by a few
# principal components or many. What all views find is not an artefact of one.
POWERS = (0.0, 0.5, 1.0)
N_COMPONENTS = (10, 20, 40)
# a quarter of the views average the counts of neighbours before the logarithm, which is less noisy where few molecules
# were captured; no more of them, because they blur what is narrower than a neighbourhood
POOLED_COMPONENTS = (20,)
# so many spots for each component at least, or the components describe single spots
_SPOTS_PER_COMPONENT = 8
# the least a block counts for, so that one block of noise alone still gives a division
_LEAST_COHERENCE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One view of a section: its blocks side by side.

    Parameters
    ----------
    X
        (n, d) float64.
    columns
        Where each block stands: name to slice.
    pooled
        Whether each spot's counts are those of its neighbours too.
    """

    X: NDArray[np.float64]
    columns: dict[str, slice]
    pooled: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """All views of one section, and what was done to each block, fit for JSON."""

    views: tuple[View, ...]
    record: dict[str, Any]

    def rescaled(self, factors: Mapping[str, float]) -> "Embedding":
        """Multiply the weights of some blocks, in every view that has them."""
        views = []
        for view in self.views:
            X = view.X.copy()
            for name, factor in factors.items():
                if name in view.columns:
                    X[:, view.columns[name]] *= np.sqrt(factor)
            views.append(replace(view, X=X))
        return replace(self, views=tuple(views))

    @property
    def names(self) -> list[str]:
        """Blocks that any view has."""
        return sorted({name for view in self.views for name in view.columns})


def embed_blocks(
    blocks: Mapping[str, Any],
    *,
    graph: sparse.csr_matrix,
    weights: Mapping[str, float],
    n_components: int | None = None,
    pool: bool = True,
) -> Embedding:
    """Bring all blocks to components of comparable size.

    Parameters
    ----------
    blocks
        Name to (n, d), checked; "counts" are raw, in CSR.
    graph
        Spatial neighbours, (n, n).
    weights
        Name to weight, for all blocks, and "depth" where there are counts.
    n_components
        Components of every block in every view; those of `N_COMPONENTS` and `features` where not given.
    pool
        Whether some views average the counts of neighbours; needless where rows are many spots' counts already.

    Raises
    ------
    InputError
        No block, or nothing that differs between spots.
    ConfigError
        A negative weight, or none that is positive.
    """
    _check_weights(blocks, weights)
    record: dict[str, Any] = {name: {"weight": float(weights[name]), "used": weights[name] > 0} for name in blocks}
    dense, counts_views = {}, []
    for name, block in blocks.items():
        if weights[name] == 0:
            continue
        if name == "counts":
            counts_views = _counts_views(
                block, graph=graph, weights=weights, n_components=n_components, pool=pool, record=record
            )
        elif _varies(block):
            joined = join_blocks(
                {name: block}, weights={name: 1.0}, graph=graph, n_components=n_components or features.N_COMPONENTS
            )
            record[name] |= joined.record[name] | {"weight": float(weights[name])}
            dense[name] = joined.X
    parts = [({**dense, **view}, pooled) for view, pooled in counts_views] or [(dense, False)]
    if not parts[0][0]:
        raise InputError(
            "no feature differs between the spots, so domains cannot be distinguished",
            where="blocks",
            found=f"constant: {', '.join(sorted(blocks))}",
            fix="check that the counts and the picture are of this section and that tiles lie on the tissue",
        )
    views = []
    coherences: dict[str, list[float]] = {}
    for one, pooled in parts:
        view, coherent = _view(one, graph, weights, pooled)
        views.append(view)
        for name, value in coherent.items():
            coherences.setdefault(name, []).append(value)
    for name, values in coherences.items():
        used = {"weight": float(weights[name]), "used": True, "coherence": round(float(np.mean(values)), 4)}
        record[name] = record.get(name, {}) | used
    return Embedding(tuple(views), record)


def _check_weights(blocks: Mapping[str, Any], weights: Mapping[str, float]) -> None:
    if not blocks:
        raise InputError("there are no features", where="blocks", fix="give at least one block, such as 'counts'")
    for name, weight in weights.items():
        if not (np.isfinite(weight) and weight >= 0):
            raise ConfigError(f"the weight of {name!r} must not be negative", where="weights", found=weight)
    if not any(weights[name] for name in blocks):
        raise ConfigError("every feature block has the weight 0", where="weights", fix="give one a positive weight")


def _counts_views(
    counts: sparse.csr_matrix,
    *,
    graph: sparse.csr_matrix,
    weights: Mapping[str, float],
    n_components: int | None,
    pool: bool,
    record: dict[str, Any],
) -> list[tuple[dict[str, NDArray[np.float64]], bool]]:
    """Look at expression in several ways, and whether each pools counts; none where no gene varies."""
    n_spots = counts.shape[0]
    own, of_pooled = (N_COMPONENTS, POOLED_COMPONENTS) if n_components is None else ((n_components,), (n_components,))
    limit = max(2, min(max(own), n_spots // _SPOTS_PER_COMPONENT))
    used, selection = usable_genes(counts, graph=graph)
    record["counts"] |= selection
    genes, library = sparse.csr_matrix(counts[:, used], dtype=np.float64), library_size(counts)
    views: list[tuple[dict[str, NDArray[np.float64]], bool]] = []
    for pooled in (False, True) if pool else (False,):
        if pooled:
            near = sparse.csr_matrix(graph, dtype=bool).astype(np.float64) + sparse.identity(n_spots, format="csr")
            # means, not sums: an edge, where neighbours are missing, is not a place with fewer molecules
            near = sparse.csr_matrix(sparse.diags(1 / np.asarray(near.sum(axis=1)).ravel()) @ near)
            genes, library = near @ genes, near @ library
        depth = np.log1p(library)[:, None]
        depth = depth - depth.mean()
        extra = {"depth": depth} if weights["depth"] > 0 and np.ptp(depth) > 0 else {}
        found = expression_components(genes, library=library, graph=graph, n_components=limit, powers=POWERS)
        numbers = sorted({min(n, found[0].shape[1]) for n in (of_pooled if pooled else own)} - {0})
        # of a few spots that are all neighbours, pooled counts are all the same
        views += [({"counts": part[:, :n]} | extra, pooled) for part in found for n in numbers if _varies(part[:, :n])]
        record["counts"]["components"] = found[0].shape[1]
    return views


def _view(
    parts: Mapping[str, NDArray[np.float64]],
    graph: sparse.csr_matrix,
    weights: Mapping[str, float],
    pooled: bool,
) -> tuple[View, dict[str, float]]:
    """Scale blocks to their shares and set them side by side; and the coherence that each has."""
    columns, coherences, kept, start = {}, {}, [], 0
    for name in sorted(parts):
        part = parts[name]
        # depth is a single number that goes with the counts: it is as coherent as it is
        coherent = 1.0 if name == "depth" else max(_coherence(part, graph), _LEAST_COHERENCE)
        share = weights[name] * coherent
        coherences[name] = coherent
        columns[name] = slice(start, start + part.shape[1])
        start += part.shape[1]
        kept.append(part * np.sqrt(share / ((part**2).sum() / len(part))))
    return View(np.hstack(kept), columns, pooled), coherences


def _varies(block: Any) -> bool:
    """Whether any column differs between spots by more than rounding."""
    array = np.asarray(block, np.float64)
    return bool((array.std(axis=0) > 1e-9 * np.maximum(np.abs(array).max(axis=0), 1e-300)).any())


def _coherence(part: NDArray[np.float64], graph: sparse.csr_matrix) -> float:
    """Share of a block's variance that neighbours have in common: its columns' autocorrelation, weighed by variance."""
    variance = part.var(axis=0)
    return float((np.maximum(morans_i(part, graph, row_standardised=True), 0) * variance).sum() / variance.sum())
