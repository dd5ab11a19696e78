"""From a section to what a mapper learns from: the only file of this package that reads a `Section`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import ConfigError, InputError, listing
from histoscribe.expression.normalise import library_size
from histoscribe.graph.spacing import pitch_of
from histoscribe.maps.footprint import Shape, footprint_operator
from histoscribe.maps.grid import Grid, make_grid, tissue_cells
from histoscribe.section import Section
from histoscribe.slide.image import SlideImage
from histoscribe.slide.tissue import TissueMask

_FINEST_UM, _COARSEST_UM = 8.0, 64.0  # of the cells that a model works on
_PX_PER_CELL = 3
_LEARN_GENES = 1000  # the most abundant, which are learnt from beside those asked for
_SPOT_SHARE = 0.55  # of the pitch, where no lattice gives a spot's diameter


@dataclass(frozen=True, slots=True, eq=False)
class Footprints:
    """What a spot covers: diameter or side, shape, and how far apart spots are, in microns."""

    diameter_um: float
    shape: Shape
    pitch_um: float


def footprints_of(section: Section) -> Footprints:
    """Footprints of a section's spots: squares for Visium HD, discs otherwise."""
    lattice = section.lattice
    if lattice is None:
        pitch = pitch_of(section.xy_px) * section.mpp
        return Footprints(_SPOT_SHARE * pitch, "disc", pitch)
    shape: Shape = "square" if section.platform == "visium_hd" else "disc"
    return Footprints(lattice.spot_diameter_um, shape, lattice.pitch_um)


def model_grid(image: SlideImage, *, um: float) -> Grid:
    """Cells that a model works on: as small as asked, but 8 um at least and three pixels of the picture.

    Raises ConfigError where `um` is not possible.
    """
    wanted = make_grid(image, um=um)
    least = float(np.clip(_PX_PER_CELL * wanted.mpp, _FINEST_UM, _COARSEST_UM))
    height, width = (side * wanted.mpp for side in image.shape)
    return make_grid(image, um=max(um, min(least, height, width)))


def map_cells(section: Section, grid: Grid, mask: TissueMask) -> tuple[NDArray[np.intp], sparse.csr_matrix]:
    """Cells that are tissue or under a spot, (c,), and the averaging over footprints on them, (n, c).

    Raises
    ------
    InputError
        Where a spot lies off the picture, or there is no tissue.
    """
    shape = footprints_of(section)
    footprint = footprint_operator(section.xy_px, grid, diameter_um=shape.diameter_um, shape=shape.shape)
    tissue = tissue_cells(grid, mask, where=f"section {section.name!r}")
    cells = np.union1d(tissue, np.unique(footprint.indices))
    return cells, sparse.csr_matrix(footprint[:, cells])


def counted(section: Section) -> tuple[sparse.csr_matrix, NDArray[np.float64]]:
    """Return the counts (n, g) of a section and its spots' libraries (n,); raises InputError where there are none."""
    if not section.has_counts:
        raise InputError(
            "this section has no counts, so there is nothing to make a map from",
            where=f"section {section.name!r}",
            expected="genes counted on the spots",
            fix="give the counts; or map it with the model of another section, --model",
        )
    counts = sparse.csr_matrix(section.spots.X, dtype=np.float64)
    return counts, library_size(counts)


def chosen_genes(
    genes: str | Sequence[str], names: Sequence[str], counts: sparse.csr_matrix, *, left_out: Collection[str] = ()
) -> list[str]:
    """Genes that were asked for: names, "A,B,C", "top:50" (the most abundant) or "all".

    Parameters
    ----------
    left_out
        Further genes that were measured, which the quality control has left out.

    Raises
    ------
    InputError
        Where a gene was not measured, with the nearest names, or is left out.
    ConfigError
        Where nothing or no number is asked for.
    """
    known = [str(name) for name in names]
    if genes == "all":
        return known
    if isinstance(genes, str) and genes.startswith("top:"):
        count = genes.removeprefix("top:")
        if not count.isdecimal() or int(count) < 1:
            raise ConfigError("not a number of genes", where="genes", expected="top:50 or the like", found=genes)
        total = np.asarray(counts.sum(axis=0)).ravel()
        return [known[k] for k in np.argsort(-total, kind="stable")[: int(count)]]
    asked = [name.strip() for name in (genes.split(",") if isinstance(genes, str) else genes)]
    asked = list(dict.fromkeys(name for name in asked if name))
    if not asked:
        raise ConfigError("no gene is named", where="genes", expected="names, top:50 or all")
    held = set(known)
    absent = [name for name in asked if name not in held]
    lost = [name for name in absent if name in left_out]
    if lost:
        raise InputError(
            f"quality control leaves out {len(lost):,} of {len(asked):,} genes that are asked for: {listing(lost)}",
            where="genes",
            fix="do not ask for them, or lower min_spots_per_gene",
        )
    if absent:
        raise InputError(
            f"{len(absent):,} of {len(asked):,} genes were not measured on this section: {listing(absent)}",
            where="genes",
            found=f"{len(known):,} genes, such as {listing(known, 3)}",
            fix="; ".join(f"{name}: {_near(name, known)}" for name in absent[:3])
            + ". Genes are named as in the section's own table",
        )
    return asked


def learning_genes(asked: Sequence[str], names: Sequence[str], counts: sparse.csr_matrix) -> NDArray[np.intp]:
    """Columns to learn from: those asked for, in their order, then the most abundant others."""
    place = {str(name): k for k, name in enumerate(names)}
    first = np.array([place[name] for name in asked], np.intp)
    total = np.asarray(counts.sum(axis=0)).ravel()
    abundant = np.argsort(-total, kind="stable")[:_LEARN_GENES]
    return np.concatenate([first, np.sort(np.setdiff1d(abundant, first))])


def _near(name: str, known: Sequence[str]) -> str:
    folded = {gene.casefold(): gene for gene in known}
    if name.casefold() in folded:
        return f"did you mean {folded[name.casefold()]}?"
    close = get_close_matches(name, known, n=3)
    return f"did you mean {', '.join(close)}?" if close else "no name is near"
