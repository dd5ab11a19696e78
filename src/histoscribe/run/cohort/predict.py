"""Predict slides without counts, with a model that was fitted on others."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from histoscribe.encoders import Encoder
from histoscribe.encoders.stain import StainReference
from histoscribe.errors import ConfigError
from histoscribe.io.reading import Request
from histoscribe.run.cohort.files import read_files, slide_files
from histoscribe.run.cohort.fitting import require_same_scale
from histoscribe.run.cohort.model import Model, cards_of_model, read_model
from histoscribe.run.cohort.observing import Within, observe
from histoscribe.run.cohort.predictions import (
    SlidePrediction,
    is_challenge,
    predict_slide,
    read_predictions,
    write_predictions,
)
from histoscribe.run.cohort.sections import build_encoders, drop_embeddings, several_names, sharpest
from histoscribe.run.events import Listener, silent
from histoscribe.run.inputs import Input, is_alone, read_slide
from histoscribe.run.requests import ReadOptions, is_sheet, requests_of
from histoscribe.run.section.chain import run_chain
from histoscribe.run.section.files import PREDICTIONS
from histoscribe.run.section.laid_out import with_spots
from histoscribe.run.section.plan import Plan, PredictionPlan
from histoscribe.run.several import Outcome, each_section
from histoscribe.store.manifest import read_manifest
from histoscribe.store.result import require_apart


class Predictions(dict[str, SlidePrediction]):
    """What a model says, by slide.

    Attributes
    ----------
    refused
        Of the slides of a sheet that were refused, the reason by name.
    outcomes
        Of the others how the work on each ended: its folder, notes, and stages that were reused.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> import histoscribe as hs
    >>> from histoscribe.phantom import cohort, write_spaceranger
    >>> sheet = []
    >>> for phantom in cohort(3, like=hs.make_phantom(7, size_um=800.0, mpp=1.0, n_domains=3, n_genes=40)):
    ...     outs = write_spaceranger(phantom, Path(phantom.name))
    ...     sheet.append({"section": phantom.name, "patient": phantom.patient_name, "path": phantom.name})
    >>> pd.DataFrame(sheet[:2]).to_csv("samplesheet.csv", index=False)
    >>> options = hs.PredictOptions(encoders=("morphology",), tile_um=(112.0,), n_genes=10)
    >>> model = hs.fit_model("samplesheet.csv", out="model", options=options)
    >>> slides = hs.predict_slides("model", "P2S0/P2S0.tif", out="prediction")
    >>> table = slides["P2S0"].table
    >>> table.n_vars, sorted(table.layers)
    (10, ['lower', 'share', 'share_lower', 'share_upper', 'upper'])
    """

    def __init__(self, slides: Mapping[str, SlidePrediction] | None = None) -> None:
        super().__init__(slides or {})
        self.refused: dict[str, str] = {}
        self.outcomes: dict[str, Outcome] = {}


def predict(
    model: Path | str,
    path: Path | str,
    *,
    out: Path | str,
    encoders: Sequence[str | Path] | None = None,
    mpp: float | None = None,
    molecules: float | None = None,
    reading: ReadOptions | None = None,
    listen: Listener = silent,
) -> "Predictions":
    """Predict expression or cell types of slides without counts, with intervals and what to trust.

    Parameters
    ----------
    model
        Folder that `fit` wrote.
    path
        A slide with places of spots (any format that `histoscribe check` reads), a sample sheet, a challenge file, or
        a picture alone: then spots are laid out on its tissue, 100 um apart.
    out
        Folder of the result; of several slides, one folder each below it.
    encoders
        Paths of the encoders' cards, of those that are not built in; they must be those that the model was fitted on.
    mpp
        Microns per pixel of the pictures, where the files do not say so or say it wrongly.
    molecules
        For genes: how many molecules a spot would have, for the intervals of what would be measured. Where not given,
        as many as were counted on it; where nothing was counted, as many as on the typical training spot.
    reading
        How the slides are read and named. Spots are moved, left out or marked, and backgrounds made white, as they
        were in the model's training.
    listen
        Called with every event.

    Returns
    -------
    What the model says, by slide. A slide of a sheet that is refused holds up no other and stands in `refused`; a
    single one raises instead.

    Raises
    ------
    HistoscribeError
        A damaged model, another encoder, a slide at another scale, or a single slide that is refused.
    """
    require_apart(Path(out), Path(model), "the model")
    used = read_model(Path(model))
    used.head.check_ready()
    _check_molecules(used, molecules)
    networks = build_encoders(cards_of_model(used, several_names(encoders) or ()), used.options)
    content = read_manifest(Path(model))["content_sha256"]
    found = Predictions()

    def one(request: Request, folder: Path, listen: Listener) -> Outcome:
        if used.options.align and not is_alone(request):
            request = replace(request, align=True)
        given = with_spots(read_slide(request))
        plan = Plan(predictions=_plan(used, given, networks, listen, model_sha256=content, molecules=molecules))
        outcome = run_chain(given, plan, out=folder, listen=listen)
        found[given.section.name] = read_predictions(folder / PREDICTIONS)
        found.outcomes[given.section.name] = outcome
        return outcome

    path, out = Path(path), Path(out)
    requests = requests_of(path, reading, mpp=mpp)
    requests = requests if is_sheet(path) else _slides_asked(requests, challenge=is_challenge(used))
    if len(requests) < 2 and not is_sheet(path):
        one(requests[0], out, listen)
        return found
    outcomes = each_section(requests, out, one, listen=listen)
    found.refused.update({outcome.section: outcome.reason for outcome in outcomes if outcome.status == "refused"})
    return found


def _check_molecules(model: Model, molecules: float | None) -> None:
    """Refuse a number of molecules that is none, or that a model of cell types has no use for."""
    if molecules is None:
        return
    if not (math.isfinite(molecules) and molecules > 0):
        raise ConfigError("a spot has at least one molecule", where="molecules", found=molecules)
    if model.target.kind != "genes":
        raise ConfigError("cell types are predicted, and no counts", where="molecules", fix="leave it out")


def _plan(
    model: Model,
    given: Input,
    encoders: Sequence[Encoder],
    listen: Listener,
    *,
    model_sha256: str,
    molecules: float | None,
) -> PredictionPlan:
    """Settle how a slide is predicted; raises HistoscribeError where the model cannot read it."""
    files = slide_files(given, model.options)
    require_same_scale(model, files, input_px=sharpest(encoders))
    fitted = model.facts["stain"]
    stain = None if fitted is None else StainReference.from_record(fitted)

    def predicted(to: Path) -> dict[str, Any]:
        to.mkdir(exist_ok=True)
        seen = observe(
            files,
            Within(to),
            encoders,
            options=model.options,
            pixels=model.head.needs_tiles,
            listen=listen,
            stain=stain,
        )
        slide = predict_slide(model, seen, given.section, molecules=molecules)
        write_predictions(to, slide, given.section, model)
        drop_embeddings(to)
        return {"targets": slide.table.n_vars, "warnings": len(slide.warnings)}

    cards = [encoder.card.to_dict() for encoder in encoders]
    settings = {"model": model.facts, "model_sha256": model_sha256, "molecules": molecules}
    return PredictionPlan(settings, predicted, reads=cards)


def _slides_asked(requests: list[Request], *, challenge: bool) -> list[Request]:
    """List the slides to predict: all of them, or of a challenge file those that nothing was measured on.

    Parameters
    ----------
    challenge
        Whether the model is one of a challenge file, of which only the slides without abundances are to be predicted.
    """
    if not challenge or len(requests) < 2:
        return requests
    files = [read_files(request) for request in requests]
    to_predict = [
        request
        for request, one in zip(requests, files, strict=True)
        if one.measured is None or one.measured.abundance is None
    ]
    return to_predict or requests
