"""What a model says of a slide, and the files that hold it: predictions.h5ad, predictions.zarr, predictions.csv."""

from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscribe.encoders.novelty import novelty_warnings, slide_widening
from histoscribe.io.h5ad import open_h5ad
from histoscribe.predict.count_intervals import CountIntervals
from histoscribe.predict.data import inputs_of
from histoscribe.report.predictions import draw_predictions
from histoscribe.run.cohort.advice import advice
from histoscribe.run.cohort.depth import log2_molecules, spot_depth
from histoscribe.run.cohort.evaluation import unit_of
from histoscribe.run.cohort.files import measured_of
from histoscribe.run.cohort.model import Model
from histoscribe.run.cohort.observing import Seen
from histoscribe.run.section.files import NOVELTY, PREDICTED
from histoscribe.section import SPOTS, TABLE, Section
from histoscribe.store.files import read_json, write_json
from histoscribe.store.seal import seal


@dataclass(frozen=True, slots=True, eq=False)
class SlidePrediction:
    """What a model says of one slide.

    Parameters
    ----------
    table
        AnnData (n, t): X the mean, layers `lower` and `upper` and, of genes, `share`, `share_lower` and `share_upper`
        (molecules per 10,000), var the cards, obs `distance` and, of genes, `molecules`, obsm `spatial`.
    advice
        One sentence on whether to use it, and why.
    findings
        Comparison of the slide with the training slides, a row per question.
    warnings
        Sentences for the user on what is unlike the training slides.
    remarks
        Sentences for the user on how the slide was predicted, where the head has more than one way.
    """

    table: Any
    advice: str
    findings: list[dict[str, Any]]
    warnings: tuple[str, ...]
    remarks: tuple[str, ...]


def predict_slide(model: Model, seen: Seen, section: Section, *, molecules: float | None = None) -> SlidePrediction:
    """Predict every spot of a slide, with intervals widened where it is unlike the training slides.

    Parameters
    ----------
    molecules
        Of each spot, for the intervals of what would be measured; None: as many as were counted on it, or as on the
        typical training spot.
    """
    from anndata import AnnData
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        inputs = inputs_of([seen.observed], depth=False)
        P = model.head.predict(inputs)
        remarks = (*model.head.remarks(inputs), *_within_slide(model), *_off_tissue(seen, section))
        distance = model.novelty.distance(seen.embedding)
    look = replace(seen.look, log2_molecules=log2_molecules(measured_of(section)))
    findings = model.novelty.findings(look, distance)
    widen = slide_widening(distance, findings)
    rows = seen.observed.marks.get("row", np.arange(section.spots.n_obs))
    obs = pd.DataFrame({"distance": _spread(distance, rows, section)}, index=section.spots.obs_names)
    if isinstance(model.intervals, CountIntervals):
        depth = spot_depth(model, section, rows=rows, molecules=molecules)
        layers = model.intervals.layers(P, total=depth.molecules, widen=widen)
        remarks = (*remarks, depth.said)
        obs["molecules"] = _spread(depth.molecules, rows, section)
    else:
        layers = model.intervals.layers(P, widen=widen)
    if seen.observed.marks:
        off = seen.observed.marks.get("off_tissue", ~np.isin(np.arange(len(obs)), rows))
        obs["off_tissue"] = off.astype(bool)
    few_patients = _few_patients(model)
    advised = advice(model.cards, findings, kind=model.target.kind)
    warnings = (*([few_patients] if few_patients else []), *novelty_warnings(findings))
    table = AnnData(_spread(P, rows, section), obs=obs, var=_cards_table(model))
    for name, values in layers.items():
        table.layers[name] = _spread(values, rows, section)
    table.obsm["spatial"] = section.xy_px
    table.uns["histoscribe_prediction"] = {
        "head": model.called,
        "unit": unit_of(model.facts["target"]),
        "level": model.intervals.level,
        "advice": advised,
        "evidence": model.facts["evidence"]["sentence"],
        "warnings": list(warnings),
        "remarks": list(remarks),
        "training": model.facts["inner"]["warning"] or "",
    }
    return SlidePrediction(table, advised, findings, warnings, remarks)


def _cards_table(model: Model) -> pd.DataFrame:
    """Return the cards as columns, one row per target."""
    texts = {key: [card[key] for card in model.cards] for key in ("verdict", "reason")}
    keys = ("skill", "skill_depth", "ceiling", "error_ratio", "n_patients")
    numbers = {key: np.array([card[key] for card in model.cards], np.float64) for key in keys}
    return pd.DataFrame(texts | numbers, index=pd.Index(list(model.target.names_), dtype=object))


