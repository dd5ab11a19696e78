"""What distinguishes a domain from the rest: its genes, its morphology, and the domains it borders on.

Effect sizes, not p-values: among thousands of spots every difference is significant, and the domains were found in the
same counts that a test would be made on. Spots with few molecules count less (`expression.precision`).

Examples
--------
>>> from histoscribe.domains.markers import marker_genes
>>> from histoscribe.graph.lattice import lattice_graph
>>> from histoscribe.phantom import make_phantom
>>> spots = make_phantom(7, size_um=1200.0, mpp=1.0, n_domains=3).spots()
>>> graph = lattice_graph(spots.obsm["spatial"], kind="hex", pitch_um=100.0)  # one micron per pixel
>>> found = marker_genes(spots.X, spots.obs["domain_index"] + 1, genes=spots.var_names, graph=graph, n_markers=1)
>>> found["programme"] = spots.var["programme"].loc[found["gene"]].to_numpy()  # what drives the gene in the phantom
>>> print(found[["domain", "gene", "programme"]].to_string(index=False))
 domain      gene             programme
      1 GENE00290   domain:loose_stroma
      2 GENE00489   domain:solid_tumour
      3 GENE00075 cell_type:nest_tumour
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains.partition import membership
from histoscribe.errors import InputError
from histoscribe.expression.normalise import library_size, log_per_10k
from histoscribe.expression.precision import spot_weights
from histoscribe.graph.moran import morans_i

N_MARKERS = 20
# a gene found in fewer spots of a domain than this share is no marker of it
_DETECTED = 0.1
# molecules per 10,000 added to both sides of a fold change, so that rare genes do not lead
_PSEUDO = 0.1


def marker_genes(
    counts: Any,
    labels: NDArray[np.integer],
    *,
    genes: Sequence[str],
    graph: sparse.csr_matrix,
    n_markers: int = N_MARKERS,
) -> pd.DataFrame:
    """Genes that are higher in one domain than in the rest of the section.

    Parameters
    ----------
    counts
        (n, g) raw counts, sparse.
    labels
        (n,) domains, 1 to K.
    genes
        (g,) names.
    graph
        Spatial neighbours, (n, n).
    n_markers
        At most so many for each domain.

    Returns
    -------
    One row per domain and marker, strongest first: `domain`, `gene`, `effect` (difference of the mean
    ln(1 + counts per 10,000) in units of the spread within domains, Cohen's d), `log2_fold_change` of the mean counts
    per 10,000, `specificity` (the domain's mean over the sum of all domains' means; 1 is found nowhere else),
    `share_inside` and `share_outside` of spots in which it was found, `autocorrelation` (Moran's I over neighbours).
    A domain may have fewer markers, or none.

    Raises
    ------
    InputError
        Parts that do not fit each other.
    """
    if counts.shape != (len(labels), len(genes)):
        raise InputError(
            "counts, domains and genes do not fit each other",
            where="counts",
            expected=f"({len(labels)}, {len(genes)})",
            found=counts.shape,
        )
    names, code = np.unique(labels, return_inverse=True)
    logged = log_per_10k(counts)
    statistics = _effects(logged, counts, code) | {"autocorrelation": morans_i(logged, graph, row_standardised=True)}
    rows = []
    for k, name in enumerate(names if len(names) > 1 else []):  # a section of one domain has nothing to differ from
        effect = statistics["effect"][k]
        higher = (statistics["log2_fold_change"][k] > 0) & (effect > 0)
        fit = np.flatnonzero(higher & (statistics["share_inside"][k] >= _DETECTED))
        for gene in fit[np.lexsort((fit, -effect[fit]))][:n_markers]:
            numbers = {column: values[..., gene] for column, values in statistics.items()}
            own = {column: float(value[k] if value.ndim else value) for column, value in numbers.items()}
            rows.append({"domain": int(name), "gene": str(genes[gene]), **own})
    return pd.DataFrame(rows, columns=_COLUMNS).round(4)


_COLUMNS = [
    "domain",
    "gene",
    "effect",
    "log2_fold_change",
    "specificity",
    "share_inside",
    "share_outside",
    "autocorrelation",
]


def describe_features(features: Mapping[str, NDArray[Any]], labels: NDArray[np.integer]) -> pd.DataFrame:
    """Describe the nuclei and tissue of each domain.

    Parameters
    ----------
    features
        Name, with its unit, to (n,) values; NaN where a spot has none.
    labels
        (n,) domains.

    Returns
    -------
    One row per domain and feature: `domain`, `feature`, `mean` inside, `mean_outside`, and `effect`, their difference
    in units of the spread within domains; features that do not vary are left out.
    """
    rows = []
    for feature, given in features.items():
        values = np.asarray(given, np.float64)
        known = np.isfinite(values)
        if known.sum() < 2 or np.ptp(values[known]) == 0:
            continue
        groups = [values[known & (labels == k)] for k in np.unique(labels)]
        within = sum(((group - group.mean()) ** 2).sum() for group in groups if len(group))
        spread = max(float(np.sqrt(within / known.sum())), 1e-9 * float(np.ptp(values[known])))
        for k in np.unique(labels):
            inside, outside = values[known & (labels == k)], values[known & (labels != k)]
            if len(inside) and len(outside):
                difference = (inside.mean() - outside.mean()) / spread
                rows.append((int(k), feature, inside.mean(), outside.mean(), difference))
    table = pd.DataFrame(rows, columns=["domain", "feature", "mean", "mean_outside", "effect"])
    return table.round(4)


def domain_neighbours(labels: NDArray[np.integer], graph: sparse.csr_matrix) -> pd.DataFrame:
    """Which domains border on which.

    Parameters
    ----------
    labels
        (n,) domains, 1 to K.
    graph
        Spatial neighbours, (n, n).

    Returns
    -------
    One row per ordered pair of different domains that touch: `domain`, `neighbour`, `share` of the domain's outer edges
    that lead there, and `enrichment` over the share expected from the other domains' sizes.
    """
    names, code = np.unique(labels, return_inverse=True)
    member = membership(code)
    edges = np.asarray((member.T @ (graph != 0) @ member).todense(), np.float64)  # (K, K)
    np.fill_diagonal(edges, 0)
    size = np.bincount(code)
    rows = []
    for i, own in enumerate(names):
        total = edges[i].sum()
        for j in np.lexsort((names, -edges[i])):
            if edges[i, j] == 0:
                continue
            share = edges[i, j] / total
            rows.append((int(own), int(names[j]), share, share * (size.sum() - size[i]) / size[j]))
    return pd.DataFrame(rows, columns=["domain", "neighbour", "share", "enrichment"]).round(4)


def _effects(logged: sparse.csr_matrix, counts: Any, code: NDArray[np.intp]) -> dict[str, NDArray[np.float64]]:
    """All numbers of a marker, by their column, (K, g) each; spots count by their depth."""
    weight = spot_weights(counts, library_size(counts))
    share = membership(code).T @ sparse.diags(weight)  # (K, n)
    size = np.asarray(share.sum(axis=1))  # (K, 1)
    mean, inside, rate = _by_domain(logged, counts, sparse.diags(1 / size.ravel()) @ share)
    rest = np.maximum(size.sum() - size, np.finfo(np.float64).tiny)

    def outside(values: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = ((values * size).sum(axis=0) - values * size) / rest
        return found

    square = np.asarray(logged.multiply(logged).T @ weight, np.float64)
    within = (square - (mean**2 * size).sum(axis=0)) / float(size.sum())
    return {
        # a spread within domains of no less than a hundredth of a log unit
        "effect": (mean - outside(mean)) / np.sqrt(np.maximum(within, 1e-4)),
        "log2_fold_change": np.log2((rate + _PSEUDO) / (outside(rate) + _PSEUDO)),
        "specificity": rate / np.maximum(rate.sum(axis=0), np.finfo(np.float64).tiny),
        "share_inside": inside,
        "share_outside": outside(inside),
    }


def _by_domain(
    logged: sparse.csr_matrix, counts: Any, mean_of: sparse.csr_matrix
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Means of each domain, (K, g), by an operator (K, n): of ln(1 + per 10,000), found or not, counts per 10,000."""
    depth = library_size(counts)
    scale = sparse.diags(np.divide(1e4, depth, out=np.zeros(len(depth)), where=depth > 0))
    raw = sparse.csr_matrix(counts)
    return tuple(
        np.asarray((mean_of @ matrix).todense(), np.float64)
        for matrix in (logged, (raw > 0).astype(np.float64), scale @ raw)
    )  # type: ignore[return-value]
