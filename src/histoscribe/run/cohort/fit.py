"""Fit a predictor for new slides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from histoscribe.encoders import load_card
from histoscribe.errors import ConfigError, listing
from histoscribe.run.cohort.fitting import fitted_model
from histoscribe.run.cohort.model import Model, read_model, write_model
from histoscribe.run.cohort.observing import Within, check_scales
from histoscribe.run.cohort.options import PredictOptions
from histoscribe.run.cohort.planning import plan_folds, rehearse, whole
from histoscribe.run.cohort.sections import (
    Observers,
    build_encoders,
    drop_embeddings,
    notes_of,
    options_of,
    read_sections,
    record_of,
    several_names,
    sharpest,
)
from histoscribe.run.events import Listener, silent
from histoscribe.run.job import Job
from histoscribe.store.result import writing_result


def fit(
    samplesheet: Path | str,
    *,
    out: Path | str,
    target: str | None = None,
    head: str | None = None,
    encoders: Sequence[str | Path] | None = None,
    options: PredictOptions | Path | None = None,
    listen: Listener = silent,
) -> Model:
    """Fit a predictor for new slides on every section of a sample sheet.

    With `ensemble = "folds"` one predictor is fitted without each patient, or whatever `by` holds out, and a new slide
    gets the mean of their predictions.

    Parameters
    ----------
    samplesheet
        As for `evaluate`; at least two sections, so that something can be said of unseen ones.
    out
        Folder of the model.
    target
        "genes" or "abundance".
    head
        Name of the head; where not given, the one of `options`, or "ridge".
    encoders
        As for `evaluate`; the model keeps the card of each.
    options
        All other options, or a TOML file of them; what is given beside them wins.
    listen
        Called with every event.

    Returns
    -------
    The model, as `read_model` gives it.

    Raises
    ------
    HistoscribeError
        Input, options, encoder or folder are refused.
    """
    settings = options_of(options).updated(target=target, encoders=several_names(encoders))
    head = head or _one_head(settings)
    settings = settings.updated(heads=(head,))
    alone = {"by": "a model is fitted on all sections, unless ensemble is folds"}
    settings.refuse_unused(
        command="fit", also={"stacks": "a model has one head"} | (alone if settings.ensemble == "none" else {})
    )
    files, skipped = read_sections(Path(samplesheet), settings)
    folds = plan_folds(files, settings) if settings.ensemble == "folds" else []
    rehearse(files, [whole(files), *folds], settings.fold_settings((head,), with_depth=False))
    networks = build_encoders([load_card(name, anonymous=settings.anonymous) for name in settings.encoders], settings)
    check_scales({one.name: one.mpp for one in files}, settings, input_px=sharpest(networks))
    record = record_of(settings, networks, files, skipped)
    with writing_result(Path(out)) as draft:

        def work(folder: Path) -> dict[str, Any]:
            observers = Observers(files, Within(folder), networks, settings, listen)
            reference = None if settings.stain == "none" else files[0].name
            seen, stain = observers.coloured_as(reference), observers.reference(reference)
            model = fitted_model(seen, head, settings, encoders=record["encoder"], folds=folds)
            model.facts["stain"] = None if stain is None else stain.record()
            model.facts["notes"] = list(notes_of(files))
            write_model(folder, model)
            drop_embeddings(folder)
            return {}

        job = Job(draft, "", record["inputs"], listen)
        job.stage("model", settings, work, reads=record, resumable=True)
        draft.publish(record)
    return read_model(Path(out))


def _one_head(options: PredictOptions) -> str:
    """Return the one head that the options name, or ridge where they name none; raises ConfigError for several."""
    if options.heads == PredictOptions().heads:
        return "ridge"
    if len(options.heads) != 1:
        raise ConfigError(
            "a model has one head", where="heads", found=listing(options.heads), fix="choose one of them with --head"
        )
    return options.heads[0]
