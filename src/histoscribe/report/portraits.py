"""What each domain is made of, how it looks and what it borders on, in words and numbers."""

from typing import Any

import numpy as np
import pandas as pd

from histoscribe.report import palette, words
from histoscribe.report.contents import ReportContents
from histoscribe.report.tiles import spot_area_um2

_MARKERS_SHOWN, _FEATURES_SHOWN = 8, 3
# smaller differences are not shown
_LEAST_EFFECT = 0.3


def other_levels(evidence: dict[str, Any]) -> list[str]:
    """Say which other numbers of domains divide the tissue well, finer or coarser than the one shown."""
    levels = (evidence.get("choice") or {}).get("levels") or []
    others = ", ".join(f"{k:,}" for k in levels if k != evidence.get("n_domains"))
    if not others:
        return []
    return [f"Other levels, each more stable than one domain more or fewer: {others}. Ask for one with --n-domains."]


def portraits(contents: ReportContents, domains: pd.DataFrame) -> list[dict[str, Any]]:
    """Describe each domain in words and numbers, for one row of the page's main table each."""
    facts, area = contents.facts, spot_area_um2(contents.section) / 1e6
    held = contents.evidence.get("reproducibility") or {}
    rows = []
    for key, part in domains.groupby("domain", sort=True):
        k = int(str(key))
        confidence = part["confidence"].to_numpy(np.float64)
        known = confidence[np.isfinite(confidence)]
        rows.append(
            {
                "domain": k,
                "colour": palette.domain_hex(k),
                "outlined": palette.is_outlined(k),
                "spots": len(part),
                "share": 100 * len(part) / len(domains),
                "mm2": f"{len(part) * area:.3g}",
                "confidence": f"{known.mean():.2f}" if len(known) else "not known",
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
    own = _rows(markers[markers["domain"] == k].head(_MARKERS_SHOWN))
    return [
        {
            "gene": str(row["gene"]),
            "numbers": f"effect {row['effect']:.2f}, {2 ** row['log2_fold_change']:.1f} times the rest, "
            f"specificity {row['specificity']:.2f}, autocorrelation {row['autocorrelation']:.2f}",
        }
        for row in own
    ]


def _look(morphology: pd.DataFrame | None, k: int) -> list[str]:
    if morphology is None:
        return []
    own = _rows(morphology[morphology["domain"] == k])
    marked = [row for row in own if abs(row["effect"]) >= _LEAST_EFFECT]
    marked.sort(key=lambda row: -abs(row["effect"]))
    return [
        f"{'more' if row['effect'] > 0 else 'less'} {row['feature']}: {words.number(row['mean'])} against "
        f"{words.number(row['mean_outside'])}"
        for row in marked[:_FEATURES_SHOWN]
    ]


def _borders(neighbours: pd.DataFrame | None, k: int) -> list[str]:
    if neighbours is None:
        return []
    own = _rows(neighbours[neighbours["domain"] == k].head(3))
    return [f"{row['neighbour']} ({100 * row['share']:.0f} %)" for row in own]


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
