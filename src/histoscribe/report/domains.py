"""The page on domains: the map, what each domain is made of and looks like, what it borders on, how far to trust it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from histoscribe.report import palette, words
from histoscribe.report.canvas import house_style
from histoscribe.report.charts import draw_sizes, draw_stability
from histoscribe.report.contents import ReportContents
from histoscribe.report.domains_figures import draw_gene_maps, draw_markers
from histoscribe.report.figures import draw_confidence, draw_domains, draw_picture
from histoscribe.report.page import facts_of, picture_of, render
from histoscribe.report.plate import Plate, write_page
from histoscribe.report.sheet import prepare
from histoscribe.report.tiles import spot_area_um2

_MARKERS_TOLD, _FEATURES_TOLD = 8, 3
# differences smaller than this are not worth a reader's time
_LEAST_EFFECT = 0.3

LIMITS = (
    "Domains are regions alike in what was measured and close together. They are not cell types, and no diagnosis "
    "follows from them; this is research software.",
    "Markers were found on the same counts as the domains. They describe the domains; they do not test them.",
    "Domain numbers are names by size: domain 1 of one section is not domain 1 of another.",
    "The number of domains is a choice of scale: a coarser or finer division may be as right.",
    "Confidence says how firmly the method holds to its own answer. It is not the chance that a pathologist agrees.",
)


@dataclass(frozen=True, slots=True, eq=False)
class DomainFacts:
    """What tells the domains apart, as tables.

    Parameters
    ----------
    markers
        From `domains.markers.marker_genes`, or None where there are no counts.
    morphology
        From `describe_features`, or None where there is no picture.
    neighbours
        From `domain_neighbours`, or None.
    """

    markers: pd.DataFrame | None = None
    morphology: pd.DataFrame | None = None
    neighbours: pd.DataFrame | None = None


def write_domain_report(folder: Path, contents: ReportContents, facts: DomainFacts) -> list[Path]:
    """Write `figures/*.png` and `report.html` into `folder`; the same contents give the same bytes.

    Parameters
    ----------
    folder
        An existing folder; the caller moves it into place.
    contents
        The section and its domains.
    facts
        What tells them apart.

    Returns
    -------
    The files written, the page last.
    """
    plates = _draw(contents, facts)
    return write_page(folder, _page(contents, facts, plates), plates)


def _draw(contents: ReportContents, facts: DomainFacts) -> list[Plate]:
    sheet = prepare(contents)
    with house_style():
        plates: list[Plate | None] = [
            draw_picture(sheet),
            draw_domains(sheet),
            draw_confidence(sheet),
            draw_stability(sheet, contents.evidence),
            draw_sizes(sheet, spot_area_um2(contents.section)),
        ]
        if facts.markers is not None and len(facts.markers):
            plates += [
                draw_markers(sheet, contents.section.spots, facts.markers),
                draw_gene_maps(sheet, contents.section.spots, facts.markers),
            ]
    return [plate for plate in plates if plate is not None]


def _page(contents: ReportContents, facts: DomainFacts, plates: list[Plate]) -> str:
    evidence = contents.evidence
    findings = [one for one in contents.preflight.get("findings", ()) if one["level"] != "ok"]
    return render(
        "domains.html",
        name=contents.section.name,
        facts=facts_of(contents),
        plates={plate.name: picture_of(plate) for plate in plates},
        portraits=_portraits(contents, facts),
        why=words.why_this_number(evidence, contents.n_domains) + _levels(evidence),
        admissible=(evidence.get("choice") or {}).get("admissible") or [],
        agreed=evidence.get("consensus"),
        evidence=list(words.flat({k: v for k, v in evidence.items() if k not in ("choice", "requested")})),
        findings=findings,
        methods=words.methods(contents),
        configuration=list(words.flat(contents.record.get("configuration") or {})),
        versions=list(words.flat(contents.record.get("versions") or {})),
        inputs=contents.record.get("inputs") or [],
        notes=contents.notes,
        limits=LIMITS,
    )


def _levels(evidence: dict[str, Any]) -> list[str]:
    """Say at which other numbers the tissue divides well, finer or coarser than the one shown."""
    levels = (evidence.get("choice") or {}).get("levels") or []
    others = ", ".join(f"{k:,}" for k in levels if k != evidence.get("n_domains"))
    if not others:
        return []
    return [f"Other levels, each more stable than one domain more or fewer: {others}. Ask for one with --n-domains."]


def _portraits(contents: ReportContents, facts: DomainFacts) -> list[dict[str, Any]]:
    """Describe each domain in words and numbers, for one row of the page's main table."""
    held = contents.evidence.get("reproducibility") or {}
    rows = []
    for key, part in contents.domains.groupby("domain", sort=True):
        k = int(str(key))
        rows.append(
            {
                "domain": k,
                "colour": palette.domain_hex(k),
                "outlined": palette.is_outlined(k),
                "spots": len(part),
                "share": 100 * len(part) / len(contents.domains),
                "confidence": f"{np.nanmean(part['confidence'].to_numpy(np.float64)):.2f}",
                "reproducibility": f"{held[str(k)]:.2f}" if str(k) in held else None,
                "genes": _genes(facts.markers, k),
                "look": _look(facts.morphology, k),
                "borders": _borders(facts.neighbours, k),
            }
        )
    return rows


def _genes(markers: pd.DataFrame | None, k: int) -> list[dict[str, str]]:
    if markers is None:
        return []
    own = _rows(markers[markers["domain"] == k].head(_MARKERS_TOLD))
    return [
        {
            "gene": str(row["gene"]),
            "told": f"effect {row['effect']:.2f}, {2 ** row['log2_fold_change']:.1f} times the rest, "
            f"specificity {row['specificity']:.2f}, autocorrelation {row['autocorrelation']:.2f}",
        }
        for row in own
    ]


def _look(morphology: pd.DataFrame | None, k: int) -> list[str]:
    if morphology is None:
        return ["not measured"]
    own = _rows(morphology[morphology["domain"] == k])
    marked = [row for row in own if abs(row["effect"]) >= _LEAST_EFFECT]
    marked.sort(key=lambda row: -abs(row["effect"]))
    return [
        f"{'more' if row['effect'] > 0 else 'less'} {row['feature']}: {words.number(row['mean'])} against "
        f"{words.number(row['mean_outside'])}"
        for row in marked[:_FEATURES_TOLD]
    ]


def _borders(neighbours: pd.DataFrame | None, k: int) -> list[str]:
    if neighbours is None:
        return []
    own = _rows(neighbours[neighbours["domain"] == k].head(3))
    return [f"{row['neighbour']} ({100 * row['share']:.0f} %)" for row in own]


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
