"""Write phantoms as the HDF5 file of the cell-type challenge: pictures, spots, and 35 anonymous abundances."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscribe.errors import ConfigError
from histoscribe.phantom.model import Phantom
from histoscribe.phantom.picture import shrink
from histoscribe.phantom.randomness import Float, generator

N_TYPES = 35
IMAGE_MPP = 4.0  # the challenge's pictures: 25 pixels from spot to spot
_LEVEL_SD = 1.0  # of the logarithm of a type's level: how far the ranking is the same everywhere
_NOISE_SD = 0.35
_POWER = 1.5
TYPES = tuple(f"C{k}" for k in range(1, N_TYPES + 1))


def write_challenge_h5(phantoms: Sequence[Phantom], path: Path, *, n_test: int = 1) -> Path:
    """Write the challenge's file; the last `n_test` phantoms are its test slides.

    `images/{Train,Test}/S_k` float32 (h, w, 3) in [0, 1]; `spots/Train/S_k` one-dimensional with fields x (column),
    y (row) int64 and C1 ... C35 float64; `spots/Test/S_k` with x, y and Test_Set (1 or 2). Rows are in no order.
    The hidden abundances of the test slides go to `<stem>_truth.csv` beside it: slide, ID, C1 ... C35.

    Raises
    ------
    ConfigError
        Where no training slide is left, or a phantom is not of kind "visium".
    """
    import h5py

    phantoms = list(phantoms)
    if not 0 <= n_test < len(phantoms) or any(p.kind != "visium" for p in phantoms):
        raise ConfigError(
            "these phantoms make no challenge",
            where="phantoms, n_test",
            expected='phantoms of kind "visium", more of them than test slides',
            found=f"{len(phantoms)} phantoms ({', '.join(sorted({p.kind for p in phantoms}))}), n_test={n_test}",
        )
    hidden = []
    with h5py.File(path, "w") as file:
        for k, phantom in enumerate(phantoms, 1):
            group = "Train" if k <= len(phantoms) - n_test else "Test"
            height, width = (max(1, round(side * phantom.mpp / IMAGE_MPP)) for side in phantom.shape)
            picture = shrink(phantom.image, max(height, width)).astype(np.float32) / 255
            file.create_dataset(f"images/{group}/S_{k}", data=picture)
            xy, amounts = _slide(phantom, max(picture.shape) / max(phantom.shape))
            file.create_dataset(f"spots/{group}/S_{k}", data=_rows(xy, amounts if group == "Train" else None))
            if group == "Test":
                hidden.append(pd.DataFrame(amounts, columns=list(TYPES)).rename_axis("ID").reset_index())
                hidden[-1].insert(0, "slide", f"S_{k}")
    if hidden:
        pd.concat(hidden).to_csv(Path(path).with_name(Path(path).stem + "_truth.csv"), index=False)
    return Path(path)


def abundances(shares: Float, *key: int | str) -> Float:
    """Skewed positive abundances of 35 types from what lives under each spot.

    Parameters
    ----------
    shares
        (n, r) non-negative factors.
    key
        Of the seed: what a type is made of; then of the section: noise.

    Returns
    -------
    (n, 35) float64, strictly positive; rows do not add up to 1.
    """
    rng = generator(key[0], "abundances", shares.shape[1])
    recipe = rng.gamma(0.15, 1.0, (N_TYPES, shares.shape[1]))
    recipe[np.arange(N_TYPES), np.arange(N_TYPES) % shares.shape[1]] += 1.5
    level = rng.lognormal(-1.5, _LEVEL_SD, N_TYPES)
    noise = generator(*key, "abundance noise").lognormal(0, _NOISE_SD, (len(shares), N_TYPES))
    return level * (shares @ recipe.T + 0.03) ** _POWER * noise


def _slide(phantom: Phantom, scale: float) -> tuple[NDArray[np.int64], Float]:
    """Pixels (n, 2) in the small picture and abundances (n, 35) of a section's spots, shuffled."""
    spots = phantom.spots()
    names = spots.uns["phantom"]["factors"]
    seen = [k for k, name in enumerate(names) if name.startswith(("cell_type:", "domain:"))]
    amounts = abundances(spots.obsm["factors"][:, seen], phantom.seed, phantom.name)
    order = generator(phantom.seed, phantom.name, "order").permutation(len(amounts))
    return np.rint(spots.obsm["spatial"] * scale).astype(np.int64)[order], amounts[order]


def _rows(xy: NDArray[np.int64], amounts: Float | None) -> NDArray[np.void]:
    """Structured rows of a slide: with abundances for training, with Test_Set where these are hidden."""
    fields: list[tuple[str, type]] = [("x", np.int64), ("y", np.int64)]
    fields += [("Test_Set", np.int64)] if amounts is None else [(name, np.float64) for name in TYPES]
    rows = np.zeros(len(xy), fields)
    rows["x"], rows["y"] = xy.T
    if amounts is None:
        rows["Test_Set"] = 1 + np.arange(len(xy)) % 2
    else:
        for k, name in enumerate(TYPES):
            rows[name] = amounts[:, k]
    return rows
