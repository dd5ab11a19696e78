"""Outlines of labelled nuclei: closed polygons through the middles of the border between a nucleus and what is beside.

The corners are those that marching squares finds at level one half, so areas and lengths are those of a smooth border,
not of stairs. Only the outer border is given; a nucleus in several pieces gives the outline of its longest.
"""

import numpy as np
from numpy.typing import NDArray

from histoscribe.nuclei.segmenter import Labels

# direction in which a border edge runs, with the nucleus on its right: east, south, west, north
_STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])


def outlines(labels: Labels) -> list[NDArray[np.float64]]:
    """Trace every nucleus.

    Parameters
    ----------
    labels
        (h, w), 0 and 1 to n, each label present.

    Returns
    -------
    n arrays (k, 2), x before y, in pixels, not closed (the first corner is not repeated), in order of label.
    """
    edges, owner = _border(labels)
    after = _successors(edges, owner, labels.shape[1] + 1)
    middle = edges[:, :2] + _STEPS[edges[:, 2]] / 2
    best: dict[int, list[int]] = {}
    seen = bytearray(len(after))
    names, following = owner.tolist(), after.tolist()
    for start in range(len(following)):
        if seen[start]:
            continue
        loop, place = [], start
        while not seen[place]:
            seen[place] = 1
            loop.append(place)
            place = following[place]
        if len(loop) > len(best.get(names[start], ())):
            best[names[start]] = loop
    return [middle[best[name]] for name in sorted(best)]


def _border(labels: Labels) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Edges between pixels of different labels, once for each nucleus: (m, 3) x, y, direction; and its label, (m,)."""
    padded = np.pad(labels, 1)
    up, down = padded[:-1, 1:-1], padded[1:, 1:-1]  # (h + 1, w)
    left, right = padded[1:-1, :-1], padded[1:-1, 1:]  # (h, w + 1)
    parts, owners = [], []
    for one, other, direction, shift in (
        (down, up, 0, (0, 0)),  # the nucleus lies below its upper border, which runs east
        (left, right, 1, (0, 0)),
        (up, down, 2, (1, 0)),
        (right, left, 3, (0, 1)),
    ):
        y, x = np.nonzero((one != other) & (one > 0))
        owners.append(one[y, x])
        parts.append(np.column_stack([x + shift[0], y + shift[1], np.full(len(x), direction)]))
    return np.concatenate(parts), np.concatenate(owners)


def _successors(edges: NDArray[np.int64], owner: NDArray[np.int32], columns: int) -> NDArray[np.int64]:
    """Index of the edge that goes on where each edge ends."""
    rows = int(edges[:, 1].max(initial=0)) + 2
    corner = edges[:, 1] * columns + edges[:, 0]
    ahead = edges[:, :2] + _STEPS[edges[:, 2]]
    end = ahead[:, 1] * columns + ahead[:, 0]
    key = (owner.astype(np.int64) * rows * columns + corner) * 4
    order = np.argsort(key + edges[:, 2])
    ordered = (key + edges[:, 2])[order]
    base = (owner.astype(np.int64) * rows * columns + end) * 4
    after = np.full(len(edges), -1, np.int64)
    # at a corner where two edges begin, turn right first: pixels that touch by a corner only are parted
    for turn in (1, 0, 3):
        wanted = base + (edges[:, 2] + turn) % 4
        place = np.searchsorted(ordered, wanted).clip(max=max(len(ordered) - 1, 0))
        hit = (after < 0) & (ordered[place] == wanted) if len(ordered) else after < 0
        after[hit] = order[place[hit]]
    return after
