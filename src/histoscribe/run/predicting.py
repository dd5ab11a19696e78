"""Evaluate, fit and predict: the public functions behind the verbs of prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

from histoscribe.encoders import Encoder, build_encoder, load_card
from histoscribe.errors import InputError
from histoscribe.io.samplesheet import read_abundance_tables
from histoscribe.predict.splits import Fold, block_folds, check_no_patient_on_both_sides, outer_folds
from histoscribe.run.evaluation_files import write_evaluation
from histoscribe.run.events import Listener, silent
from histoscribe.run.fold_stages import fold_stages, read_fold
from histoscribe.run.identity import code_fingerprint, versions
from histoscribe.run.model_fitting import fitted_model, require_same_scale
from histoscribe.run.model_folder import Model, read_model, require_same_encoder, write_model
from histoscribe.run.observing import SectionFiles, Seen, Within, check_scales, observe, read_files
from histoscribe.run.predict_options import PredictOptions, read_options
from histoscribe.run.requests import requests_of
from histoscribe.run.slide_predictions import SlidePrediction, is_challenge, predict_slide, read_slide, write_slide
from histoscribe.run.slides import slides_of
from histoscribe.store.files import fingerprint, read_json
from histoscribe.store.result import Draft, writing_result

_GUARD_TILES = 1.0  # spots of one section whose tiles overlap never stand on both sides


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What an evaluation found.

    Parameters
    ----------
    folder
        Where the page, the scores, the audit and the predictions lie.
    scores
        What `scores.json` holds.
    """

    folder: Path
    scores: dict[str, Any]


def evaluate(
    samplesheet: Path | str,
    *,
    out: Path | str,
    target: str | None = None,
    heads: Sequence[str] | None = None,
    encoder: str | None = None,
    options: PredictOptions | Path | None = None,
    listen: Listener = silent,
) -> Evaluation:
    """Say how well expression or cell types are predicted from the picture, on patients that were not trained on.

    One patient is left out at a time; everything that is fitted is fitted on the others. The training mean and the
    depth told from the picture stand beside every head. Finished folds are kept for the same command run again.

    Parameters
    ----------
    samplesheet
        samplesheet.csv with the columns section, patient and what `histoscribe check` reads, or a challenge HDF5.
    out
        Folder of the result: report.html, scores.json, audit.json, predictions/SECTION.h5ad.
    target
        "genes" or "abundance".
    heads
        Names of heads.
    encoder
        Name of an encoder, or path of a card in TOML.
    options
        All other options, or a TOML file of them; what is given beside them wins.
    listen
        Called with every event.

    Returns
    -------
    The folder and the scores.

    Raises
    ------
    HistoscribeError
        Input, options, encoder or result folder are refused; or a fold failed, and the others are kept.
    """
    settings = _options(options).updated(target=target, heads=tuple(heads) if heads else None, encoder=encoder)
    files = read_sections(Path(samplesheet), settings)
    folds = plan_folds(files, settings)
    job = settings.fold_settings(settings.heads, with_depth=_counted(files))
    network = _encoder(settings)
    check_scales({one.name: one.mpp for one in files}, settings, input_px=network.card.input_px)
    record = _record(settings, network, files) | {"leaky": any(fold.leaky for fold in folds)}
    with writing_result(Path(out)) as draft:
        seen = _observed(files, draft, network, settings, listen)
        done = fold_stages(draft, seen, folds, job, inputs=record["inputs"], listen=listen)

        def work(folder: Path) -> dict[str, Any]:
            results = [read_fold(draft.folder / name) for _, name in done]
            write_evaluation(folder, results, job, record=record, files=files)
            return {}

        draft.stage("report", fingerprint({"folds": [key for key, _ in done], "record": record}), work)
        draft.publish(record)
    return Evaluation(Path(out), read_json(Path(out) / "scores.json"))


def read_sections(path: Path, options: PredictOptions) -> list[SectionFiles]:
    """Read every section of a sample sheet that something was measured on.

    Raises
    ------
    InputError
        A section that is refused, or one without what is to be predicted.
    """
    tables = read_abundance_tables(path) if path.suffix.lower() == ".csv" else {}
    files = [read_files(request, abundance=tables.get(request.section or "")) for request in requests_of(path)]
    if options.target == "abundance":
        # the test slides of a challenge file: nothing was measured on them
        files = [one for one in files if one.measured is None or not _is_challenge_test(one)]
    for one in files:
        measured = one.measured
        if options.target == "genes" and measured is not None:
            measured.require_counts()
        if options.target == "abundance" and (measured is None or measured.abundance is None):
            raise InputError(
                "this section has no table of cell types",
                where=f"section {one.name!r}",
                expected="abundances in its own file, or a table by barcode in the sheet's column `abundance`",
                mend="add the column, or choose genes as the target",
            )
    return files


def plan_folds(files: Sequence[SectionFiles], options: PredictOptions) -> list[Fold]:
    """Decide what is held out, and refuse where a patient would stand on both sides.

    Raises
    ------
    InputError
        Fewer than two groups, or patients that are not known.
    """
    if options.by == "blocks":
        if len(files) != 1:
            raise InputError(
                "spatial blocks are held out within one section only",
                where="by",
                found=f"{len(files)} sections",
                mend="hold out patients or sections, or give a sheet with one section",
            )
        folds = block_folds(
            files[0].name, files[0].xy_um, guard_um=_GUARD_TILES * max(options.tile_um), seed=options.seed
        )
    else:
        folds = outer_folds([(one.name, one.patient) for one in files], by=options.by)
    check_no_patient_on_both_sides(folds, {one.name: one.patient for one in files})
    return folds


