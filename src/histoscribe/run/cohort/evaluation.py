"""The files of an evaluation: scores.json, audit.json, the predictions of every held-out section, and the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.predict.apart import sections_apart
from histoscribe.predict.calibration import THINNED
from histoscribe.predict.context import standardised
from histoscribe.predict.evaluate import FoldResult, FoldSettings, plain
from histoscribe.predict.metrics import PER_TARGET
from histoscribe.predict.patient_shift import patient_shift
from histoscribe.predict.summary import LEAKY, compare, sections_in, summarise, verdicts_of
from histoscribe.report.evaluation import write_evaluation_page
from histoscribe.report.evaluation_contents import EvaluationContents, MapPair, Rung
from histoscribe.run.cohort.files import SectionFiles
from histoscribe.run.cohort.observing import Seen
from histoscribe.run.cohort.sections import notes_of
from histoscribe.store.files import write_json

_UNITS = {
    "log1p_cp10k": "ln(1 + counts per 10,000)",
    "log10_panel": "log10(1 + counts per 10,000 of the panel)",
}
_MAPS_PER_SECTION, _MAPPED_SECTIONS = 2, 3


def write_evaluation(
    folder: Path,
    results: Sequence[FoldResult],
    settings: FoldSettings,
    *,
    record: Mapping[str, Any],
    files: Sequence[SectionFiles],
    seen: Mapping[str, Seen],
) -> dict[str, Any]:
    """Write everything into `folder` and return the scores; `seen` are the sections as the first fold saw them."""
    records = [result.record for result in results]
    arrays = [result.arrays for result in results]
    scores = summarise(records, settings)
    scores["comparisons"] = compare(scores["chosen"], list(scores["heads"]), arrays, settings)
    own = record["configuration"]["standardise"] == "section"
    scores["apart"] = _apart(list(seen.values()), standardised_apart=own) if len(seen) > 1 else None
    write_json(folder / "scores.json", scores)
    write_json(folder / "audit.json", audit_of(records))
    (folder / "predictions").mkdir()
    for fold, part in zip(records, arrays, strict=True):
        for section in sections_in(part):
            table = prediction_table(fold, part, section, scores)
            table.write_h5ad(folder / "predictions" / f"{section.replace('#', '_block')}.h5ad", compression="gzip")
    contents = page_contents(scores, records, arrays, settings, record=record, files=files)
    write_evaluation_page(folder, contents)
    return scores


def _apart(seen: Sequence[Seen], *, standardised_apart: bool) -> dict[str, Any]:
    """How far the sections lie apart, by their smallest tiles: as encoded, and as heads get them."""
    names = [one.observed.name for one in seen]
    depths = [depth for one in seen if (depth := one.observed.depth()) is not None]
    known = len(depths) == len(seen)
    # what is standardised in each section by itself knows only of the depth within it
    own = [standardised(depth[:, None])[:, 0] for depth in depths] if standardised_apart else depths
    found = {
        way: sections_apart(features, names, np.concatenate(taken_out) if known else None)
        for way, features, taken_out in (
            ("as encoded", [one.embedding for one in seen], depths),
            ("as heads get them", [one.observed.blocks[one.block] for one in seen], own),
        )
    }
    ways = {way: {"share": one.share, "mixing": one.mixing} for way, one in found.items()}
    facts: dict[str, Any] = plain({"features": seen[0].block, "without_depth": known, "ways": ways})
    return facts


def audit_of(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Tell for every fold which sections each fitted part really saw."""
    leaky = any(fold["leaky"] for fold in records)
    return {
        "leaky": leaky,
        "warning": LEAKY if leaky else None,
        "folds": {fold["fold"]: {"leaky": fold["leaky"], "rule": fold["rule"], **fold["audit"]} for fold in records},
    }


def prediction_table(
    fold: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], section: str, scores: Mapping[str, Any]
) -> Any:
    """Predictions of one held-out section as AnnData: X the chosen head, layers the measurement, interval and heads."""
    import pandas as pd
    from anndata import AnnData

    chosen = scores["chosen"]
    cards = {card["name"]: card for card in fold["heads"][chosen]["cards"]}
    names = fold["target"]["names"]
    var = pd.DataFrame(
        {
            **{key: [cards[name][key] for name in names] for key in ("verdict", "reason")},
            "skill": np.array([cards[name]["skill"] for name in names], np.float64),
            "ceiling": np.array([cards[name]["ceiling"] for name in names], np.float64),
        },
        index=pd.Index(names, dtype=object),
    )
    rows = arrays.get(f"{section}/spots/row", np.arange(len(arrays[f"{section}/measured"])))
    obs = pd.DataFrame(index=rows.astype(int).astype(str).astype(object))
    if f"{section}/spots/off_tissue" in arrays:
        obs["off_tissue"] = arrays[f"{section}/spots/off_tissue"].astype(bool)
    if f"{section}/spots/molecules" in arrays:
        obs["molecules"] = arrays[f"{section}/spots/molecules"]
    table = AnnData(arrays[f"{section}/{chosen}"], obs=obs, var=var)
    table.layers["measured"] = arrays[f"{section}/measured"]
    own = f"{section}/{chosen}/"
    for key in sorted(key for key in arrays if key.startswith(own)):
        table.layers[key.removeprefix(own)] = arrays[key]
    for name in fold["heads"]:
        table.layers[f"head_{name}"] = arrays[f"{section}/{name}"]
    table.obsm["spatial_um"] = arrays[f"{section}/spots/xy_um"]
    table.uns["histoscribe"] = {
        "head": chosen,
        "fold": fold["fold"],
        "unit": unit_of(fold["target"]),
        "warning": scores["warning"] or "",
    }
    return table


