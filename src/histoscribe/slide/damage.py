"""Damage found in a picture: refused, or noted where the user allows it."""

from dataclasses import dataclass, field
from pathlib import Path

from histoscribe.errors import InputError, listing
from histoscribe.slide.sources import COPY_AGAIN


@dataclass(slots=True, eq=False)
class Damage:
    """The damage found in one picture.

    Parameters
    ----------
    path, kind
        The file, and what it is: "JPEG", "TIFF".
    allowed
        Whether the user wants the picture all the same.
    """

    path: Path
    kind: str
    allowed: bool = False
    remarks: list[str] = field(default_factory=list)  # what a user should know although it may not be damage
    _found: dict[str, None] = field(default_factory=dict)  # in the order met, each once

    def met(self, what: str, *, cause: BaseException | None = None) -> None:
        """Raise InputError, or keep the finding where the user allows damage."""
        if not self.allowed:
            raise InputError(
                "the image is damaged or incomplete",
                where=self.path,
                expected=f"a complete {self.kind} file",
                found=what,
                fix=f"{COPY_AGAIN}; only if there is no better copy, allow_damaged reads it with a note in the result",
            ) from cause
        self._found[what] = None

    def notes(self) -> tuple[str, ...]:
        """Sentences for the report."""
        if not self._found:
            return tuple(self.remarks)
        findings = listing(self._found, limit=5)
        return (f"the image is damaged and was read all the same, as allow_damaged says: {findings}", *self.remarks)
