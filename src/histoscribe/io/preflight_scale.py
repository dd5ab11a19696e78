"""The size of a pixel by every source, whether the lattice is the assay's, and how many pixels a spot has."""

from histoscribe.io.preflight_findings import Finding, Level, factor, percent
from histoscribe.io.preflight_lattice import LatticeFit
from histoscribe.io.reading import Reading

# Tolerances. Nominal spot diameters and rounding to pixels make up to 10 %; a picture that was made smaller and kept
# its old tags is off by a small factor, never tenfold; spots that lie on the tissue overrule such a tag.
AGREE, STALE, TENFOLD = 1.10, 3.0, 8.0
_SQUARE, _DISTORTED = 1.05, 1.25
_SPOT_PX = 2.0
_FINE_SPOT_PX = 8.0


def all_sources(reading: Reading, measured: float | None) -> dict[str, float]:
    """Microns per pixel by every source, with the spots' pitch as it is now."""
    sources = dict(reading.mpp_by_source)
    if measured is not None:
        sources["spot pitch"] = measured
    image = reading.section.image
    if image is not None and image.mpp is not None:
        mpp = image.mpp
        if not any(abs(source / mpp - 1) < 1e-6 for source in sources.values()):
            sources["the image"] = mpp
    return sources


def mpp_finding(sources: dict[str, float], *, in_use: float, on_tissue: bool) -> Finding:
    """Whether all sources agree on microns per pixel.

    Parameters
    ----------
    sources
        Microns per pixel by source.
    in_use
        The one that the section uses.
    on_tissue
        Whether the spots lie on the tissue as they are: then a source that is off by less than tenfold is stale.
    """
    name = "microns per pixel"
    evidence = {"in use": in_use, **sources}
    listed = "; ".join(f"{source} {mpp:.4g}" for source, mpp in sources.items())
    if not sources:
        fix = "give mpp, microns per pixel of this image"
        return Finding(name, "warning", f"Nothing confirms {in_use:.4g} um per pixel.", evidence, fix)
    low, high = min(sources, key=lambda s: sources[s]), max(sources, key=lambda s: sources[s])
    ratio = evidence["ratio"] = sources[high] / sources[low]
    if len(sources) == 1:
        message = f"One source only gives {in_use:.4g} um per pixel: {listed}."
        return Finding(name, "ok", message, evidence)
    if ratio <= AGREE:
        message = f"{len(sources)} sources agree on {in_use:.4g} um per pixel, to {percent(ratio - 1)}: {listed}."
        return Finding(name, "ok", message, evidence)
    level: Level = "refused" if ratio >= (TENFOLD if on_tissue else STALE) else "warning"
    message = (
        f"The sources disagree on microns per pixel: {high} says {sources[high]:.4g}, {low} says {sources[low]:.4g}, "
        f"{factor(ratio)} less. In use is {in_use:.4g}."
    )
    if ratio >= TENFOLD:
        message += " The coordinates, or one of these numbers, are in the wrong unit or resolution."
    fix = "find out which is right and give it as mpp; give the coordinates in pixels of this image"
    return Finding(name, level, message, evidence, fix)


def lattice_finding(reading: Reading, fit: LatticeFit) -> Finding:
    """Whether pixels follow the array's rows and columns, with the same scale along both."""
    lattice = reading.section.lattice
    pitch_um = lattice.pitch_um if lattice is not None else 1.0
    pitch_px = pitch_um / fit.mpp
    evidence = {
        "pitch_px": pitch_px,
        "pitch_um": pitch_um,
        "stretch": fit.stretch,
        "rms_pitches": fit.rms_px / pitch_px,
        "mirrored": float(fit.mirrored),
    }
    if fit.rms_px > 0.25 * pitch_px:
        far = fit.rms_px / pitch_px
        level: Level = "refused" if far > 1 else "warning"
        message = (
            f"The pixel coordinates do not follow the array's rows and columns: spots lie {far:.1f} pitches from where "
            "their row and column put them."
        )
        fix = "join coordinates to barcodes by name and not by order; take both from one tissue_positions file"
        return Finding("lattice", level, message, evidence, fix)
    if fit.stretch > _SQUARE:
        level = "refused" if fit.stretch > _DISTORTED else "warning"
        message = (
            f"x and y have different scales: the lattice is stretched by {percent(fit.stretch - 1)} along one axis, "
            "while the assay's is regular."
        )
        fix = "scale x and y by the same factor, or use the image in its original proportions"
        return Finding("lattice", level, message, evidence, fix)
    message = f"The spots stand on the assay's lattice: {pitch_um:.4g} um are {pitch_px:.1f} px along both axes."
    return Finding("lattice", "ok", message, evidence)


def spot_size_finding(reading: Reading) -> Finding | None:
    """Whether a spot has enough pixels; None without a lattice."""
    section = reading.section
    if section.lattice is None:
        return None
    diameter = section.lattice.spot_diameter_um / section.mpp
    evidence = {"spot_diameter_px": diameter, "mpp": section.mpp}
    fix = "give the full-resolution image"
    if diameter < _SPOT_PX:
        message = f"The image is too small for these spots: one spot is {diameter:.1f} px wide, too few to see tissue."
        return Finding("spot size", "refused", message, evidence, fix)
    if diameter < _FINE_SPOT_PX:
        message = (
            f"The image is coarse: one spot is {diameter:.1f} px wide, so that colour can be read under it but no "
            "structure. It is probably the vendor's small overview image."
        )
        return Finding("spot size", "warning", message, evidence, fix)
    message = f"One spot is {diameter:.0f} px wide ({section.lattice.spot_diameter_um:.3g} um)."
    return Finding("spot size", "ok", message, evidence)
