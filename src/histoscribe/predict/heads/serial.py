"""Head "serial": the head "lowrank", which also uses place where sections are serial sections of one specimen.

Serial sections show the same structures at the same place. Training sections that agree with each other, by their
pictures alone, are aligned in one frame; a new section that agrees with them too is predicted from its appearance and
its place there. Any other section is predicted from its appearance alone, as by the head "lowrank". A gain by place
says nothing about new patients: it is what repeated sections of one piece of tissue share.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from histoscribe.predict.context import POSITION, appearance
from histoscribe.predict.frame import Frame
from histoscribe.predict.head import Head, Inputs, Matrix, as_inputs
from histoscribe.predict.heads.front import checked_targets
from histoscribe.predict.heads.lowrank import PLACE, STRENGTHS, LowRankHead

Floats = NDArray[np.float64]

_WHERE = "head serial"
_AROUND = "neighbours:"


class SerialHead(Head):
    """Low-rank prediction that also uses place, for serial sections.

    Parameters
    ----------
    rank, components, landmarks, strengths, seed
        As of the head "lowrank".

    Attributes
    ----------
    frame_
        Of the training sections; None where they are no serial sections, or where the spots' places are not known.
    """

    name: ClassVar[str] = "serial"
    takes: ClassVar[Literal["features", "tiles"]] = "features"

    def __init__(
        self,
        rank: int = 60,
        components: int = 128,
        landmarks: int = 256,
        strengths: Sequence[float] = STRENGTHS,
        seed: int = 0,
    ) -> None:
        self.look_ = LowRankHead(rank, components, landmarks, strengths, seed)
        self.placed_: LowRankHead | None = None
        self.frame_: Frame | None = None

    def fit(self, X: Any, Y: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Learn; see `Head.fit`."""
        inputs = as_inputs(X)
        Y = checked_targets(inputs, Y, groups, where=_WHERE)
        self.look_.fit(inputs, Y, groups)
        self.frame_ = self.placed_ = None
        rows = list(_sections(inputs))
        places = [_place(inputs, index) for index in rows]
        known = [xy for xy in places if xy is not None]
        if len(known) < len(rows):
            return self
        with threadpool_limits(limits=1):
            found = Frame.fit([_look(inputs, index) for index in rows], known, seed=self.look_.seed)
        if found is not None:
            self.frame_, aligned = found
            block = np.zeros((len(inputs), 2), np.float32)
            for index, xy in zip(rows, aligned, strict=True):
                block[index] = xy
            self.placed_ = LowRankHead(**self.look_.params()).fit(_with_place(inputs, block), Y, groups)
        return self

    def predict(self, X: Any) -> Matrix:
        """Predict, (n, t); see `Head.predict`. Give a section whole, or it cannot be aligned."""
        inputs = as_inputs(X)
        P = self.look_.predict(inputs)
        for index, aligned in self._aligned(inputs):
            if aligned is not None and self.placed_ is not None:
                rows = inputs.rows(index)
                P[index] = self.placed_.predict(_with_place(rows, aligned.astype(np.float32)))
        return P

    def remarks(self, X: Any) -> tuple[str, ...]:
        """Say which sections are predicted from their place too; see `Head.remarks`."""
        inputs = as_inputs(X)
        if self.frame_ is None:
            return ("the training sections are no serial sections: predicted from appearance alone",)
        return tuple(
            "no serial section of the training sections: predicted from appearance alone"
            if aligned is None
            else "aligned with the training sections as a serial section: predicted from appearance and place"
            for _, aligned in self._aligned(inputs)
        )

    def _aligned(self, inputs: Inputs) -> Iterator[tuple[NDArray[np.intp], Floats | None]]:
        """Rows of every section and their places in the frame; None where the section does not belong there."""
        for index in _sections(inputs):
            xy = _place(inputs, index)
            if self.frame_ is None or xy is None:
                yield index, None
                continue
            with threadpool_limits(limits=1):
                aligned = self.frame_.place(_look(inputs, index), xy)
            yield index, aligned

    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return self.look_.params()

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was fitted."""
        arrays = {f"look/{key}": value for key, value in self.look_.state().items()}
        if self.frame_ is not None and self.placed_ is not None:
            arrays |= {f"placed/{key}": value for key, value in self.placed_.state().items()}
            arrays |= {f"frame/{key}": value for key, value in self.frame_.state().items()}
        return arrays

    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy."""

        def part(name: str) -> dict[str, NDArray[Any]]:
            return {key.removeprefix(name): value for key, value in state.items() if key.startswith(name)}

        made = type(self)(**self.params())
        made.look_ = made.look_.with_state(part("look/"))
        if part("frame/"):
            made.frame_ = Frame.from_state(part("frame/"))
            made.placed_ = LowRankHead(**self.params()).with_state(part("placed/"))
        return made


def _sections(X: Inputs) -> Iterator[NDArray[np.intp]]:
    """Rows of every section; of one where none are named."""
    labels = np.zeros(len(X)) if X.section is None else np.asarray(X.section)
    for label in np.unique(labels):
        yield np.flatnonzero(labels == label)


def _place(X: Inputs, index: NDArray[np.intp]) -> Floats | None:
    """Places of a section about its middle, (n, 2) in millimetres; None where they are not known."""
    if POSITION not in X.blocks:
        return None
    xy = np.asarray(X.blocks[POSITION][index], np.float64)
    return np.asarray(xy - xy.mean(axis=0))


def _look(X: Inputs, index: NDArray[np.intp]) -> Inputs:
    """Select the features that sections are aligned by: neighbourhoods, which are less noisy than single spots."""
    blocks = appearance(X.blocks)
    around = {name: block for name, block in blocks.items() if name.startswith(_AROUND)} or blocks
    return Inputs({name: block[index] for name, block in around.items()})


def _with_place(X: Inputs, place: Matrix) -> Inputs:
    return replace(X, blocks={**X.blocks, PLACE: place})
