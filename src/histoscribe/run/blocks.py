"""What a section gives a domain method: its feature blocks, its neighbours, and which method suits it."""

from typing import Any

from numpy.typing import NDArray
from scipy import sparse

from histoscribe.graph.detect import detect_lattice
from histoscribe.graph.knn import knn_graph
from histoscribe.graph.lattice import lattice_graph
from histoscribe.section import Section

# methods that read counts; the others are handed the picture alone
_READ_COUNTS = frozenset({"niche", "efnst"})
AUTO = "auto"


def chosen_method(section: Section, method: str) -> str:
    """Return the method's name; for "auto" "niche" where there are counts, "histology" where only the picture is."""
    if method != AUTO:
        return method
    return "niche" if section.has_counts else "histology"


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
    if section.has_counts and method in _READ_COUNTS:
        blocks["counts"] = section.spots.X
    if embedding is not None:
        blocks["image"] = embedding
    if nuclei is not None:
        blocks["nuclei"] = nuclei
    # without anything else a method would refuse for want of features; with the position alone it says what is missing
    return blocks | {"position": section.xy_um}


def spot_graph(section: Section) -> sparse.csr_matrix:
    """Spatial neighbours, (n, n) CSR: by the assay's lattice, or by one that the places show, or the six nearest."""
    if section.lattice is not None:
        return lattice_graph(section.xy_um, kind=section.lattice.kind, pitch_um=section.lattice.pitch_um)
    seen = detect_lattice(section.xy_um)
    if seen is not None:
        return lattice_graph(section.xy_um, kind=seen[0], pitch_um=seen[1])
    return knn_graph(section.xy_um, k=min(6, max(1, section.spots.n_obs - 1)))
