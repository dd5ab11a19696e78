"""What is held out, and a rehearsal: all that can be refused without a picture is refused before the first tile.

Embedding a cohort may take hours. What the settings, the sections and the counts decide is decided before it, by the
same code that the folds run later.
"""

from collections.abc import Sequence

import numpy as np

from histoscribe.errors import ConfigError, InputError
from histoscribe.predict.data import Observed, grouping_of, two_sides
from histoscribe.predict.evaluate import FoldSettings
from histoscribe.predict.fitting import INNER_FOLDS, make_head
from histoscribe.predict.splits import Fold, block_folds, check_no_patient_on_both_sides, inner_folds, outer_folds
from histoscribe.run.cohort.files import SectionFiles
from histoscribe.run.cohort.options import PredictOptions

_GUARD_TILES = 1.0  # spots of one section with tiles that overlap never stand on both sides
_FEWEST = 2  # spots from which a network learns, or that a score is of
_FEWEST_OF_MODEL = 5  # spots with which a new slide can be compared


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
                fix="hold out patients or sections, or give a sheet with one section",
            )
        folds = block_folds(
            files[0].name, files[0].xy_um, guard_um=_GUARD_TILES * max(options.tile_um), seed=options.seed
        )
    else:
        folds = outer_folds([(one.name, one.patient) for one in files], by=options.by)
    check_no_patient_on_both_sides(folds, {one.name: one.patient for one in files})
    return folds


def whole(files: Sequence[SectionFiles]) -> Fold:
    """Return the fold of a model: all sections train, none is held out."""
    return Fold("all sections", tuple(one.name for one in files), (), "section", leaky=False)


def rehearse(files: Sequence[SectionFiles], folds: Sequence[Fold], settings: FoldSettings) -> None:
    """Make the heads, fit the targets and divide the training of every fold as it will be, without any picture.

    Raises
    ------
    HistoscribeError
        What a head, a target or a division would refuse later, whatever the sections look like.
    """
    for name in settings.heads:
        make_head(name, settings.head_options.get(name), seed=settings.seed).check_ready()
    _refuse_depth(files, settings)
    bare = {one.name: Observed(one.name, one.patient, {}, one.xy_um, one.measured) for one in files}
    for fold in folds:
        train, test = two_sides(bare, fold)
        target = settings.make_target()
        target.fit([one.require_measured() for one in train])
        for one in (*train, *test):
            target.transform(one.require_measured())
            _require_spots(len(one), where=f"section {one.name!r}")
        _, groups = grouping_of(train).of(np.arange(sum(len(one) for one in train)))
        for fit, _ in inner_folds(groups, max_folds=INNER_FOLDS):
            _require_spots(len(fit), where=f"training of {fold.name}")
        if not fold.test:
            _require_spots(len(groups), where=f"training of {fold.name}", fewest=_FEWEST_OF_MODEL)


def _refuse_depth(files: Sequence[SectionFiles], settings: FoldSettings) -> None:
    """Refuse the head "depth", alone or in a stack, where molecules were not counted on every section."""
    stacked = settings.head_options.get("stack", {}).get("heads", ()) if "stack" in settings.heads else ()
    if "depth" not in (*settings.heads, *stacked):
        return
    without = [one.name for one in files if one.measured is None or one.measured.counts is None]
    if without:
        raise ConfigError(
            "the head 'depth' learns the number of molecules, which were not counted on every section",
            where="heads",
            found=f"no counts on {', '.join(without)}",
            fix="leave this head out",
        )


def _require_spots(n: int, *, where: str, fewest: int = _FEWEST) -> None:
    if n < fewest:
        raise InputError("there are too few spots", where=where, expected=f"at least {fewest}", found=f"{n}")