def unit_of(target: Mapping[str, Any]) -> str:
    """Say in which unit a target is."""
    return _UNITS.get(str(target.get("scale")), str(target.get("unit", "")))


def page_contents(
    scores: Mapping[str, Any],
    folds: Sequence[Mapping[str, Any]],
    arrays: Sequence[Mapping[str, NDArray[Any]]],
    settings: FoldSettings,
    *,
    record: Mapping[str, Any],
    files: Sequence[SectionFiles],
) -> EvaluationContents:
    """Fill the page."""
    by_name = {one.name: one for one in files}
    chosen, main = scores["chosen"], scores["main"]
    best = scores["heads"][chosen]
    n_targets = len(folds[0]["target"]["names"])
    what = f"{n_targets:,} genes" if settings.target == "genes" else f"{n_targets:,} cell types"
    return EvaluationContents(
        title=f"{'Expression of ' if settings.target == 'genes' else 'Abundance of '}{what} from H&E",
        target=folds[0]["target"],
        protocol=_protocol(folds),
        leaky=scores["leaky"],
        main=main,
        ladder=tuple(_rung(name, head, main) for name, head in scores["heads"].items()),
        best=_shown(chosen, main),
        sections=tuple(
            _section_row(section, values, by_name[section.split("#")[0]], main)
            for section, values in best["sections"].items()
        ),
        targets=_target_rows(best, folds, chosen),
        ceiling=scores["ceiling"],
        card_auroc=best["card_auroc"],
        card_auroc_given_depth=best["card_auroc_given_depth"],
        comparisons=tuple(
            row | {"first_name": _shown(row["first_name"], main), "second_name": _shown(row["second_name"], main)}
            for row in scores["comparisons"]
            if row["metric"] in (main.removeprefix("mean_"),)
        ),
        coverage=tuple(_coverage_row(section, values, settings) for section, values in best["coverage"].items()),
        calibration=_calibration(list(best["coverage"].values())),
        intervals=_intervals(folds),
        audit=tuple(_audit_row(fold) for fold in folds),
        maps=tuple(_maps(folds, arrays, chosen)),
        notes=notes_of(files) + _fit_notes(folds) + _stack_notes(folds),
        apart=scores["apart"],
        record={**record, "seed": settings.seed},
    )


def _coverage_row(section: str, values: Mapping[str, Any], settings: FoldSettings) -> dict[str, Any]:
    """Coverage of all targets, by thirds of their level and of the spots' molecules, and on thinned copies."""
    row = {"section": section, "level": settings.level, "coverage": values["all"]}
    row |= {f"{third} genes": values[third] for third in ("low", "middle", "high") if third in values}
    if "depth" not in values:
        return row
    row |= {f"{third} depth": values["depth"][third] for third in ("low", "middle", "high")}
    return row | {f"{copy} of the molecules": values["thinned"][copy] for copy in THINNED}


