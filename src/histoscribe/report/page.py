"""The report as one HTML page that needs nothing else: styles and pictures are inside it, scripts there are none."""

import base64
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from histoscribe.report import palette, words
from histoscribe.report.contents import ReportContents
from histoscribe.report.plate import Plate
from histoscribe.report.tiles import spot_area_um2

# a PNG above this many bytes is a photograph in effect, and goes into the page as JPEG so that it can be mailed
_MAX_PNG = 400_000
_JPEG_QUALITY = 88


def render(template: str, **context: Any) -> str:
    """Fill a template of this room; everything from the data is escaped."""
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


def report_page(contents: ReportContents, plates: Sequence[Plate]) -> str:
    """Return the page of one section.

    Parameters
    ----------
    contents
        What was found.
    plates
        The figures, in the order in which they are made; the page places them by name.
    """
    section, evidence = contents.section, contents.evidence
    findings = list(contents.preflight.get("findings", ()))
    columns, rows = words.score_rows(contents.scores) if contents.scores else ([], [])
    return render(
        "report.html",
        name=section.name,
        facts=facts_of(contents),
        findings=[
            finding | {"evidence": list(words.flat(finding.get("evidence") or {})), "mend": finding.get("mend")}
            for finding in findings
        ],
        level=words.worst_level(findings),
        verdict=words.VERDICTS[words.worst_level(findings)],
        plates={plate.name: picture_of(plate) for plate in plates},
        further=[plate.name for plate in contents.figures],
        domains=_domain_rows(contents),
        has_area=np.isfinite(spot_area_um2(section)),
        why=words.why_this_number(evidence, contents.n_domains),
        evidence=list(words.flat(_rest(evidence, "choice", "requested"))),
        score_columns=columns,
        score_rows=rows,
        score_sentences=words.score_sentences(contents.scores) if contents.scores else [],
        methods=words.methods(contents),
        encoder=list(words.flat(_told(contents.record.get("encoder") or {}))),
        versions=list(words.flat(contents.record.get("versions") or {})),
        configuration=list(words.flat(contents.record.get("configuration") or {})),
        inputs=contents.record.get("inputs") or [],
        stages=[str(stage["name"]) for stage in contents.record.get("stages") or ()],
        notes=contents.notes,
        limits=words.LIMITS,
    )


def _rest(mapping: dict[str, Any], *left_out: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in left_out}


def _told(card: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in card.items() if value is not None and value not in ("", {})}


def facts_of(contents: ReportContents) -> list[tuple[str, str]]:
    """Say what was read and how the run was made, row by row."""
    section = contents.section
    facts = [
        ("Section", section.name),
        ("Patient", section.patient or "not given"),
        ("Platform", words.PLATFORMS.get(section.platform, section.platform)),
        ("Spots", f"{section.spots.n_obs:,}"),
        ("Genes", f"{section.spots.n_vars:,}" if section.has_counts else "no counts"),
        ("Domains", f"{contents.n_domains:,}"),
    ]
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


def _domain_rows(contents: ReportContents) -> list[dict[str, Any]]:
    area = spot_area_um2(contents.section) / 1e6
    rows = []
    for key, part in contents.domains.groupby("domain", sort=True):
        domain = int(str(key))
        confidence = part["confidence"].to_numpy(np.float64)
        known = confidence[np.isfinite(confidence)]
        rows.append(
            {
                "domain": domain,
                "colour": palette.domain_hex(domain),
                "outlined": palette.is_outlined(domain),
                "spots": len(part),
                "share": 100 * len(part) / len(contents.domains),
                "mm2": f"{len(part) * area:.3g}",
                "confidence": f"{known.mean():.2f}" if len(known) else "not known",
            }
        )
    return rows


def picture_of(plate: Plate) -> dict[str, Any]:
    """Put a figure into the page itself: its data, size and words."""
    kind, data = ("png", plate.png) if len(plate.png) <= _MAX_PNG else ("jpeg", _jpeg(plate.png))
    size = re.match(rb".{16}(.{4})(.{4})", plate.png, re.DOTALL)  # width and height in a PNG's first chunk
    width, height = (int.from_bytes(part, "big") for part in size.groups()) if size else (0, 0)
    return {
        "title": plate.title,
        "caption": plate.caption,
        "alt": plate.alt,
        "file": f"figures/{plate.name}.png",
        "source": f"data:image/{kind};base64,{base64.b64encode(data).decode()}",
        "width": width,
        "height": height,
    }


def _jpeg(png: bytes) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    # full colour resolution: halved, the coloured numbers on the map would smear
    Image.open(io.BytesIO(png)).convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
