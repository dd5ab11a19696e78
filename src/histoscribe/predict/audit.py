"""The audit: which sections every fitted part of a fold really saw, told from the rows that were handed over.

Whatever is fitted goes through a `Ledger`. It notes not what the caller says, but the rows that the fit was given:
their section labels, how many there were and a digest of their values. The digests are compared with those of the
sections as they were read, so that a test spot under a training section's name is found out.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ResultError, listing
from histoscribe.predict.data import Observed, inputs_of, row_digests
from histoscribe.predict.head import Head, Inputs


class Ledger:
    """What was fitted on what, in one fold.

    Parameters
    ----------
    train, test
        The two sides of the fold, as they were read.
    """

    def __init__(self, train: Sequence[Observed], test: Sequence[Observed]) -> None:
        self.train, self.test = train, test
        self.entries: list[dict[str, Any]] = []
        self._strangers: dict[str, list[str]] = {}
        self._known = {section.name: set(row_digests(inputs_of([section], depth=False))) for section in train}

    def fit(
        self, head: Head, X: Inputs, Y: NDArray[Any], groups: NDArray[Any], *, part: str, covers: Sequence[str]
    ) -> Head:
        """Fit a head and note the rows that it was given.

        Parameters
        ----------
        part
            What is fitted: "ridge", "ridge, inner fold 2".
        covers
            What is learned in that one call: "scaler", "PCA", "strength", "weights".
        """
        self.note(part, X, covers)
        return head.fit(X, Y, groups)

    def note(self, part: str, X: Inputs, covers: Sequence[str]) -> None:
        """Note the rows that something is about to be fitted on."""
        labels, told = np.asarray(X.section), row_digests(X)
        seen = []
        for name in dict.fromkeys(labels.tolist()):
            rows = [told[row] for row in np.flatnonzero(labels == name)]
            if not set(rows) <= self._known.get(name, set()):
                self._strangers.setdefault(part, []).append(name)
            joined = hashlib.sha256(b"".join(rows)).hexdigest()[:16]
            seen.append({"section": str(name), "rows": len(rows), "digest": joined})
        self.entries.append({"part": part, "covers": list(covers), "fitted_on": seen})

    def note_names(self, part: str, names: Sequence[str], covers: Sequence[str], **facts: Any) -> None:
        """Note what was fitted on whole sections, told by the fitted object itself."""
        self.entries.append(
            {"part": part, "covers": list(covers), "fitted_on": [{"section": name} for name in names], **facts}
        )

    def note_colours(self) -> None:
        """Note on which sections the stain reference was fitted, as the blocks of both sides themselves say."""
        references = sorted({one.coloured_as for one in (*self.train, *self.test) if one.coloured_as})
        facts = {} if references else {"method": "none"}
        self.note_names("stain reference", references, ("stain reference",), **facts)

    def check(self) -> None:
        """Refuse a fold in which anything was fitted on what is not of the training.

        Raises
        ------
        ResultError
            A section that is not of the training, or rows that are not those of the section whose name they bear.
        """
        known = {section.name for section in self.train}
        found = {
            entry["part"]: [seen["section"] for seen in entry["fitted_on"] if seen["section"] not in known]
            for entry in self.entries
        }
        for part, names in [*found.items(), *self._strangers.items()]:
            if names:
                raise ResultError(
                    f"{part} was fitted on rows that are not of the training sections",
                    where="audit",
                    expected=f"spots of {listing(sorted(known))}",
                    found=f"other spots, under the name {listing(names)}",
                    mend="this is a fault of the program, and no score of this fold can be trusted; please report it",
                )

    def record(self) -> dict[str, Any]:
        """Tell everything that was fitted, and what the held-out sections are, fit for JSON."""
        return {
            "train": [section.name for section in self.train],
            "test": [section.name for section in self.test],
            "train_patients": sorted({section.patient or "unknown" for section in self.train}),
            "test_patients": sorted({section.patient or "unknown" for section in self.test}),
            "fitted": self.entries,
        }