def _calibration(covered: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Mean over the sections of the shares held at each level; None where nothing was counted."""
    known = [values for values in covered if "calibration" in values]
    if not known:
        return None
    curves = {
        name: np.nanmean([np.array(values["calibration"][name], np.float64) for values in known], axis=0).tolist()
        for name in known[0]["calibration"]
    }
    return {"levels": known[0]["levels"], **curves}


def _intervals(folds: Sequence[Mapping[str, Any]]) -> str:
    """Say what the intervals are for, and what is in them of other patients."""
    if any(fold["leaky"] for fold in folds):
        return (
            "They are for further sections of patients that were trained on; for another patient they are too narrow."
        )
    if all(fold["inner_groups"] == "patient" for fold in folds):
        return "How far patients differ was measured between the training patients."
    origin = patient_shift().origin
    return f"Folds with one training patient know nothing of a second: there a stated prior of {origin} is added."


def _section_row(section: str, values: Mapping[str, Any], files: SectionFiles, main: str) -> dict[str, Any]:
    off = {} if files.n_off_tissue is None else {"off_tissue": files.n_off_tissue}
    patient = files.patient or "unknown"
    return {"section": section, "patient": patient, "n_spots": values["n_spots"], **off, main: values[main]}


def _protocol(folds: Sequence[Mapping[str, Any]]) -> str:
    held = {"patient": "One patient", "section": "One section", "blocks": "One block of the section"}[folds[0]["rule"]]
    inner = ", ".join(sorted({fold["inner_groups"] for fold in folds}))
    return (
        f"{held} was left out at a time, {len(folds)} folds. Genes, scalers, components and strengths were fitted on "
        f"the others; what had to be chosen was chosen by inner folds by {inner}. The head shown has the best inner "
        "score, or is simpler and within one standard error of it; the held-out sections had no say in it."
    )


def _shown(name: str, main: str) -> str:
    """Call a predictor as readers know it: the mean of ranks is one ranking for every spot."""
    mean = "training mean" if main == "mean_pearson" else "constant ranking"
    return {"mean": mean, "depth": "depth from image", "members_mean": "mean of the heads"}.get(name, name)


def _rung(name: str, head: Mapping[str, Any], main: str) -> Rung:
    average = {key: value for key, value in head["average"].items() if not key.startswith(("sd_", "n_"))}
    known = {key: float("nan") if value is None else value for key, value in average.items()}
    per_section = {section: float("nan") if v[main] is None else v[main] for section, v in head["sections"].items()}
    return Rung(_shown(name, main), head["role"], {main: float("nan")} | known, per_section)


def _target_rows(
    best: Mapping[str, Any], folds: Sequence[Mapping[str, Any]], chosen: str
) -> tuple[dict[str, Any], ...]:
    verdicts = verdicts_of(folds, chosen)
    ceilings: dict[str, list[float]] = {}
    for fold in folds:
        for values in fold["ceiling"].values():
            for name, value in zip(fold["target"]["names"], values, strict=True):
                if value is not None:
                    ceilings.setdefault(name, []).append(value)
    return tuple(
        {
            "name": name,
            **{key: row[key] for key in (*PER_TARGET, "n_sections")},
            "ceiling": float(np.mean(ceilings[name])) if name in ceilings else None,
            "verdict": verdicts[name][0],
            "reason": verdicts[name][1],
        }
        for name, row in best["targets"].items()
    )


def _audit_row(fold: Mapping[str, Any]) -> dict[str, Any]:
    """Show of a fold's audit every part with the sections that its rows came from."""
    audit = fold["audit"]
    row: dict[str, Any] = {"fold": fold["fold"], "test": audit["test"], "train": audit["train"]}
    for entry in audit["fitted"]:
        if "inner fold" not in entry["part"]:
            covers = ", ".join(entry["covers"])
            sections = [seen["section"] for seen in entry["fitted_on"]]
            row[f"{entry['part']}: {covers}"] = sections or ["none"]
    return row


def _maps(
    folds: Sequence[Mapping[str, Any]], arrays: Sequence[Mapping[str, NDArray[Any]]], chosen: str
) -> list[MapPair]:
    """Map targets of high and of middling skill by the cards, which were made before the section was looked at."""
    pairs = []
    for fold, part in list(zip(folds, arrays, strict=True))[:_MAPPED_SECTIONS]:
        section = sections_in(part)[0]
        cards = fold["heads"][chosen]["cards"]
        order = sorted(range(len(cards)), key=lambda k: (-(cards[k]["skill"] or -1.0), k))
        for column in dict.fromkeys([order[0], order[len(order) // 4]][:_MAPS_PER_SECTION]):
            scored = fold["heads"][chosen]["sections"][section]["pearson"][column]
            if scored is None:
                continue
            pairs.append(
                MapPair(
                    section=section,
                    target=fold["target"]["names"][column],
                    xy_um=part[f"{section}/spots/xy_um"],
                    measured=part[f"{section}/measured"][:, column],
                    predicted=part[f"{section}/{chosen}"][:, column],
                    unit=unit_of(fold["target"]),
                    pearson=float(scored),
                )
            )
    return pairs


def _fit_notes(folds: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Say what heads used and their options do not tell: device, start weights; once where all folds agree."""
    lines = (
        f"{name}: " + "; ".join(f"{key} {value}" for key, value in record["fitted"].items())
        for fold in folds
        for name, record in fold["heads"].items()
        if "fitted" in record
    )
    return tuple(dict.fromkeys(lines))


def _stack_notes(folds: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(
        f"{fold['fold']}: {name} is {judged['note']} beside the plain mean of the heads, by inner folds"
        for fold in folds
        for name, judged in (fold.get("stack") or {}).items()
    )
