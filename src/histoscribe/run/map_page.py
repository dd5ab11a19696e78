"""What the page of maps shows, gathered from a section and its maps."""

from collections.abc import Sequence

from histoscribe.expression.normalise import log_per_10k
from histoscribe.maps.read import Maps
from histoscribe.report.maps import GeneMap, MapsContents
from histoscribe.section import Section

_PICTURE_PX, _DRAWN_GENES = 1400, 8
NOTES = (
    "Between spots and within them a map is a prediction: what the picture and the neighbouring spots make likely.",
    "Under every spot the balanced map sums to the molecules that were counted there, sampling noise included; what "
    "the model expects is shown beside it.",
    "A gene that nothing in the picture shows follows its neighbouring spots alone and is no sharper than they are.",
    "Brightness in a composite is relative to each gene and cannot be compared between genes.",
)


def page_contents(section: Section, maps: Maps, *, genes: Sequence[str] | None = None) -> MapsContents:
    """Gather what the page of maps shows: the first genes of the map, or those that are named.

    Raises
    ------
    InputError
        Where a gene is not on the map.
    """
    picture, step = section.require_image().overview(_PICTURE_PX)
    shown = list(maps.genes[:_DRAWN_GENES] if genes is None else genes)
    stored = maps.stored
    has_spots = len(stored.xy_px) > 0
    drawn = []
    for name in shown:
        expected = maps.gene(name, unit="log", balanced=False).to_numpy()
        balanced = maps.gene(name, unit="log").to_numpy() if has_spots else None
        column = stored.counts[:, [maps.genes.index(name)]]
        measured = log_per_10k(column, library=stored.library).toarray()[:, 0]
        drawn.append(GeneMap(name, expected, balanced, measured))
    evidence = maps.evidence
    strengths = evidence.get("strengths", {})
    rows = [
        (
            "Mean Pearson correlation on left-out spots, 200 most abundant genes",
            str(evidence.get("held_out_pearson_200")),
        )
    ]
    rows += [(name.replace("_", " "), str(value)) for name, value in strengths.items()]
    grid = maps.grid
    facts = [
        ("Section", stored.section),
        ("Genes", f"{len(maps.genes):,}"),
        ("Raster", f"{grid.columns:,} x {grid.rows:,} cells of {grid.um:g} µm"),
        ("Spots", f"{len(stored.xy_px):,}, {stored.shape}s of {stored.diameter_um:g} µm" if has_spots else "none"),
        ("Mapper", str(stored.facts.get("mapper", ""))),
        ("Components", str(evidence.get("components", ""))),
    ]
    return MapsContents(
        section=stored.section,
        picture=picture,
        picture_um=step * section.mpp,
        raster_um=grid.um,
        genes=tuple(drawn),
        xy_um=stored.xy_px * section.mpp,
        diameter_um=stored.diameter_um,
        facts=facts,
        evidence=rows,
        notes=(*(f"{warning[:1].upper()}{warning[1:]}." for warning in evidence.get("warnings", ())), *NOTES),
    )
