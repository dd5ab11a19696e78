"""What a section gives a domain method: its feature blocks, its neighbours, and which method suits it."""

from typing import Any, Literal

from numpy.typing import NDArray
from scipy import sparse

from histoscribe.graph.detect import detect_lattice
from histoscribe.graph.knn import knn_graph
from histoscribe.graph.lattice import lattice_graph
from histoscribe.graph.spacing import pitch_of
from histoscribe.section import Section

# methods that read counts; the others are handed the picture alone
_READ_COUNTS = frozenset({"niche", "efnst"})
AUTO = "auto"
# what surrounds a spot says more of it than what lies under it; around bins much smaller than a spot it is of others
_TILE_UM, _TILE_UM_OF_BINS, _BIN_UM = 112.0, 48.0, 24.0


def chosen_method(section: Section, method: str) -> str:
    """Return the method's name; for "auto" "niche" where there are counts, "histology" where only the picture is."""
    if method != AUTO:
        return method
    return "niche" if section.has_counts else "histology"


def reads_counts(method: str) -> bool:
    """Whether the method is handed counts, where there are any."""
    return method in _READ_COUNTS


def chosen_tile_um(section: Section, tile_um: float | Literal["auto"] | None) -> float:
    """Return the side of the tile that describes a spot, in microns.

    Parameters
    ----------
    tile_um
        What is asked for; "auto" for the median distance of neighbouring spots; None for 112, or 48 for bins up to 24.
    """
    if tile_um == "auto":
        return pitch_of(section.xy_um, alone=_TILE_UM)
    if tile_um is not None:
        return tile_um
    return _TILE_UM_OF_BINS if has_small_bins(section) else _TILE_UM


def has_small_bins(section: Section) -> bool:
    """Whether the spots are bins of up to 24 um, much smaller than what surrounds them."""
    return section.lattice is not None and section.lattice.spot_diameter_um <= _BIN_UM


def feature_blocks(
    section: Section, embedding: NDArray[Any] | None, *, method: str, nuclei: NDArray[Any] | None = None
) -> dict[str, Any]:
    """Feature blocks of a section for a domain method: "counts", "image", "nuclei", "position", what there is of them.

    Parameters
    ----------
    embedding
        Of the spots' tiles, (n, d), or None where there is no picture.
    method
        Name of the method; one that does not read counts is not handed any.
    nuclei
        What the nuclei under each spot look like, (n, d), or None where none were looked for.
    """
    blocks: dict[str, Any] = {}
    if section.has_counts and reads_counts(method):
        blocks["counts"] = section.spots.X
    if embedding is not None:
        blocks["image"] = embedding
    if nuclei is not None:
        blocks["nuclei"] = nuclei
    # without anything else a method would refuse for want of features; with the position alone it says what is missing
    return blocks | {"position": section.xy_um}


def spot_graph(section: Section, *, neighbours: int | None = None) -> sparse.csr_matrix:
    """Spatial neighbours, (n, n) CSR: by the assay's lattice, or by one that the places show, or the six nearest.

    Parameters
    ----------
    neighbours
        Join each spot with so many of the nearest ones instead.
    """
    if neighbours is not None:
        return knn_graph(section.xy_um, k=min(neighbours, max(1, section.spots.n_obs - 1)))
    if section.lattice is not None:
        return lattice_graph(section.xy_um, kind=section.lattice.kind, pitch_um=section.lattice.pitch_um)
    seen = detect_lattice(section.xy_um)
    if seen is not None:
        return lattice_graph(section.xy_um, kind=seen[0], pitch_um=seen[1])
    return knn_graph(section.xy_um, k=min(6, max(1, section.spots.n_obs - 1)))
