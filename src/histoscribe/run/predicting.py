"""Evaluate, fit and predict: the public functions behind the verbs of prediction."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any

from histoscribe.encoders import Card, Encoder, build_encoder, load_card
from histoscribe.errors import ConfigError, InputError
from histoscribe.io.samplesheet import read_abundance_tables
from histoscribe.predict.splits import Fold, block_folds, check_no_patient_on_both_sides, outer_folds
from histoscribe.run.evaluation_files import write_evaluation
from histoscribe.run.events import Listener, silent
from histoscribe.run.fold_stages import fold_stages, read_fold
from histoscribe.run.identity import code_fingerprint, versions
from histoscribe.run.model_fitting import fitted_model, require_same_scale
from histoscribe.run.model_folder import Model, cards_of_model, read_model, write_model
from histoscribe.run.observing import EMBEDDING, SectionFiles, Seen, Within, check_scales, observe, read_files
from histoscribe.run.predict_options import PredictOptions, read_options
from histoscribe.run.requests import requests_of
from histoscribe.run.slide_predictions import SlidePrediction, is_challenge, predict_slide, read_slide, write_slide
from histoscribe.run.slides import slides_of
from histoscribe.run.stain import StainReference
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
    encoders: Sequence[str | Path] | None = None,
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
    encoders
        Names of encoders, or paths of cards in TOML; several describe every spot side by side.
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
    settings = _options(options).updated(target=target, heads=_several(heads), encoders=_several(encoders))
    files = read_sections(Path(samplesheet), settings)
    folds = plan_folds(files, settings)
    job = settings.fold_settings(settings.heads, with_depth=_counted(files))
    networks = _encoders([load_card(name) for name in settings.encoders], settings)
    check_scales({one.name: one.mpp for one in files}, settings, input_px=_sharpest(networks))
    record = _record(settings, networks, files) | {"leaky": any(fold.leaky for fold in folds)}
    with writing_result(Path(out)) as draft:
        seen = Observers(files, draft, networks, settings, listen)
        done = fold_stages(draft, seen.for_fold, folds, job, inputs=record["inputs"], listen=listen)

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


def _several(names: Sequence[str | Path] | None) -> tuple[str, ...] | None:
    """One name is as good as a list of one."""
    return ((names,) if isinstance(names, str) else tuple(str(name) for name in names)) if names else None


def _encoders(cards: Sequence[Card], options: PredictOptions) -> list[Encoder]:
    """Build encoders that can stand side by side.

    Raises
    ------
    ConfigError
        Two of one name: their blocks could not be told apart.
    """
    names = [card.name for card in cards]
    if len(set(names)) < len(names):
        raise ConfigError("two encoders bear one name", where="encoders", found=names, mend="give each card its own")
    return [build_encoder(card, device=options.device, precision=options.precision) for card in cards]


def _sharpest(encoders: Sequence[Encoder]) -> int:
    """Pixels across the tiles of the encoder that sees most."""
    return max(encoder.card.input_px for encoder in encoders)


def _record(options: PredictOptions, encoders: Sequence[Encoder], files: Sequence[SectionFiles]) -> dict[str, Any]:
    """Describe the work for run.json and the page: nothing of it tells the time or a path of this computer."""
    return {
        "versions": versions(),
        "code": code_fingerprint(),
        "configuration": options.record(),
        "seed": options.seed,
        "encoder": {encoder.card.name: encoder.card.to_dict() for encoder in encoders},
        "inputs": [one.inputs for one in files],
    }


@dataclass(frozen=True, slots=True)
class Observers:
    """Sees all sections, once for every section whose colours they are given; kept for the folds that share it."""

    files: Sequence[SectionFiles]
    draft: Draft | Within
    encoders: Sequence[Encoder]
    options: PredictOptions
    listen: Listener
    _seen: dict[str | None, dict[str, Seen]] = field(default_factory=dict)

    def for_fold(self, fold: Fold) -> dict[str, Seen]:
        """See them as a fold may: the stain reference is its first training section."""
        return self.coloured_as(None if self.options.stain == "none" else fold.train[0])

    def reference(self, name: str | None) -> StainReference | None:
        """Fit the stain reference on the section of this name."""
        if name is None:
            return None
        section = next(one for one in self.files if one.name == name).open()
        return StainReference.fit(section, self.options.stain, tile_um=min(self.options.tile_um))

    def coloured_as(self, name: str | None) -> dict[str, Seen]:
        """See all sections in the colours of the one of this name, or as they are."""
        if name not in self._seen:
            pixels, stain = self.options.takes_pixels(self.options.heads), self.reference(name)
            self._seen[name] = {
                one.name: observe(
                    one, self.draft, self.encoders, options=self.options, pixels=pixels, listen=self.listen, stain=stain
                )
                for one in self.files
            }
        return self._seen[name]


def fit(
    samplesheet: Path | str,
    *,
    out: Path | str,
    target: str | None = None,
    head: str = "ridge",
    encoders: Sequence[str | Path] | None = None,
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
    settings = _options(options).updated(target=target, heads=(head,), encoders=_several(encoders))
    files = read_sections(Path(samplesheet), settings)
    networks = _encoders([load_card(name) for name in settings.encoders], settings)
    check_scales({one.name: one.mpp for one in files}, settings, input_px=_sharpest(networks))
    record = _record(settings, networks, files)
    with writing_result(Path(out)) as draft:

        def work(folder: Path) -> dict[str, Any]:
            observers = Observers(files, Within(folder), networks, settings, listen)
            reference = None if settings.stain == "none" else files[0].name
            seen, stain = observers.coloured_as(reference), observers.reference(reference)
            listen({"event": "stage", "stage": "fit", "state": "started"})
            model = fitted_model(seen, head, settings, encoders=record["encoder"])
            model.facts["stain"] = None if stain is None else stain.record()
            write_model(folder, model)
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
    encoders: Sequence[str | Path] | None = None,
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
    encoders
        Paths of the encoders' cards, of those that are not built in; they must be those that the model was fitted on.
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
    networks = _encoders(cards_of_model(used, _several(encoders) or ()), used.options)
    slides = slides_of(Path(path), mpp=mpp)
    if is_challenge(used) and len(slides) > 1:
        # of a challenge file only the slides without abundances are to be predicted
        slides = [one for one in slides if not one.has_truth] or slides
    found = {}
    for slide in slides:
        folder = Path(out) if len(slides) == 1 else Path(out) / slide.files.name
        found[slide.files.name] = _predict_one(used, slide.files, networks, folder, listen)
    return found


def _predict_one(
    model: Model, files: SectionFiles, encoders: Sequence[Encoder], folder: Path, listen: Listener
) -> SlidePrediction:
    require_same_scale(model, files, input_px=_sharpest(encoders))
    pixels = model.options.takes_pixels((model.head.name,))
    told = model.facts["stain"]
    stain = None if told is None else StainReference.from_record(told)
    record = {"versions": versions(), "code": code_fingerprint(), "model": model.facts, "inputs": files.inputs}
    with writing_result(folder) as draft:

        def work(to: Path) -> dict[str, Any]:
            seen = observe(
                files, Within(to), encoders, options=model.options, pixels=pixels, listen=listen, stain=stain
            )
            section = files.open()
            write_slide(to, predict_slide(model, seen, section), section, model)
            _drop_embeddings(to)
            return {}

        draft.stage("predictions", fingerprint(record), work, resumable=True)
        draft.publish(record)
    return read_slide(folder)


def _drop_embeddings(folder: Path) -> None:
    """Delete what only served to make the rest: neither a model nor a prediction is read from it."""
    for embedding in folder.glob(f"{EMBEDDING}*"):
        rmtree(embedding)
