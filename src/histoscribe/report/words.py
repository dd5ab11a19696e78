"""The sentences of the report, made from the run's own numbers; they claim no more than the numbers show."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from histoscribe.report.contents import LEVELS, ReportContents
from histoscribe.report.tissue_canvas import knows_microns

METRICS = {
    "ari": ("adjusted Rand index", "counts the pairs of spots on which both divisions agree; 0 is what chance gives"),
    "nmi": ("normalised mutual information", "is how much information the two divisions share; 0 is none"),
}
_CLOSE = 0.02  # a difference that a second seed could make

PLATFORMS = {
    "visium": "Visium",
    "visium_hd": "Visium HD",
    "st": "Spatial Transcriptomics",
    "picture": "a picture alone",
    "generic": "not given",
}

VERDICTS = {
    "ok": "Picture and spots fit each other.",
    "open": "Nothing speaks against it that picture and spots fit each other; some of it cannot be told.",
    "warning": "Picture and spots can be used together; read the warnings.",
    "refused": "Picture and spots do not fit each other.",
}

LIMITS = (
    "Domains are regions of neighbouring spots with similar measurements. They are not cell types, and no diagnosis "
    "follows from them; this is research software.",
    "Domain numbers are names without order, and domain 1 of one section is not domain 1 of another.",
    "A border between domains is known no finer than the distance between spots.",
    "The number of domains is a choice of scale: a coarser or finer division may be equally right.",
    "Confidence says how stable the method's own answer is. It is not the probability that a pathologist agrees.",
    "One section says nothing about the difference between patients or conditions.",
)


_LIMIT_OF_ALL = "No diagnosis follows from what was measured here; this is research software."
_LIMIT_OF_MARKERS = (
    "Markers were found on the same counts as the domains. They describe the domains; they do not validate them."
)


def limits(contents: ReportContents) -> list[str]:
    """Return what the result does not say."""
    if contents.domains is None:
        return [_LIMIT_OF_ALL]
    transferred = contents.evidence.get("method") == "transfer"
    by_counts = contents.facts.markers is not None and not transferred
    return [*LIMITS, *([_LIMIT_OF_MARKERS] if by_counts else [])]


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
    """Return the most severe level among preflight's findings."""
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
    listed = "; ".join(f"{name} {value:.4g}" for name, value in sources.items())
    if len(sources) == 1:
        return f"{text} (one source only: {listed})"
    spread = 100 * (max(sources.values()) / min(sources.values()) - 1)
    return f"{text} ({listed}; they agree within {spread:.1f} %)"


def stability_curve(evidence: Mapping[str, Any]) -> dict[int, float]:
    """Stability by number of domains, in the order of the numbers; empty where the method reported none."""
    choice = evidence.get("choice") or {}
    curve = zip(choice.get("numbers") or (), choice.get("stability") or (), strict=True)
    return {int(k): float(stability) for k, stability in sorted(curve) if np.isfinite(stability)}


def why_this_number(evidence: Mapping[str, Any], found: int) -> list[str]:
    """Say in sentences how the number of domains was chosen; empty where nothing is known about it."""
    if evidence.get("method") == "transfer":
        return ["The domains are those of another section; a spot that looks like none of them has no domain."]
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
        sentences.append(f"About as stable, and so equally admissible: {', '.join(f'{k:,}' for k in also)}.")
    if choice.get("agreed") is False:
        sentences.append(
            "No number is stable here: the picture shows no sharp division, and this one is the fewest that does about "
            "as well as any. Ask for the number that your question needs."
        )
    if evidence.get("all_domains_hold") is False:
        sentences.append(
            "The divisions do not agree on so many domains: at least one comes from a single division, and its spots "
            "have a low confidence."
        )
    if choice.get("rule"):
        sentences.append(f"The rule: {str(choice['rule']).rstrip('.')}.")
    return sentences


