"""Nuclei as pixels: the label image that is the truth, and the haematoxylin that is painted, from one outline."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from histoscribe.phantom.catalogue import CELL_TYPES
from histoscribe.phantom.cells import Nuclei
from histoscribe.phantom.textures import Texture

Pixels = NDArray[np.float32]

_LOOK = {
    name: np.array([getattr(cell, name) for cell in CELL_TYPES], np.float32)
    for name in ("haematoxylin", "clumps", "rim", "nucleolus")
}
_CHUNK = 2048  # nuclei drawn at once, which bounds memory


def draw_labels(nuclei: Nuclei, x: int, y: int, width: int, height: int, *, mpp: float) -> NDArray[np.int32]:
    """Label image of a window: a nucleus's id where a pixel's centre lies in its outline, else 0.

    Parameters
    ----------
    nuclei
        All nuclei that may reach into the window.
    x, y, width, height
        Window in pixels.

    Returns
    -------
    (height, width) int32.
    """
    labels = np.zeros(height * width, np.int32)
    for part, which, where, u, v in _footprints(nuclei, (x, y, width, height), mpp):
        inside = _radius(part, which, u, v) < 1
        labels[where[inside]] = part.id[which[inside]]
    return labels.reshape(height, width)


def draw_haematoxylin(nuclei: Nuclei, x: int, y: int, *, mpp: float, clumps: Texture) -> tuple[Pixels, Pixels]:
    """Haematoxylin of the nuclei in a window of the shape of `clumps`, and the share of each pixel they cover.

    Returns
    -------
    Two (height, width) float32.
    """
    height, width = clumps.shape
    amount, cover = np.zeros(height * width, np.float32), np.zeros(height * width, np.float32)
    texture = clumps.ravel()
    for part, which, where, u, v in _footprints(nuclei, (x, y, width, height), mpp):
        radius = _radius(part, which, u, v)
        scale = np.sqrt(part.half_um.prod(axis=1)).astype(np.float32) / np.float32(mpp)
        share = np.clip((1 - radius) * scale[which] + np.float32(0.5), 0, 1)
        look = {name: values[part.kind][which] for name, values in _LOOK.items()}
        tone = look["haematoxylin"] * part.tone.astype(np.float32)[which]
        profile = 1 + look["rim"] * (np.minimum(radius, 1) ** 4 - np.float32(0.45)) + look["clumps"] * texture[where]
        side = part.shape.astype(np.float32)  # the outline's phase also places the nucleolus
        spot = (u - 4 * side[which, 0]) ** 2 + (v - 4 * side[which, 1]) ** 2
        profile += look["nucleolus"] * np.exp(np.float32(-14) * spot)
        np.maximum.at(amount, where, tone * np.maximum(profile, np.float32(0.15)) * share)
        np.maximum.at(cover, where, share)
    return amount.reshape(height, width), cover.reshape(height, width)


def _footprints(
    nuclei: Nuclei, window: tuple[int, int, int, int], mpp: float
) -> Iterator[tuple[Nuclei, NDArray[np.intp], NDArray[np.intp], Pixels, Pixels]]:
    """Pixels near each nucleus, in groups of like size.

    Yields
    ------
    The group's nuclei; per pixel its nucleus in the group, its flat index in the window and its coordinates (u, v)
    in the nucleus's own frame, where the plain ellipse is the unit circle.
    """
    x0, y0, width, height = window
    reach = np.ceil(1.25 * nuclei.half_um[:, 0] / mpp + 1.5).astype(int)
    size = -(-reach // 3) * 3
    for half in np.unique(size):
        members = np.flatnonzero(size == half)
        offset = np.arange(-half, half + 1)
        for start in range(0, len(members), _CHUNK):
            part = nuclei.take(members[start : start + _CHUNK])
            centre = part.xy_um / mpp - 0.5  # in units of pixel indices
            corner = np.floor(centre).astype(np.int64)
            columns, rows = corner[:, :1] + offset - x0, corner[:, 1:] + offset - y0  # (n, p)
            dx = (columns + (x0 - centre[:, :1])).astype(np.float32)[:, None, :] * np.float32(mpp)
            dy = (rows + (y0 - centre[:, 1:])).astype(np.float32)[:, :, None] * np.float32(mpp)
            (a, b), angle = part.half_um.astype(np.float32).T, part.angle
            cos, sin = (f(angle).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
            u = (dx * cos + dy * sin) / a[:, None, None]  # (n, p, p)
            v = (dy * cos - dx * sin) / b[:, None, None]
            edge = (1.2 + mpp / b)[:, None, None]
            near = u * u + v * v < edge * edge
            near &= ((columns >= 0) & (columns < width))[:, None, :] & ((rows >= 0) & (rows < height))[:, :, None]
            which, row, column = np.nonzero(near)
            where = rows[which, row] * width + columns[which, column]
            yield part, which, where, u[near], v[near]


def _radius(nuclei: Nuclei, which: NDArray[np.intp], u: Pixels, v: Pixels) -> Pixels:
    """Distance from the centre as a share of the outline's in the same direction: below 1 inside."""
    square = np.maximum(u * u + v * v, np.float32(1e-6))
    radius = np.sqrt(square)
    cos3, sin3 = u * (4 * u * u - 3 * square), v * (3 * square - 4 * v * v)
    uu_vv, uv = u * u - v * v, 2 * u * v
    shape = nuclei.shape.astype(np.float32)[which]
    third = (shape[:, 0] * cos3 + shape[:, 1] * sin3) / (square * radius)
    fourth = (shape[:, 2] * (uu_vv * uu_vv - uv * uv) + shape[:, 3] * 2 * uu_vv * uv) / (square * square)
    outline: Pixels = radius / (1 + third + fourth)
    return outline
