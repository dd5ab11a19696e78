"""One head fitted once a fold, without the spots that the fold holds out, and the mean of these members for a slide.

Every training spot is held out by one member, whose prediction of it is honest. Intervals are made from these
predictions, each by a single member. The squared error of a mean is at most the mean of its members' squared errors,
so that the intervals are rather too wide than too narrow for the mean.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.expression.ranks import within_spot_ranks
from histoscribe.predict.audit import Ledger
from histoscribe.predict.fitting import COVERS, Training, Unseen, make_head, without_depth
from histoscribe.predict.head import Head, Inputs, Matrix, Predictor, as_inputs, fitted
from histoscribe.predict.splits import Fold

_WHERE = "ensemble of folds"


class FoldsEnsemble(Predictor):
    """The mean of one head's members, one a fold; of their ranks within the spot where ranks are predicted.

    Parameters
    ----------
    head
        Name of the members' head.
    options
        Of that head.
    folds
        What each member had not seen, in order.
    ranks
        Whether members are averaged as ranks within the spot.
    seed
        Of the members.
    """

    name: ClassVar[str] = "folds"
    takes: ClassVar[Literal["features", "tiles"]] = "features"

    def __init__(
        self,
        head: str,
        options: Mapping[str, Any] | None = None,
        folds: Sequence[str] = (),
        *,
        ranks: bool = False,
        seed: int = 0,
    ) -> None:
        self.head, self.options, self.folds = head, dict(options or {}), tuple(folds)
        self.ranks, self.seed = ranks, seed
        self.members_: tuple[Head, ...] = ()

    @property
    def needs_tiles(self) -> bool:
        """Whether the members learn from pixels."""
        return self.fresh().needs_tiles

    def check_ready(self) -> None:
        """Refuse what the members refuse."""
        for member in self._fitted():
            member.check_ready()

    def predict(self, X: Any) -> Matrix:
        """Predict the mean of the members, (n, t); see `Predictor.predict`."""
        inputs = as_inputs(X)
        total = np.mean([self.of_member(member, inputs) for member in self._fitted()], axis=0, dtype=np.float64)
        return np.asarray(total, np.float32)

    def remarks(self, X: Any) -> tuple[str, ...]:
        """Sentences of the members, each once."""
        return tuple(dict.fromkeys(text for member in self._fitted() for text in member.remarks(X)))

    def record(self) -> dict[str, str]:
        """Return what the members, all made alike, say of their last fit."""
        return self._fitted()[0].record()

    def of_member(self, member: Head, X: Inputs) -> Matrix:
        """Predict by one member alone, (n, t), in what is averaged."""
        P = member.predict(X)
        return within_spot_ranks(P) if self.ranks else P

    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        given = {"head": self.head, "options": dict(self.options), "folds": list(self.folds)}
        return given | {"ranks": self.ranks, "seed": self.seed}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what every member fitted, under its number."""
        parts = enumerate(self._fitted(), 1)
        return {f"{number}/{key}": value for number, member in parts for key, value in member.state().items()}

    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy."""

        def part(number: int) -> dict[str, NDArray[Any]]:
            start = f"{number}/"
            return {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}

        return self.of([self.fresh().with_state(part(number)) for number in range(1, len(self.folds) + 1)])

    def of(self, members: Sequence[Head]) -> Self:
        """Return a fitted copy, of these members."""
        made = type(self)(**self.params())
        made.members_ = tuple(members)
        return made

    def fresh(self) -> Head:
        """Make a member that is not fitted."""
        return make_head(self.head, self.options, seed=self.seed)

    def _fitted(self) -> tuple[Head, ...]:
        return fitted(self.members_ or None, where=_WHERE)


def fit_ensemble(
    made: FoldsEnsemble, training: Training, folds: Sequence[Fold], ledger: Ledger
) -> tuple[FoldsEnsemble, Unseen]:
    """Fit a member for every fold, and let it predict what it had not seen.

    Parameters
    ----------
    made
        Not fitted, for these folds.
    training
        All sections.
    folds
        Every row of the training is held out by one of them.

    Returns
    -------
    The ensemble, and every row predicted by the one member that had not seen it.
    """
    P, mean = np.empty_like(training.Y), np.empty_like(training.Y)
    groups = np.empty(len(P), object)
    members = []
    for fold in folds:
        fit, held = _rows(training, fold)
        _, inner = training.grouping.of(fit)
        part = f"{made.head} without {fold.name}"
        member = ledger.fit(made.fresh(), training.X.rows(fit), training.Y[fit], inner, part=part, covers=COVERS)
        P[held] = made.of_member(member, without_depth(training.X.rows(held)))
        mean[held] = training.Y[fit].mean(axis=0, dtype=np.float64)
        groups[held] = fold.name
        members.append(member)
    kind = "block" if folds[0].blocks is not None else "section" if folds[0].leaky else "patient"
    return made.of(members), Unseen(P, groups.astype(str), kind, mean)


def _rows(training: Training, fold: Fold) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the training that a fold fits, and those that it holds out."""
    if fold.blocks is not None:
        return fold.blocks
    section = np.asarray(training.X.section)
    return np.flatnonzero(np.isin(section, fold.train)), np.flatnonzero(np.isin(section, fold.test))