def _counted(files: Sequence[SectionFiles]) -> bool:
    """Whether genes were counted on every section, so that depths are known."""
    return all(one.measured is not None and one.measured.counts is not None for one in files)


def _is_challenge_test(one: SectionFiles) -> bool:
    return one.inputs["format"] == "challenge_h5" and one.measured is not None and one.measured.abundance is None


def _options(options: PredictOptions | Path | None) -> PredictOptions:
    if options is None:
        return PredictOptions()
    return options if isinstance(options, PredictOptions) else read_options(Path(options))


def _encoder(options: PredictOptions) -> Encoder:
    return build_encoder(load_card(options.encoder), device=options.device, precision=options.precision)


def _record(options: PredictOptions, encoder: Encoder, files: Sequence[SectionFiles]) -> dict[str, Any]:
    """Describe the work for run.json and the page: nothing of it tells the time or a path of this computer."""
    return {
        "versions": versions(),
        "code": code_fingerprint(),
        "configuration": options.record(),
        "seed": options.seed,
        "encoder": encoder.card.to_dict(),
        "inputs": [one.inputs for one in files],
    }


def _observed(
    files: Sequence[SectionFiles], draft: Draft | Within, encoder: Encoder, options: PredictOptions, listen: Listener
) -> dict[str, Seen]:
    pixels = options.takes_pixels(options.heads)
    return {one.name: observe(one, draft, encoder, options=options, pixels=pixels, listen=listen) for one in files}


def fit(
    samplesheet: Path | str,
    *,
    out: Path | str,
    target: str | None = None,
    head: str = "ridge",
    encoder: str | None = None,
    options: PredictOptions | Path | None = None,
    listen: Listener = silent,
) -> Model:
    """Fit a predictor for new slides on every section of a sample sheet.

    Parameters
    ----------
    samplesheet
        As for `evaluate`; at least two sections, so that something can be said of unseen ones.
    out
        Folder of the model.
    target
        "genes" or "abundance".
    head
        Name of the head.
    encoder
        Name of an encoder, or path of a card in TOML.
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
    settings = _options(options).updated(target=target, heads=(head,), encoder=encoder)
    files = read_sections(Path(samplesheet), settings)
    network = _encoder(settings)
    check_scales({one.name: one.mpp for one in files}, settings, input_px=network.card.input_px)
    record = _record(settings, network, files)
    with writing_result(Path(out)) as draft:

        def work(folder: Path) -> dict[str, Any]:
            seen = _observed(files, Within(folder), network, settings, listen)
            listen({"event": "stage", "stage": "fit", "state": "started"})
            write_model(folder, fitted_model(seen, head, settings, encoder=network.card.to_dict()))
            _drop_embeddings(folder)
            listen({"event": "stage", "stage": "fit", "state": "done"})
            return {}

        draft.stage("model", fingerprint(record), work, resumable=True)
        draft.publish(record)
    return read_model(Path(out))


def predict(
    model: Path | str,
    path: Path | str,
    *,
    out: Path | str,
    encoder: str | None = None,
    mpp: float | None = None,
    listen: Listener = silent,
) -> dict[str, SlidePrediction]:
    """Predict expression or cell types of slides without counts, with intervals and what to trust.

    Parameters
    ----------
    model
        Folder that `fit` wrote.
    path
        A slide with places of spots (any format that `histoscribe check` reads), a sample sheet, a challenge file, or
        a picture alone, on whose tissue spots are laid out 100 um apart.
    out
        Folder of the result; of several slides, one folder each below it.
    encoder
        Path of the encoder's card, where it is not a built-in one; it must be the one that the model was fitted on.
    mpp
        Microns per pixel of a picture alone, where its tags do not tell.
    listen
        Called with every event.

    Returns
    -------
    What the model says, by slide.

    Raises
    ------
    HistoscribeError
        A damaged model, another encoder, a slide at another scale, or a slide that is refused.
    """
    used = read_model(Path(model))
    card = load_card(encoder or used.options.encoder)
    require_same_encoder(used, card)
    network = build_encoder(card, device=used.options.device, precision=used.options.precision)
    slides = slides_of(Path(path), mpp=mpp)
    if is_challenge(used) and len(slides) > 1:
        # of a challenge file only the slides without abundances are to be predicted
        slides = [one for one in slides if not one.has_truth] or slides
    found = {}
    for slide in slides:
        folder = Path(out) if len(slides) == 1 else Path(out) / slide.files.name
        found[slide.files.name] = _predict_one(used, slide.files, network, folder, listen)
    return found


def _predict_one(
    model: Model, files: SectionFiles, encoder: Encoder, folder: Path, listen: Listener
) -> SlidePrediction:
    require_same_scale(model, files, input_px=encoder.card.input_px)
    pixels = model.options.takes_pixels((model.head.name,))
    record = {"versions": versions(), "code": code_fingerprint(), "model": model.facts, "inputs": files.inputs}
    with writing_result(folder) as draft:

        def work(to: Path) -> dict[str, Any]:
            seen = observe(files, Within(to), encoder, options=model.options, pixels=pixels, listen=listen)
            section = files.open()
            write_slide(to, predict_slide(model, seen, section), section, model)
            _drop_embeddings(to)
            return {}

        draft.stage("predictions", fingerprint(record), work, resumable=True)
        draft.publish(record)
    return read_slide(folder)


def _drop_embeddings(folder: Path) -> None:
    """Delete what only served to make the rest: neither a model nor a prediction is read from it."""
    for embedding in folder.glob("embedding_*"):
        rmtree(embedding)
