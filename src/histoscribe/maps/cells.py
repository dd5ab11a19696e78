"""The features of every cell, streamed from the picture into one checksummed array, resumable block by block.

An encoder's many features are reduced to a few by a principal component analysis of some windows of this picture alone;
no measured expression is used. Beside them stand the colours and nuclei of `local`. Memory is bounded by a block.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.encoders import Encoder
from histoscribe.errors import ResultError
from histoscribe.maps import local
from histoscribe.maps.grid import Grid
from histoscribe.maps.windows import GridReader, grid_reader
from histoscribe.slide.image import SlideImage
from histoscribe.store import arrays
from histoscribe.store.files import writing_to

Matrix = NDArray[np.float32]
Progress = Callable[[int, int], None]

FEATURES, BASIS = "features.zarr", "basis.zarr"
ENGINE = 2  # increased when this file would give different values for the same work
COMPONENTS = 64
_BLOCK_CELLS = 48
_BASIS_BLOCKS = 10
_BASIS_CELLS = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """Projection of an encoder's features on a few components: `(x - mean) @ axes`.

    Parameters
    ----------
    mean
        (d,) float32.
    axes
        (d, k) float32, scaled so that the components have unit variance on the picture that they were fitted on.
    """

    mean: Matrix
    axes: Matrix

    def apply(self, features: Matrix) -> Matrix:
        """Components, (..., d) to (..., k)."""
        return np.asarray((features - self.mean) @ self.axes, np.float32)


def write_cell_features(
    image: SlideImage,
    grid: Grid,
    cells: NDArray[np.intp],
    folder: Path,
    *,
    encoder: Encoder | None,
    basis: Basis | None = None,
    progress: Progress | None = None,
) -> Basis | None:
    """Compute the features of all cells near tissue and write them to `folder / "features.zarr"`.

    Parameters
    ----------
    cells
        (c,) flat numbers of the cells that are needed; blocks without any are left zero.
    folder
        Blocks that an interrupted call for the same work left there are used.
    encoder
        None for colours and nuclei alone.
    basis
        Of another picture, for the same projection as there; fitted on this one where None.
    progress
        Called with (blocks done, blocks in all).

    Returns
    -------
    The basis; None without an encoder.

    Raises
    ------
    InputError
        Where the picture cannot be read.
    ResultError
        Where the disk is full or read-only.
    """
    reader = None if encoder is None else grid_reader(encoder, grid)
    step = 1 if reader is None else reader.step
    windows = max(1, _BLOCK_CELLS // step)
    side = windows * step
    blocks = _blocks(grid, cells, side)
    basis = basis or (None if reader is None else _basis(image, grid, cells, reader, blocks, windows, folder))
    nuclear_od = local.nuclear_threshold(image, grid, cells)
    width = len(local.NAMES) + (0 if basis is None else basis.axes.shape[1])
    work = {"engine": ENGINE, "encoder": None if encoder is None else encoder.card.to_dict(), "um": grid.um}
    array = _array(folder / FEATURES, grid, side, width, work)
    for done, (row, column) in enumerate(blocks, start=1):
        if not arrays.chunk_is_sound(array, (row, column, 0)):
            place = {"column": column * side, "row": row * side}
            parts = [local.local_block(image, grid, **place, side=side, nuclear_od=nuclear_od)]
            if reader is not None and basis is not None:
                parts.insert(0, basis.apply(reader.block(image, grid, **place, windows=windows)))
            rows, columns = min(side, grid.rows - row * side), min(side, grid.columns - column * side)
            values = np.concatenate(parts, axis=-1)[:rows, :columns].astype(np.float16)
            with writing_to(folder):
                array[row * side : row * side + rows, column * side : column * side + columns] = values
        if progress is not None:
            progress(done, len(blocks))
    return basis


def read_cell_features(folder: Path, cells: NDArray[np.intp]) -> Matrix:
    """Read the features of some cells, (c, p) float32.

    Raises
    ------
    ResultError
        Where a block that holds one of the cells is missing or damaged.
    """
    array = arrays.open_array(folder / FEATURES)
    _, columns, width = array.shape
    row, column = np.divmod(cells, columns)
    side = array.chunks[0]
    values = np.empty((len(cells), width), np.float32)
    for band in np.unique(row // side):
        mine = np.flatnonzero(row // side == band)
        if not all(arrays.chunk_is_sound(array, (int(band), int(k), 0)) for k in np.unique(column[mine] // side)):
            raise ResultError(
                "features of some cells are missing or damaged",
                where=folder,
                fix="run the same command again; what is missing is computed again",
            )
        block = array[band * side : (band + 1) * side]
        values[mine] = block[row[mine] - band * side, column[mine]]
    return values


def _blocks(grid: Grid, cells: NDArray[np.intp], side: int) -> list[tuple[int, int]]:
    """(row, column) of the blocks that hold a cell, in reading order."""
    row, column = np.divmod(cells, grid.columns)
    return [(int(r), int(c)) for r, c in np.unique(np.column_stack([row // side, column // side]), axis=0)]


def _basis(
    image: SlideImage,
    grid: Grid,
    cells: NDArray[np.intp],
    reader: GridReader,
    blocks: list[tuple[int, int]],
    windows: int,
    folder: Path,
) -> Basis:
    """Fit the components on a few blocks spread over the tissue, or read what an interrupted call fitted."""
    path = folder / BASIS
    if path.is_dir():
        try:
            kept = np.asarray(arrays.open_array(path)[...], np.float32)
        except (ResultError, RuntimeError, ValueError, OSError):
            arrays.discard(path)
        else:
            return Basis(kept[0], kept[1:].T)
    side = windows * reader.step
    wanted = np.zeros(grid.size, bool)
    wanted[cells] = True
    wanted = wanted.reshape(grid.shape)
    chosen = np.unique(np.linspace(0, len(blocks) - 1, _BASIS_BLOCKS).astype(int))
    sample = []
    for row, column in (blocks[k] for k in chosen):
        # one corner of a block is enough; more of the tissue is seen in the same time
        few = max(1, windows // 2) if reader.side else windows
        r0, c0 = row * side, column * side
        here = wanted[r0 : r0 + few * reader.step, c0 : c0 + few * reader.step]
        features = reader.block(image, grid, column=c0, row=r0, windows=few)[: here.shape[0], : here.shape[1]]
        sample.append(features[here] if here.any() else features.reshape(-1, features.shape[-1]))
    basis = _fitted(np.concatenate(sample))
    with writing_to(folder):
        arrays.write(path, np.vstack([basis.mean, basis.axes.T]), chunk_rows=COMPONENTS + 1)
    return basis


def _fitted(sample: Matrix) -> Basis:
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    sample = sample[:: -(-len(sample) // _BASIS_CELLS)]
    k = min(COMPONENTS, *sample.shape)
    with threadpool_limits(1):
        pca = PCA(k, svd_solver="covariance_eigh").fit(sample)
    # scaled to order one, so that float16 can hold them
    scale = np.sqrt(np.maximum(pca.explained_variance_, 1e-12 * max(pca.explained_variance_[0], 1e-12)))
    return Basis(pca.mean_.astype(np.float32), (pca.components_ / scale[:, None]).T.astype(np.float32))


def _array(path: Path, grid: Grid, side: int, width: int, work: dict[str, Any]) -> Any:
    """Array to fill: what an interrupted call for the same work left, or a new one."""
    shape = (grid.rows, grid.columns, width)
    if path.is_dir():
        try:
            array = arrays.open_array(path, writable=True)
            if array.shape == shape and dict(array.attrs) == work:
                return array
        except ResultError:
            pass
        arrays.discard(path)
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return arrays.create(path, shape=shape, dtype=np.float16, chunks=(side, side, width), attributes=work)
