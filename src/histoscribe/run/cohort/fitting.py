"""A model for new slides: fitted on every section, its intervals and cards made from inner held-out groups."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from histoscribe.encoders.novelty import Novelty
from histoscribe.errors import InputError
from histoscribe.predict.audit import Ledger
from histoscribe.predict.conformal import Conformal
from histoscribe.predict.count_intervals import CountIntervals
from histoscribe.predict.data import Observed
from histoscribe.predict.ensemble import FoldsEnsemble, fit_ensemble
from histoscribe.predict.evaluate import plain
from histoscribe.predict.fitting import (
    Training,
    Unseen,
    cards_of,
    fit_intervals,
    fit_whole,
    predict_unseen,
    prepare_training,
)
from histoscribe.predict.head import Predictor
from histoscribe.predict.metrics import average_sections, score_section
from histoscribe.predict.patient_shift import patient_shift
from histoscribe.predict.splits import Fold
from histoscribe.predict.summary import LEAKY
from histoscribe.run.cohort.depth import log2_molecules
from histoscribe.run.cohort.files import SectionFiles
from histoscribe.run.cohort.model import Model
from histoscribe.run.cohort.observing import SCALE_TOLERANCE, Seen, seen_mpp
from histoscribe.run.cohort.options import PredictOptions


def fitted_model(
    seen: Mapping[str, Seen],
    head: str,
    options: PredictOptions,
    *,
    encoders: Mapping[str, Any],
    folds: Sequence[Fold] = (),
) -> Model:
    """Fit target, head, intervals, cards and novelty on all sections.

    Parameters
    ----------
    seen
        The sections, embedded.
    head
        Name of the head.
    options
        What is predicted, and how spots are described.
    encoders
        Name to the record of each encoder's card.
    folds
        Of an ensemble, a member of which is fitted for each; none: one fit on all sections.

    Raises
    ------
    InputError
        What the target or the head refuses.
    """
    sections = [one.observed for one in seen.values()]
    with_depth = all(one.depth() is not None for one in sections)
    settings = options.fold_settings((head,), with_depth=with_depth)
    ledger = Ledger(sections, [])
    fitted: Predictor
    chosen = options.head_options.get(head, {})
    with threadpool_limits(limits=1):
        training = prepare_training(sections, settings.make_target(), ledger, seed=options.seed)
        if folds:
            ranks = options.target == "abundance" and options.ranks
            made = FoldsEnsemble(head, chosen, [fold.name for fold in folds], ranks=ranks, seed=options.seed)
            fitted, unseen = fit_ensemble(made, training, folds, ledger)
        else:
            unseen = predict_unseen(head, training, ledger, options=chosen, seed=options.seed)
            fitted = fit_whole(head, training, ledger, options=chosen, seed=options.seed)
        intervals = fit_intervals(training, unseen, level=options.level, new_patient=True)
        novelty = Novelty().fit(
            {name: one.embedding for name, one in seen.items()},
            {
                name: replace(one.look, log2_molecules=log2_molecules(one.observed.measured))
                for name, one in seen.items()
            },
        )
    ledger.check()
    return Model(
        head=fitted,
        target=training.target,
        intervals=intervals,
        novelty=novelty,
        cards=[plain(card.record()) for card in cards_of(training, unseen)],
        options=options,
        encoders=dict(encoders),
        facts={
            "patients": {one.name: one.patient for one in sections},
            "n_spots": {one.name: len(one) for one in sections},
            "inner": {
                "groups": unseen.kind,
                "warning": None if unseen.kind == "patient" else LEAKY,
                "scores": _inner_scores(training, unseen, kind=settings.kind),
            },
            "evidence": _evidence(sections, unseen, intervals),
            "ensemble": {fold.name: {"train": list(fold.train), "held_out": list(fold.test)} for fold in folds},
            "audit": ledger.record()["fitted"],
        },
    )


def _evidence(sections: Sequence[Observed], unseen: Unseen, intervals: Conformal | CountIntervals) -> dict[str, Any]:
    """Say on how many patients the cards rest, and where the intervals' shift between patients comes from."""
    patients = {one.patient for one in sections}
    counts = isinstance(intervals, CountIntervals)
    prior = patient_shift().origin if counts and unseen.kind != "patient" else ""
    n = 0 if None in patients else len(patients)
    if unseen.kind == "patient":
        sentence = f"Cards rest on {n} patients, each predicted by a model that had not seen it."
    elif n == 1:
        sentence = "ONE PATIENT: the training slides are of one patient, and nothing was seen of another."
    else:
        sentence = "No patient was left out as a whole, so that nothing is known of the accuracy on another."
    molecules = intervals.total_ if isinstance(intervals, CountIntervals) else None
    return {"patients": n, "sentence": sentence, "prior": prior, "molecules": molecules}


def require_same_scale(model: Model, files: SectionFiles, *, input_px: int) -> None:
    """Refuse a slide that the encoder would see sharper or more blurred than the training slides.

    Raises
    ------
    InputError
        More than a factor of 1.5 beyond the training slides' microns per pixel.
    """
    looks = model.novelty.looks_
    known = [seen_mpp(look.mpp, model.options, input_px=input_px) for look in looks.values()]
    here = seen_mpp(files.mpp, model.options, input_px=input_px)
    if here > SCALE_TOLERANCE * max(known) or here < min(known) / SCALE_TOLERANCE:
        finest, coarsest = min(look.mpp for look in looks.values()), max(look.mpp for look in looks.values())
        raise InputError(
            "this slide was scanned at another scale than the slides that the model was fitted on",
            where=f"section {files.name!r}",
            expected=f"{finest:.3g} to {coarsest:.3g} um/px, or within a factor of {SCALE_TOLERANCE:g} of it",
            found=f"{files.mpp:.3g} um/px",
            fix="give a picture of the right resolution; check its microns per pixel with histoscribe check",
        )


def _inner_scores(training: Training, unseen: Unseen, *, kind: Any) -> dict[str, float]:
    labels = np.asarray(training.X.section)
    scores = []
    for name in dict.fromkeys(labels.tolist()):
        rows = labels == name
        depth = None if training.X.depth is None else training.X.depth[rows]
        mean = unseen.train_mean[rows].mean(axis=0)
        scores.append(score_section(training.Y[rows], unseen.P[rows], train_mean=mean, depth=depth, kind=kind))
    average: dict[str, float] = plain(average_sections(scores))
    return {key: value for key, value in average.items() if key.startswith(("mean_", "constant_"))}
