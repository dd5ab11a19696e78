"""One section as input of predictors, and how several sections become the rows that a head is fitted on."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError, listing
from histoscribe.expression.measured import Measured
from histoscribe.predict.head import Inputs, Matrix
from histoscribe.predict.splits import Fold, block_labels

_BLOCKS = 4  # of a section, where there are no other groups


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """The n spots of one section: what they look like, where they lie, and what was measured on them.

    Parameters
    ----------
    name, patient
        The section's; the patient is None where unknown.
    blocks
        Feature blocks by name, (n, d_b) float32 each, from `context.feature_blocks`.
    xy_um
        (n, 2) centres, x before y, in microns.
    measured
        Counts or abundances; None for a slide that is only to be predicted.
    tiles
        (n, h, w, 3) uint8 where a head takes pixels, or None.
    coloured_as
        Section on which the stain reference of blocks and tiles was fitted; None where colours are as scanned.
    background
        "keep", or "white" where the section's own tissue mask made the background of tiles white.
    marks
        Columns of numbers that go with the spots into tables, (n,) each, such as `off_tissue`.
    """

    name: str
    patient: str | None
    blocks: Mapping[str, Matrix]
    xy_um: NDArray[np.float64]
    measured: Measured | None = None
    tiles: Any = None
    coloured_as: str | None = None
    background: str = "keep"
    marks: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Count the spots."""
        return len(self.xy_um)

    def require_measured(self) -> Measured:
        """Return what was measured, or say that nothing was; raises InputError."""
        if self.measured is None:
            raise InputError("nothing was measured on this section", where=f"section {self.name!r}")
        return self.measured

    def depth(self) -> NDArray[np.float64] | None:
        """ln(1 + molecules) of every spot, (n,); None where no genes were counted."""
        measured = self.measured
        if measured is None or (measured.library is None and measured.counts is None):
            return None
        return measured.depth()

    def rows(self, index: NDArray[Any]) -> "Observed":
        """Return the same for some of the spots only."""
        measured = self.measured
        if measured is not None:
            graph = None if measured.graph is None else measured.graph[index][:, index].tocsr()
            parts = (measured.counts, measured.library, measured.abundance)
            counts, library, abundance = (None if part is None else part[index] for part in parts)
            measured = replace(measured, counts=counts, library=library, abundance=abundance, graph=graph)
        return replace(
            self,
            blocks={name: block[index] for name, block in self.blocks.items()},
            xy_um=self.xy_um[index],
            measured=measured,
            tiles=None if self.tiles is None else self.tiles[index],
            marks={name: values[index] for name, values in self.marks.items()},
        )


def two_sides(sections: Mapping[str, Observed], fold: Fold) -> tuple[list[Observed], list[Observed]]:
    """Training and test sections of a fold; with blocks, the two parts of the one section."""
    if fold.blocks is not None:
        whole, (train, test) = sections[fold.train[0]], fold.blocks
        return [whole.rows(train)], [replace(whole.rows(test), name=fold.name)]
    return [sections[name] for name in fold.train], [sections[name] for name in fold.test]


def inputs_of(sections: Sequence[Observed], *, depth: bool = True) -> Inputs:
    """Stack sections into the rows of a head, blocks joined by name.

    Parameters
    ----------
    sections
        At least one.
    depth
        Whether the spots' depth is included; it is for fitting only.

    Raises
    ------
    InputError
        Sections with other blocks, or blocks of another width.
    """
    first = sections[0]
    widths = {name: block.shape[1] for name, block in first.blocks.items()}
    for section in sections:
        other = {name: block.shape[1] for name, block in section.blocks.items()}
        if other != widths:
            raise InputError(
                "sections are described by different feature blocks",
                where=f"section {section.name!r}",
                expected=listing(f"{name} ({width})" for name, width in sorted(widths.items())),
                found=listing(f"{name} ({width})" for name, width in sorted(other.items())),
                fix="embed all sections with one encoder and the same tile sizes",
            )
    depths = [section.depth() for section in sections] if depth else [None]
    return Inputs(
        {name: np.concatenate([section.blocks[name] for section in sections]) for name in sorted(widths)},
        None if first.tiles is None else np.concatenate([np.asarray(section.tiles) for section in sections]),
        np.repeat([section.name for section in sections], [len(section) for section in sections]),
        None if any(d is None for d in depths) else np.concatenate([d for d in depths if d is not None]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """What must stay together when something is chosen within the training: patients, sections or compact blocks.

    Parameters
    ----------
    levels
        From the coarsest to the finest: what it is called, and the (n,) label of every row.
    """

    levels: tuple[tuple[str, NDArray[np.str_]], ...]

    def of(self, rows: NDArray[Any]) -> tuple[str, NDArray[np.str_]]:
        """Return the coarsest level with at least two groups among some rows, and their labels."""
        for kind, labels in self.levels:
            if len(np.unique(labels[rows])) > 1:
                return kind, labels[rows]
        kind, labels = self.levels[-1]
        return kind, labels[rows]


def grouping_of(sections: Sequence[Observed]) -> Grouping:
    """Group the rows of `inputs_of(sections)`: by patient where all are known, by section, by block of a section."""
    sizes = [len(section) for section in sections]
    levels = []
    if all(section.patient for section in sections):
        levels.append(("patient", np.repeat([str(section.patient) for section in sections], sizes)))
    levels.append(("section", np.repeat([section.name for section in sections], sizes)))
    blocks = [
        [f"{section.name}#{block + 1}" for block in block_labels(section.xy_um, n_blocks=min(_BLOCKS, len(section)))]
        for section in sections
    ]
    levels.append(("block", np.concatenate(blocks)))
    return Grouping(tuple(levels))


def row_digests(X: Inputs) -> list[bytes]:
    """Digest every row by its values, whatever its label: 16 bytes of a hash over its features, n of them."""
    names = sorted(X.blocks)
    if not names:
        return [hashlib.blake2b(np.ascontiguousarray(tile).tobytes(), digest_size=16).digest() for tile in X.tiles]
    digests = []
    for row in range(len(X)):
        state = hashlib.blake2b(digest_size=16)
        for name in names:
            state.update(np.ascontiguousarray(X.blocks[name][row]).tobytes())
        digests.append(state.digest())
    return digests
