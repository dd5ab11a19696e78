"""The features of a spot: its tile at several sizes, its neighbours' tiles, and where it lies.

Every block is made from one section alone, without any label, so that a new slide is treated in the same way as the
training slides. Blocks carry names, and a head joins them by name: "image@112" is the encoder "image" on tiles of
112 um, "neighbours:image@112" the mean over the lattice neighbours, "position" the place in the section in millimetres.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import ConfigError, InputError, listing
from histoscribe.graph.smooth import neighbour_mean

Matrix = NDArray[np.float32]

POSITION = "position"
# a column that varies by less than this share of its size varies by rounding alone
_CONSTANT = 1e-6


@dataclass(frozen=True, slots=True)
class Context:
    """Which blocks are made.

    Parameters
    ----------
    tile_um
        Sides of the tiles that are embedded, in microns.
    neighbours
        Whether the mean over the lattice neighbours is added for every tile size.
    standardise
        "section": every column gets mean 0 and standard deviation 1 over the spots of its section, which takes out
        the scanner's and the stain's colour; "none": as the encoder gave it.
    position
        Whether the place in the section is added, in millimetres from the section's middle. Heads that do not
        use places ignore it.
    """

    tile_um: tuple[float, ...] = (112.0, 224.0, 448.0)
    neighbours: bool = True
    standardise: Literal["section", "none"] = "section"
    position: bool = True

    def __post_init__(self) -> None:
        """Refuse impossible sizes."""
        if not self.tile_um or not all(np.isfinite(side) and side > 0 for side in self.tile_um):
            raise ConfigError("the sides of tiles must be positive", where="tile_um", found=self.tile_um)
        if len(set(self.tile_um)) < len(self.tile_um):
            raise ConfigError("a tile size is given twice", where="tile_um", found=self.tile_um)
        if self.standardise not in ("section", "none"):
            raise ConfigError(
                "there is no such standardisation",
                where="standardise",
                expected="section or none",
                found=self.standardise,
            )

    def record(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            "tile_um": list(self.tile_um),
            "neighbours": self.neighbours,
            "standardise": self.standardise,
            "position": self.position,
        }


def feature_blocks(
    embeddings: Mapping[tuple[str, float], NDArray[Any]],
    *,
    graph: sparse.csr_matrix,
    xy_um: NDArray[np.float64],
    context: Context | None = None,
) -> dict[str, Matrix]:
    """Make the blocks of one section.

    Parameters
    ----------
    embeddings
        (encoder, side of its tiles in microns) to (n, d) embedding; those of the context's sizes are used, and all
        encoders must have them.
    graph
        Lattice neighbours, (n, n), no self loops.
    xy_um
        Centres of the spots, (n, 2), x before y, in microns.
    context
        Which blocks to make.

    Returns
    -------
    Name to (n, d) float32: "ENCODER@SIDE", "neighbours:ENCODER@SIDE", "position".

    Raises
    ------
    InputError
        A size that was not embedded, rows that do not match, or values that are not finite.
    """
    context = context or Context()
    encoders = sorted({encoder for encoder, _ in embeddings})
    missing = [f"{e}@{side:g}" for e in encoders for side in context.tile_um if (e, side) not in embeddings]
    if missing or not encoders:
        raise InputError(
            "tiles of some sizes were not embedded",
            where="embeddings",
            expected=listing(missing or [f"{side:g} um" for side in context.tile_um]),
            found=listing(f"{encoder}@{side:g}" for encoder, side in sorted(embeddings)),
        )
    n = len(xy_um)
    blocks: dict[str, Matrix] = {}
    for encoder in encoders:
        for side in context.tile_um:
            name = f"{encoder}@{side:g}"
            own = _checked(name, embeddings[encoder, side], n)
            if context.standardise == "section":
                own = standardised(own)
            blocks[name] = own.astype(np.float32)
            if context.neighbours:
                # of the block before it is rounded to float32
                around = neighbour_mean(graph, own, own_share=0.0)
                around = standardised(around) if context.standardise == "section" else around
                blocks[f"neighbours:{name}"] = around.astype(np.float32)
    if context.position:
        blocks[POSITION] = ((xy_um - np.mean(xy_um, axis=0)) / 1000).astype(np.float32)
    return blocks


def standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring every column of (n, d) to mean 0 and standard deviation 1; constant columns become 0."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    varies = spread > _CONSTANT * np.maximum(np.abs(values).max(axis=0, initial=0.0), np.finfo(np.float32).tiny)
    scaled: NDArray[np.float64] = np.divide(centred, spread, out=np.zeros_like(centred), where=varies)
    return scaled


def appearance(blocks: Mapping[str, Matrix]) -> dict[str, Matrix]:
    """Select the blocks that describe what a spot looks like, in the order of their names."""
    return {name: blocks[name] for name in sorted(blocks) if name != POSITION}


def _checked(name: str, block: NDArray[Any], n: int) -> NDArray[np.float64]:
    array = np.asarray(block, np.float64)
    if array.ndim != 2 or len(array) != n:
        raise InputError(
            f"the embedding {name} does not fit the spots",
            where="embeddings",
            expected=f"({n:,}, d)",
            found=array.shape,
        )
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        raise InputError(
            f"the embedding {name} has missing or infinite values in {int(bad.sum()):,} of {n:,} spots",
            where="embeddings",
            fix="compute the embedding again",
        )
    return array
