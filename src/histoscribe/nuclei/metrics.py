"""How well nuclei found agree with nuclei known: F1 and panoptic quality at an overlap, and AJI."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError


@dataclass(frozen=True, slots=True)
class NucleiScore:
    """Agreement of two label pictures.

    Parameters
    ----------
    f1
        Of nuclei that match at the overlap asked for.
    precision, recall
        Of the same.
    pq
        Panoptic quality: F1 times the mean overlap of the matches (Kirillov et al., CVPR 2019, equation 1).
    aji
        Aggregated Jaccard index (Kumar et al., IEEE TMI 2017, algorithm 1).
    dice
        Of nuclear pixels, instances apart.
    n_found, n_known
        Numbers of nuclei.
    """

    f1: float
    precision: float
    recall: float
    pq: float
    aji: float
    dice: float
    n_found: int
    n_known: int


def score_nuclei(found: NDArray[np.integer], known: NDArray[np.integer], *, min_iou: float = 0.5) -> NucleiScore:
    """Compare two label pictures of the same place, (h, w) each, 0 = no nucleus.

    At an overlap (intersection over union) above 0.5 no nucleus can match two others, so no assignment is needed.

    Returns
    -------
    NucleiScore; two pictures without nuclei agree fully.

    Raises
    ------
    InputError
        Where the shapes differ or `min_iou` is below 0.5.
    """
    if found.shape != known.shape or found.ndim != 2 or not 0.5 <= min_iou < 1:
        raise InputError(
            "the label pictures cannot be compared",
            expected="two pictures (h, w) of one shape, and an overlap from 0.5 to 1",
            found=f"{found.shape} and {known.shape}, {min_iou}",
        )
    overlap, area_found, area_known = _overlaps(found, known)
    n_found, n_known = len(area_found), len(area_known)
    pixels_found, pixels_known = int(area_found.sum()), int(area_known.sum())
    if n_found == 0 or n_known == 0:
        same = float(n_found == n_known)
        return NucleiScore(same, same, same, same, same, same, n_found, n_known)
    common = overlap.data.astype(np.float64)
    union = area_found[overlap.row] + area_known[overlap.col] - common
    iou = common / union
    matched = iou > min_iou
    hits = int(matched.sum())
    f1 = 2 * hits / (n_found + n_known)
    pq = float(iou[matched].sum()) * 2 / (n_found + n_known)
    dice = 2 * float(common.sum()) / (pixels_found + pixels_known)
    aji = _aggregated_jaccard(overlap, iou, area_found, area_known)
    return NucleiScore(f1, hits / n_found, hits / n_known, pq, aji, dice, n_found, n_known)


def _overlaps(
    found: NDArray[np.integer], known: NDArray[np.integer]
) -> tuple[sparse.coo_matrix, NDArray[np.int64], NDArray[np.int64]]:
    """Return common pixels of each pair, (found, known), and the area of each nucleus, in order of label."""
    names_found, index_found = np.unique(found, return_inverse=True)
    names_known, index_known = np.unique(known, return_inverse=True)
    table = sparse.coo_matrix(
        (np.ones(found.size, np.int64), (index_found.ravel(), index_known.ravel())),
        shape=(len(names_found), len(names_known)),
    ).tocsr()
    rows, columns = np.flatnonzero(names_found), np.flatnonzero(names_known)  # all but background
    areas = (np.asarray(table.sum(axis=axis)).ravel() for axis in (1, 0))
    area_found, area_known = next(areas)[rows], next(areas)[columns]
    return sparse.coo_matrix(table[rows][:, columns]), area_found, area_known


def _aggregated_jaccard(
    overlap: sparse.coo_matrix,
    iou: NDArray[np.float64],
    area_found: NDArray[np.int64],
    area_known: NDArray[np.int64],
) -> float:
    # each known nucleus takes the found one that overlaps it best; what no one takes counts as too much
    order = np.lexsort((-iou, overlap.col))
    known, first = np.unique(overlap.col[order], return_index=True)
    best = order[first]
    common = overlap.data[best].astype(np.float64)
    taken = overlap.row[best]
    union = area_found[taken] + area_known[known] - common
    missed = np.delete(area_known, known).sum()
    spare = np.delete(area_found, np.unique(taken)).sum()
    return float(common.sum() / (union.sum() + missed + spare))