def score_rows(scores: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return a table of scores: its columns (this run and each floor) and its rows (metric, texts)."""
    metrics = {name: value for name, value in scores.items() if isinstance(value, Mapping)}  # counts are no scores
    floors = list(dict.fromkeys(floor for value in metrics.values() for floor in value if floor != "score"))
    rows = [
        (
            METRICS[name][0] if name in METRICS else name,
            [_score(value.get("score")), *[_score(value.get(floor)) for floor in floors]],
        )
        for name, value in metrics.items()
    ]
    return ["this run", *[f"{name} only" for name in floors]], rows


def score_sentences(scores: Mapping[str, Any]) -> list[str]:
    """Say what the scores mean: what each metric counts, and whether the run beats its floors."""
    sentences = []
    for metric, (name, meaning) in METRICS.items():
        if metric not in scores:
            continue
        own = float(scores[metric]["score"])
        sentences.append(f"The {name} {meaning}, 1 is full agreement. Here it is {own:.2f}.")
        known = {name: float(value) for name, value in scores[metric].items() if name != "score" and value is not None}
        if known:
            best = max(known, key=lambda floor: known[floor])
            sentences.append(f"{_against_floor(own - known[best])} the best floor ({best} only, {known[best]:.2f}).")
    return sentences


def methods(contents: ReportContents) -> str:
    """Write the paragraph that can be pasted into a paper; it names only what the record holds."""
    section, record, settings = contents.section, contents.record, contents.settings
    parts = [] if section.platform == "generic" else [PLATFORMS.get(section.platform, section.platform)]
    parts += [f"{section.spots.n_obs:,} spots"] if section.spots.n_obs else []
    parts += [f"{section.mpp:.4g} µm per pixel"] if knows_microns(section) else []
    what = "Tissue domains of section" if contents.domains is not None else "Section"
    verb = "were found" if contents.domains is not None else "was measured"
    sentences = [
        f"{what} {section.name} ({', '.join(parts)}) {verb} with histoscribe{_versions(record.get('versions') or {})}."
    ]
    embed, found = settings.get("embed") or {}, settings.get("domains") or {}
    if embed.get("stain"):
        sentences.append(f"Stain was normalised ({embed['stain']['normaliser']['method']}).")
    if embed.get("encoder"):
        sentences.append(_encoding(embed["encoder"], (embed.get("tiles") or {}).get("tile_um")))
    if settings.get("nuclei"):
        sentences.append(f"Nuclei were found with the segmenter {settings['nuclei']['segmenter']}.")
    if settings.get("maps"):
        maps, model = settings["maps"]["maps"], settings["maps"]["model"]
        learnt = f" with what was learnt on section {model['section']}" if model else ""
        sentences.append(f"Genes were mapped in cells of {number(maps['um'])} µm{learnt}.")
    if settings.get("predictions"):
        sentences.append("Targets were predicted from the picture by a model fitted on other sections.")
    if contents.domains is None:
        return " ".join(sentences)
    if found.get("method") == "transfer":
        return " ".join(
            [*sentences, f"The domains are those of section {found['section']}, transferred by their appearance."]
        )
    method = f" by the method {found['method']}" if found.get("method") else ""
    seed = f" (seed {found['seed']})" if found.get("seed") is not None else ""
    number_word = "1 domain" if contents.n_domains == 1 else f"{contents.n_domains:,} domains"
    sentences.append(f"The spots were divided into {number_word}{method}{seed}.")
    if consensus := contents.evidence.get("consensus"):
        sentences.append(f"They are the consensus of {len(consensus['divisions']):,} divisions.")
    if contents.scores and "ari" in contents.scores:
        ari = float(contents.scores["ari"]["score"])
        sentences.append(f"The adjusted Rand index with the given labels was {ari:.2f}.")
    return " ".join(sentences)


def _versions(versions: Mapping[str, str]) -> str:
    own = f" {versions['histoscribe']}" if "histoscribe" in versions else ""
    others = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "histoscribe")
    return f"{own} ({others})" if others else own


def _encoding(encoder: Mapping[str, Any], tile_um: float | None) -> str:
    size = f"tiles of {number(tile_um)} µm" if tile_um else "tiles"
    origin = [str(encoder[key]) for key in ("backend", "hub", "revision") if encoder.get(key)]
    licence = f"licence {encoder.get('licence') or 'not stated'}"
    name = encoder.get("name", "an encoder that the record does not name")
    return f"{size.capitalize()} of the H&E picture were encoded with {name} ({', '.join([*origin, licence])})."


def _score(value: object) -> str:
    return f"{float(value):.3f}" if isinstance(value, int | float) and np.isfinite(value) else "not known"


def _against_floor(gain: float) -> str:
    if gain > _CLOSE:
        return f"That is {gain:.2f} above"
    if gain < -_CLOSE:
        return f"That is {-gain:.2f} below"
    return "That is no better than"
