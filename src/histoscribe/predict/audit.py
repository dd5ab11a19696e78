"""The audit: which sections every fitted part of a fold really saw, from the rows that it was given.

Every fit goes through a `Ledger`. It does not rely on what the caller says; it records the rows that the fit was
given: their section labels, their number and a digest of their values. The digests are compared with those of the
sections as they were read, so that a test spot under a training section's name is detected.
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
    """Record of what was fitted on which rows, in one fold.

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
        """Fit a head and record the rows that it was given.

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
        """Record the rows that something is about to be fitted on."""
        labels, digests = np.asarray(X.section), row_digests(X)
        seen = []
        for name in dict.fromkeys(labels.tolist()):
            rows = [digests[row] for row in np.flatnonzero(labels == name)]
            if not set(rows) <= self._known.get(name, set()):
                self._strangers.setdefault(part, []).append(name)
            joined = hashlib.sha256(b"".join(rows)).hexdigest()[:16]
            seen.append({"section": str(name), "rows": len(rows), "digest": joined})
        self.entries.append({"part": part, "covers": list(covers), "fitted_on": seen})

    def note_names(self, part: str, names: Sequence[str], covers: Sequence[str], **facts: Any) -> None:
        """Record what was fitted on whole sections, as the fitted object itself reports it."""
        self.entries.append(
            {"part": part, "covers": list(covers), "fitted_on": [{"section": name} for name in names], **facts}
        )

    def note_colours(self) -> None:
        """Record the stain reference's sections, as both sides' blocks report them, and a white background."""
        references = sorted({one.coloured_as for one in (*self.train, *self.test) if one.coloured_as})
        facts = {} if references else {"method": "none"}
        self.note_names("stain reference", references, ("stain reference",), **facts)
        if any(one.background == "white" for one in (*self.train, *self.test)):
            # by each section's own tissue mask, so that nothing was fitted on any of them
            self.note_names("background", (), ("white off the tissue",), method="white")

    def check(self) -> None:
        """Refuse a fold in which anything was fitted on rows outside the training sections.

        Raises
        ------
        ResultError
            A section that is not in the training, or rows of another section than they are labelled with.
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
                    fix="this is a fault of the program, and no score of this fold can be trusted; please report it",
                )

    def record(self) -> dict[str, Any]:
        """Return everything that was fitted, and the held-out sections, as JSON values."""
        return {
            "train": [section.name for section in self.train],
            "test": [section.name for section in self.test],
            "train_patients": sorted({section.patient or "unknown" for section in self.train}),
            "test_patients": sorted({section.patient or "unknown" for section in self.test}),
            "fitted": self.entries,
        }
