"""What the report says in words: each sentence is made of the run's own numbers and says no more than they do."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from histoscribe.report.contents import LEVELS, ReportContents
from histoscribe.report.sheet import knows_microns

METRICS = {
    "ari": ("adjusted Rand index", "counts the pairs of spots that both divisions treat alike; 0 is chance"),
    "nmi": ("normalised mutual information", "says how much one division tells of the other; 0 is nothing"),
}
_CLOSE = 0.02  # a difference that a second seed could make

PLATFORMS = {
    "visium": "Visium",
    "visium_hd": "Visium HD",
    "st": "Spatial Transcriptomics",
    "generic": "not told",
}

VERDICTS = {
    "ok": "Picture and spots fit each other.",
    "warning": "Picture and spots can be used together; read the warnings.",
    "refused": "Picture and spots do not fit each other.",
}

LIMITS = (
    "Domains are regions that look alike in the picture and lie together. They are not cell types, and no diagnosis "
    "follows from them; this is research software.",
    "Domain numbers are names without order, and domain 1 of one section is not domain 1 of another.",
    "A border between domains is known no finer than the distance between spots.",
    "The number of domains is a choice of scale: a coarser or finer division may be as right.",
    "Confidence says how firmly the method holds to its own answer. It is not the chance that a pathologist agrees.",
    "One section says nothing about the difference between patients or conditions.",
)


def number(value: object) -> str:
    """Write a value for a reader: whole numbers with thousands, others to four digits, NaN as "not known"."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        real = float(value)
        if not math.isfinite(real):
            return "not known"
        return f"{real:,.0f}" if abs(real) >= 10_000 else f"{real:.4g}"
    return "none" if value is None else str(value)


def flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Turn nested mappings and lists into rows (name, text): {"a": {"b": 1}} gives ("a.b", "1")."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from flat(part, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(part, Mapping | list | tuple) for part in value):
        for place, part in enumerate(value, 1):
            yield from flat(part, f"{path}.{place}" if path else str(place))
    elif isinstance(value, list | tuple):
        yield path, ", ".join(number(part) for part in value) or "none"
    else:
        yield path, number(value)


def worst_level(findings: list[dict[str, Any]]) -> str:
    """Return the gravest level among preflight's findings."""
    return max((finding["level"] for finding in findings), key=LEVELS.index, default="ok")


def microns_per_pixel(contents: ReportContents) -> str:
    """Say how large a pixel is, who says so, and how far they agree."""
    section = contents.section
    if not knows_microns(section):
        return "not known: without an image or a lattice, distances here are in pixels"
    text = f"{section.mpp:.4g} µm"
    image_says = section.image.mpp_by_source if section.image is not None else {}
    sources = contents.preflight.get("mpp_by_source") or image_says
    if not sources:
        return text
    told = "; ".join(f"{name} {value:.4g}" for name, value in sources.items())
    if len(sources) == 1:
        return f"{text} (one source only: {told})"
    spread = 100 * (max(sources.values()) / min(sources.values()) - 1)
    return f"{text} ({told}; they agree within {spread:.1f} %)"


def stability_curve(evidence: Mapping[str, Any]) -> dict[int, float]:
    """Stability by number of domains, in the order of the numbers; empty where the method told none."""
    choice = evidence.get("choice") or {}
    told = zip(choice.get("numbers") or (), choice.get("stability") or (), strict=True)
    return {int(k): float(stability) for k, stability in sorted(told) if np.isfinite(stability)}


def why_this_number(evidence: Mapping[str, Any], found: int) -> list[str]:
    """Say in sentences how the number of domains came about; empty where nothing was told."""
    sentences = []
    requested, choice = evidence.get("requested"), evidence.get("choice") or {}
    if requested is not None:
        got = "and that is how many there are" if requested == found else f"but the section gave {found:,}"
        sentences.append(f"{requested:,} domains were asked for, {got}.")
    elif choice:
        sentences.append(f"No number was asked for; {choice.get('chosen', found):,} was chosen.")
    curve = stability_curve(evidence)
    if found in curve:
        sentences.append(
            f"Repeated runs with {found:,} domains agree with a stability of {curve[found]:.2f}, where 1 means that "
            "every run gives the same division."
        )
        others = {k: stability for k, stability in curve.items() if k != found}
        if others:
            best = max(others, key=lambda k: others[k])
            sentences.append(f"Of the other numbers, {best:,} is the most stable, with {others[best]:.2f}.")
    also = [k for k in choice.get("admissible") or () if k != found]
    if requested is None and also:
        sentences.append(f"About as stable, and so as admissible: {', '.join(f'{k:,}' for k in also)}.")
    if choice.get("agreed") is False:
        sentences.append(
            "No number is stable here: the picture shows no sharp division, and this one is the fewest that does about "
            "as well as any. Ask for the number that your question needs."
        )
    if evidence.get("all_domains_hold") is False:
        sentences.append(
            "The divisions do not agree on so many domains: at least one stands on a single division, and its spots "
            "have a low confidence."
        )
    if choice.get("rule"):
        sentences.append(f"The rule: {str(choice['rule']).rstrip('.')}.")
    return sentences


