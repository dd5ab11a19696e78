"""The folds of an evaluation as stages of its result folder: each done once, kept whatever befalls the others."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histoscribe.errors import HistoscribeError, InputError, listing
from histoscribe.predict.data import Observed
from histoscribe.predict.evaluate import FoldResult, FoldSettings, evaluate_fold
from histoscribe.predict.splits import Fold
from histoscribe.run.cohort.observing import Seen
from histoscribe.run.cohort.options import PredictOptions
from histoscribe.run.events import Listener
from histoscribe.run.job import Job
from histoscribe.store.draft import Draft
from histoscribe.store.files import read_json, write_json
from histoscribe.store.tensors import read_tensors


def fold_stages(
    draft: Draft,
    seen: Callable[[Fold], Mapping[str, Seen]],
    folds: Sequence[Fold],
    settings: FoldSettings,
    *,
    options: PredictOptions,
    inputs: Sequence[Mapping[str, Any]],
    listen: Listener,
) -> list[tuple[str, str]]:
    """Do every fold that is not done yet.

    A fold that is refused does not keep the others from being finished; it is named at the end.

    Parameters
    ----------
    seen
        Of a fold: all sections by name, embedded.
    options
        How the sections were described: the folds depend on all of it.
    inputs
        What was read of them: the folds depend on it.

    Returns
    -------
    The key and the folder of each fold, in order.

    Raises
    ------
    InputError
        Folds that failed.
    """
    done, failures = [], []
    for number, fold in enumerate(folds, 1):
        name, here = f"fold_{number:02d}", seen(fold)
        sections = {section: one.observed for section, one in here.items()}
        job = Job(draft, fold.name, inputs, listen)
        reads = {"sections": {section: one.key for section, one in here.items()}, "fold": fold}
        work = _fold_work(name, sections, fold, settings)
        try:
            job.stage(name, {"options": options, "fold": settings}, work, reads=reads)
        except HistoscribeError as error:
            failures.append((fold, error))
            continue
        done.append((job.keys[name], name))
    if failures:
        raise _failed(failures, n_folds=len(folds))
    return done


def _failed(failures: Sequence[tuple[Fold, HistoscribeError]], *, n_folds: int) -> InputError:
    """Tell of the folds that failed, the first of them in full."""
    fold, first = failures[0]
    names = listing(other.name for other, _ in failures)
    return InputError(
        f"{len(failures)} of {n_folds} folds failed ({names}). {fold.name}: {first.problem}",
        where=first.where,
        expected=first.expected,
        found=first.found,
        fix=f"{first.fix + '; ' if first.fix else ''}the other folds are finished and kept for the next run",
    )


def _fold_work(name: str, sections: Mapping[str, Observed], fold: Fold, settings: FoldSettings) -> Any:
    def work(folder: Path) -> dict[str, Any]:
        from safetensors.numpy import save_file

        result = evaluate_fold(sections, fold, settings)
        (folder / name).mkdir()
        write_json(folder / name / "fold.json", result.record)
        arrays = {key: np.ascontiguousarray(result.arrays[key]) for key in sorted(result.arrays)}
        save_file(arrays, str(folder / name / "predictions.safetensors"))
        return {"fold": fold.name}

    return work


def read_fold(folder: Path) -> FoldResult:
    """Read back what a fold's stage left in its folder."""
    arrays = read_tensors(folder / "predictions.safetensors", fix="delete the result and run the command again")
    return FoldResult(read_json(folder / "fold.json"), arrays)
