"""The report as one self-contained HTML page: styles and pictures are inside it, and it has no scripts."""

import base64
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from histoscribe.report import words
from histoscribe.report.contents import ReportContents
from histoscribe.report.portraits import other_levels, portraits
from histoscribe.report.report_figure import ReportFigure
from histoscribe.report.tiles import spot_area_um2

# a PNG above this many bytes is mostly photograph; the page holds it as JPEG, so that the page can be mailed
_MAX_PNG = 400_000
_JPEG_QUALITY = 88


def render(template: str, **context: Any) -> str:
    """Fill a template of this package; everything from the data is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("histoscribe.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = words.number
    return environment.get_template(template).render(**context)


def report_page(contents: ReportContents, figures: Sequence[ReportFigure]) -> str:
    """Return the page of one section.

    Parameters
    ----------
    contents
        What was found.
    figures
        The figures, in the order in which they are made; the page places them by name.
    """
    section, evidence = contents.section, contents.evidence
    findings = list(contents.preflight.get("findings", ()))
    encoder = (contents.settings.get("embed") or {}).get("encoder") or {}
    settings = {name: _rest(value, "encoder", "stain", "model") for name, value in contents.settings.items()}
    columns, rows = words.score_rows(contents.scores) if contents.scores else ([], [])
    return render(
        "report.html",
        name=section.name,
        found=contents.domains is not None,
        spots=section.spots.n_obs,
        facts=facts_of(contents),
        findings=[
            finding | {"evidence": list(words.flat(finding.get("evidence") or {})), "fix": finding.get("fix")}
            for finding in findings
        ],
        level=words.worst_level(findings),
        verdict=words.VERDICTS[words.worst_level(findings)],
        figures={figure.name: picture_of(figure) for figure in figures},
        further=[figure.name for figure in contents.figures],
        portraits=[] if contents.domains is None else portraits(contents, contents.domains),
        has_area=np.isfinite(spot_area_um2(section)),
        why=words.why_this_number(evidence, contents.n_domains) + other_levels(evidence),
        admissible=(evidence.get("choice") or {}).get("admissible") or [],
        agreed=evidence.get("consensus"),
        evidence=list(words.flat(_rest(evidence, "choice", "requested"))),
        score_columns=columns,
        score_rows=rows,
        score_sentences=words.score_sentences(contents.scores) if contents.scores else [],
        methods=words.methods(contents),
        encoder=list(words.flat(_without_empty(encoder))),
        versions=list(words.flat(contents.record.get("versions") or {})),
        configuration=list(words.flat(settings)),
        inputs=contents.record.get("inputs") or [],
        notes=contents.notes,
        advice=contents.advice,
        limits=words.limits(contents),
    )


def _rest(mapping: dict[str, Any], *excluded: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in excluded}


def _without_empty(card: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in card.items() if value is not None and value not in ("", {})}


def facts_of(contents: ReportContents) -> list[tuple[str, str]]:
    """Say what was read and how the run was made, row by row."""
    section = contents.section
    facts = [
        ("Section", section.name),
        ("Patient", section.patient or "not given"),
        ("Platform", words.PLATFORMS.get(section.platform, section.platform)),
        ("Spots", f"{section.spots.n_obs:,}" if section.spots.n_obs else "none"),
        ("Genes", f"{section.spots.n_vars:,}" if section.has_counts else "no counts"),
    ]
    if contents.domains is not None:
        facts.append(("Domains", f"{contents.n_domains:,}"))
    if section.image is not None:
        facts.append(("Picture", f"{section.image.width:,} x {section.image.height:,} pixels"))
    else:
        facts.append(("Picture", "none"))
    lattice = section.lattice
    if lattice is not None:
        shape = "hexagonal" if lattice.kind == "hex" else "square"
        facts.append(
            ("Lattice", f"{shape}, pitch {lattice.pitch_um:.4g} µm, spots of {lattice.spot_diameter_um:.4g} µm")
        )
    else:
        facts.append(("Lattice", "none"))
    facts.append(("Microns per pixel", words.microns_per_pixel(contents)))
    return facts


def picture_of(figure: ReportFigure) -> dict[str, Any]:
    """Describe a figure for the templates: its data, size and texts."""
    kind, data = ("png", figure.png) if len(figure.png) <= _MAX_PNG else ("jpeg", _jpeg(figure.png))
    size = re.match(rb".{16}(.{4})(.{4})", figure.png, re.DOTALL)  # width and height in a PNG's first chunk
    width, height = (int.from_bytes(part, "big") for part in size.groups()) if size else (0, 0)
    return {
        "title": figure.title,
        "caption": figure.caption,
        "alt": figure.alt,
        "file": f"figures/{figure.name}.png",
        "source": f"data:image/{kind};base64,{base64.b64encode(data).decode()}",
        "width": width,
        "height": height,
    }


def _jpeg(png: bytes) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    # full colour resolution: at half of it the coloured numbers on the map would blur
    Image.open(io.BytesIO(png)).convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
