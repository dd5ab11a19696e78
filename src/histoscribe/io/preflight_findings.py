"""A finding of the preflight: one sentence with numbers for a biologist, the numbers again for a program, the fix."""

from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["ok", "open", "warning", "refused"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Parameters
    ----------
    name
        What was checked: "orientation".
    level
        "ok", "open" (it cannot be told from what was given), "warning" (the run continues) or "refused" (it stops).
    message
        One or two sentences with the numbers that decided.
    evidence
        These and further numbers by name.
    fix
        What the user can do; empty where there is nothing to do.
    """

    name: str
    level: Level
    message: str
    evidence: dict[str, float] = field(default_factory=dict)
    fix: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON-able data."""
        return {
            "name": self.name,
            "level": self.level,
            "message": self.message,
            "evidence": {key: _plain(value) for key, value in self.evidence.items()},
            "fix": self.fix,
        }


def percent(share: float) -> str:
    """Write a share in per cent so that only exactly 0 and 100 are written as such."""
    value = 100 * share
    if 0 < value < 0.1:
        return "under 0.1 %"
    if 99.9 < value < 100:
        return "over 99.9 %"
    return f"{value:.1f} %" if 0 < value < 1 or 99 < value < 100 else f"{value:.0f} %"


def factor(ratio: float) -> str:
    """Write a ratio in words: "10 times", "2.5 times"."""
    return f"{ratio:.0f} times" if ratio >= 9.5 else f"{ratio:.2g} times"


def _plain(value: float) -> float | int:
    return int(value) if float(value).is_integer() else round(float(value), 6)