def _few_patients(model: Model) -> str:
    """Return the sentence on the evidence, where it is not of several patients; else ""."""
    evidence = model.facts["evidence"]
    if model.facts["inner"]["groups"] == "patient":
        return ""
    prior = f"; the intervals hold what patients differ by elsewhere: {evidence['prior']}" if evidence["prior"] else ""
    return f"{evidence['sentence'].removesuffix('.')}{prior}"


def _spread(values: NDArray[Any], rows: NDArray[np.intp], section: Section) -> NDArray[Any]:
    """Bring values of some spots to the rows of all spots of a section; NaN for the others."""
    every = np.full((section.spots.n_obs, *values.shape[1:]), np.nan, values.dtype)
    every[rows] = values
    return every


def _within_slide(model: Model) -> tuple[str, ...]:
    """Say what standardising within the slide means, where the head reads features and not pixels."""
    if model.options.standardise != "section" or model.head.needs_tiles:
        return ()
    return (
        "features are standardised within this slide: compare its spots with each other, not their level with that of "
        "other slides, and give whole slides; a part is predicted otherwise than within its whole (a model fitted with "
        "--standardise none reads every slide against the training slides)",
    )


def _off_tissue(seen: Seen, section: Section) -> tuple[str, ...]:
    """Say how many spots lie off the tissue, where the model asks for it."""
    marks, n = seen.observed.marks, section.spots.n_obs
    if "row" in marks:
        return (f"{n - len(marks['row']):,} of {n:,} spots lie off the tissue and have no prediction",)
    if "off_tissue" in marks:
        return (f"{int(marks['off_tissue'].sum()):,} of {n:,} spots lie off the tissue and are marked in the table",)
    return ()


def write_predictions(folder: Path, found: SlidePrediction, section: Section, model: Model) -> None:
    """Write all files of one slide into `folder`."""
    table = found.table
    (folder / PREDICTED).parent.mkdir(exist_ok=True)
    known = np.flatnonzero(np.isfinite(table.obs["distance"]))  # others were left out
    drawn = section if len(known) == table.n_obs else replace(section, spots=section.spots[known].copy())
    (folder / PREDICTED).write_bytes(draw_predictions(drawn, table[known]))
    table.write_h5ad(folder / "predictions.h5ad", compression="gzip")
    record = {"advice": found.advice, "findings": found.findings}
    write_json(folder / NOVELTY, record | {"warnings": list(found.warnings), "remarks": list(found.remarks)})
    if is_challenge(model):
        frame = pd.DataFrame(table.X, columns=list(table.var_names))
        frame.insert(0, "ID", np.arange(len(frame)))
        frame.to_csv(folder / "predictions.csv", index=False, lineterminator="\n")
    write_spatialdata(folder / "predictions.zarr", table, section)


def read_predictions(folder: Path) -> SlidePrediction:
    """Read back what `write_predictions` wrote."""
    record = read_json(folder / NOVELTY)
    return SlidePrediction(
        open_h5ad(folder / "predictions.h5ad"),
        record["advice"],
        record["findings"],
        tuple(record["warnings"]),
        tuple(record["remarks"]),
    )


def is_challenge(model: Model) -> bool:
    """Whether the model predicts the challenge's anonymous cell types C1, C2, ..."""
    names = model.target.names_
    return names == tuple(f"C{k}" for k in range(1, len(names) + 1))


def write_spatialdata(path: Path, table: Any, section: Section) -> None:
    """Write the slide as SpatialData: picture, spots as circles, and the predictions as the table of these."""
    import anndata
    import zarr
    from spatialdata.models import TableModel

    if path.exists():  # left by a call that was interrupted
        rmtree(path)
    sdata = section.to_spatialdata()
    annotated = table.copy()
    annotated.uns["histoscribe"] = sdata.tables[TABLE].uns["histoscribe"]
    annotated.obs["region"] = pd.Categorical([SPOTS] * annotated.n_obs)
    annotated.obs["spot"] = annotated.obs_names.to_numpy()
    del sdata.tables[TABLE]
    sdata.tables[TABLE] = TableModel.parse(annotated, region=SPOTS, region_key="region", instance_key="spot")
    with zarr.config.set({"array.write_empty_chunks": True}), anndata.settings.override(auto_shard_zarr_v3=False):
        sdata.write(path, update_sdata_path=False)
    seal(path)
