"""Evaluate: how well expression or cell types are predicted from the picture, on patients that were not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from histoscribe.encoders import load_card
from histoscribe.run.cohort.evaluation import write_evaluation
from histoscribe.run.cohort.folds import fold_stages, read_fold
from histoscribe.run.cohort.observing import check_scales
from histoscribe.run.cohort.options import PredictOptions
from histoscribe.run.cohort.planning import plan_folds, rehearse
from histoscribe.run.cohort.sections import (
    Observers,
    all_counted,
    build_encoders,
    notes_of,
    options_of,
    read_sections,
    record_of,
    several_names,
    sharpest,
)
from histoscribe.run.events import Listener, silent
from histoscribe.run.job import Job
from histoscribe.store.files import read_json
from histoscribe.store.result import writing_result


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What an evaluation found.

    Parameters
    ----------
    folder
        Where the page, the scores, the audit and the predictions lie.
    scores
        What `scores.json` holds.
    notes
        What was decided in reading the sections.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> import histoscribe as hs
    >>> from histoscribe.phantom import cohort, write_spaceranger
    >>> sheet = []
    >>> for phantom in cohort(2, like=hs.make_phantom(7, size_um=800.0, mpp=1.0, n_domains=3, n_genes=40)):
    ...     outs = write_spaceranger(phantom, Path(phantom.name))
    ...     sheet.append({"section": phantom.name, "patient": phantom.patient_name, "path": phantom.name})
    >>> pd.DataFrame(sheet).to_csv("samplesheet.csv", index=False)
    >>> options = hs.PredictOptions(encoders=("morphology",), tile_um=(112.0,), n_genes=10)
    >>> found = hs.evaluate("samplesheet.csv", out="evaluation", heads=["ridge"], options=options)
    >>> for head in ("mean", "ridge"):
    ...     print(f"{head}: mean correlation {found.scores['heads'][head]['average']['mean_pearson']:.1f}")
    mean: mean correlation 0.0
    ridge: mean correlation 0.4
    """

    folder: Path
    scores: dict[str, Any]
    notes: tuple[str, ...] = ()


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
    depth predicted from the picture stand beside every head. Finished folds are kept for the same command run again.

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
    settings = options_of(options).updated(target=target, heads=several_names(heads), encoders=several_names(encoders))
    settings.refuse_unused(command="evaluate", also={"ensemble": "an evaluation keeps no model; histoscribe fit does"})
    files, skipped = read_sections(Path(samplesheet), settings)
    folds = plan_folds(files, settings)
    job = settings.fold_settings(settings.heads, with_depth=all_counted(files))
    rehearse(files, folds, job)
    networks = build_encoders([load_card(name, anonymous=settings.anonymous) for name in settings.encoders], settings)
    check_scales({one.name: one.mpp for one in files}, settings, input_px=sharpest(networks))
    record = record_of(settings, networks, files, skipped) | {"leaky": any(fold.leaky for fold in folds)}
    with writing_result(Path(out)) as draft:
        seen = Observers(files, draft, networks, settings, listen)
        done = fold_stages(draft, seen.for_fold, folds, job, options=settings, inputs=record["inputs"], listen=listen)

        def work(folder: Path) -> dict[str, Any]:
            results = [read_fold(draft.folder / name) for _, name in done]
            write_evaluation(folder, results, job, record=record, files=files, seen=seen.for_fold(folds[0]))
            return {}

        reads = {"folds": [key for key, _ in done], "record": record}
        Job(draft, "", record["inputs"], listen).stage("report", settings, work, reads=reads)
        draft.publish(record)
    return Evaluation(Path(out), read_json(Path(out) / "scores.json"), notes_of(files))