def score_rows(scores: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return a table of scores: its columns (this run and each floor) and its rows (metric, texts)."""
    floors = scores.get("floors") or {}
    metrics = [name for name, value in scores.items() if isinstance(value, float)]  # counts are no scores
    rows = [
        (
            METRICS[name][0] if name in METRICS else name,
            [_score(scores[name]), *[_score(floor.get(name)) for floor in floors.values()]],
        )
        for name in metrics
    ]
    return ["this run", *[f"{name} only" for name in floors]], rows


def score_sentences(scores: Mapping[str, Any]) -> list[str]:
    """Say what the scores mean: what each metric counts, and whether the run beats its floors."""
    floors: Mapping[str, Mapping[str, float]] = scores.get("floors") or {}
    sentences = []
    for metric, (name, meaning) in METRICS.items():
        if metric not in scores:
            continue
        own = float(scores[metric])
        sentences.append(f"The {name} {meaning}, 1 is full agreement. Here it is {own:.2f}.")
        known = {floor: float(values[metric]) for floor, values in floors.items() if metric in values}
        if known:
            best = max(known, key=lambda floor: known[floor])
            sentences.append(f"{_against_floor(own - known[best])} the best floor ({best} only, {known[best]:.2f}).")
    return sentences


def methods(contents: ReportContents) -> str:
    """Write the paragraph that can be pasted into a paper; it names only what the record holds."""
    section, record = contents.section, contents.record
    configuration = record.get("configuration") or {}
    platform = f"{PLATFORMS.get(section.platform, section.platform)}, " if section.platform != "generic" else ""
    scale = f", {section.mpp:.4g} µm per pixel" if knows_microns(section) else ""
    sentences = [
        f"Tissue domains of section {section.name} ({platform}{section.spots.n_obs:,} spots{scale}) were found with "
        f"histoscribe{_versions(record.get('versions') or {})}."
    ]
    if configuration.get("stain", "none") != "none":
        sentences.append(f"Stain was normalised ({configuration['stain']}).")
    if record.get("encoder"):
        sentences.append(_encoding(record["encoder"], configuration.get("tile_um")))
    method = f" by the method {configuration['method']}" if configuration.get("method") else ""
    seed = f" (seed {record['seed']})" if record.get("seed") is not None else ""
    number_word = "1 domain" if contents.n_domains == 1 else f"{contents.n_domains:,} domains"
    sentences.append(f"The spots were divided into {number_word}{method}{seed}.")
    if consensus := contents.evidence.get("consensus"):
        sentences.append(f"They are the consensus of {len(consensus['divisions']):,} divisions.")
    if contents.scores and "ari" in contents.scores:
        ari = float(contents.scores["ari"])
        sentences.append(f"The adjusted Rand index with the given labels was {ari:.2f}.")
    return " ".join(sentences)


def _versions(versions: Mapping[str, str]) -> str:
    own = f" {versions['histoscribe']}" if "histoscribe" in versions else ""
    others = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "histoscribe")
    return f"{own} ({others})" if others else own


def _encoding(encoder: Mapping[str, Any], tile_um: float | None) -> str:
    size = f"tiles of {number(tile_um)} µm" if tile_um else "tiles"
    told = [str(encoder[key]) for key in ("backend", "hub", "revision") if encoder.get(key)]
    licence = f"licence {encoder.get('licence') or 'not stated'}"
    name = encoder.get("name", "an encoder that the record does not name")
    return f"{size.capitalize()} of the H&E picture were encoded with {name} ({', '.join([*told, licence])})."


def _score(value: object) -> str:
    return f"{float(value):.3f}" if isinstance(value, int | float) and np.isfinite(value) else "not known"


def _against_floor(gain: float) -> str:
    if gain > _CLOSE:
        return f"That is {gain:.2f} above"
    if gain < -_CLOSE:
        return f"That is {-gain:.2f} below"
    return "That is no better than"
