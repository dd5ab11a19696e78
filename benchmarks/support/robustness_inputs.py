"""Damaged inputs, each read by a public function in a child: refused, read, or anything that must not happen."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from support.robustness_child import End, UnusableJobError, ends, made_by
from support.robustness_families import SECTIONS, Family, damage
from support.robustness_families_other import OTHERS

FAMILIES: tuple[Family, ...] = (*SECTIONS, *OTHERS)
INPUTS = 5000
BAD = ("unhandled", "memory", "crash", "hang")


@dataclass(frozen=True, slots=True)
class Read:
    """What became of one damaged input.

    Parameters
    ----------
    family, number
        Name the input: the same always gives the same bytes.
    kind
        "refused", "equal", "different", "silent" (a damage that can be detected was read as other content, without
        a warning), or one of BAD.
    damage
        What was done to which file.
    """

    family: str
    number: int
    kind: str
    damage: str
    detail: str


def inputs(work: Path, count: int, *, families: Sequence[str] = (), keep: Path | None = None) -> Iterator[Read]:
    """Damage and read about `count` inputs, spread over the families.

    Parameters
    ----------
    families
        Names; all where empty. "NAME:7" is the seventh input of a family alone.
    keep
        Folder into which each input is copied that was met with one of BAD.
    """
    chosen = [one for one in FAMILIES if not families or any(one.name == name.partition(":")[0] for name in families)]
    numbers = {name: int(n) for name, _, n in (one.partition(":") for one in families) if n}
    each = count / sum(one.share for one in chosen)
    for family in chosen:
        these = [numbers[family.name]] if family.name in numbers else range(max(1, round(each * family.share)))
        yield from family_inputs(family, work, these, keep=keep)


def family_inputs(family: Family, work: Path, numbers: Sequence[int], *, keep: Path | None = None) -> Iterator[Read]:
    """Damage and read inputs of one family."""
    sound = work / "sound" / family.name.replace(" ", "_")
    if not sound.exists():
        sound.mkdir(parents=True)
        made_by(lambda: family.write(sound))
    expected = made_by(lambda: family.read(_copied(sound, work / "damaged" / "none")))
    jobs = [_job(family, sound, work / "damaged" / str(number), number) for number in numbers]
    for number, end in zip(numbers, ends(jobs), strict=True):
        folder = work / "damaged" / str(number)
        note = _note(folder)
        kind = _judged(end, expected, detectable=note.startswith("1"))
        if keep is not None and kind in (*BAD, "silent", "unusable"):
            shutil.copytree(
                folder, keep / f"{family.name}-{number}".replace(" ", "_"), dirs_exist_ok=True, symlinks=True
            )
        shutil.rmtree(folder, ignore_errors=True)
        yield Read(family.name, number, kind, note[1:], end.detail)
    shutil.rmtree(work / "damaged", ignore_errors=True)


def _job(family: Family, sound: Path, folder: Path, number: int) -> Callable[[], Any]:
    def job() -> Any:
        try:
            _copied(sound, folder)
            done = damage(family, folder, Random(f"{family.name}/{number}"))
            folder.with_name(f"{folder.name}.txt").write_text(
                f"{done['detectable']:d}{done['damage']} in {done['file']}"
            )
        except Exception as error:
            raise UnusableJobError(str(folder)) from error
        return family.read(folder)

    return job


def _copied(sound: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(sound, folder))


def _note(folder: Path) -> str:
    note = folder.with_name(f"{folder.name}.txt")
    return note.read_text() if note.is_file() else "0not damaged"


def _judged(end: End, expected: dict[str, Any], *, detectable: bool) -> str:
    if end.kind != "value":
        return end.kind
    if end.value["content"] == expected["content"]:
        return "equal"
    return "silent" if detectable and not end.value.get("noted") else "different"


def summary(reads: Sequence[Read]) -> dict[str, int]:
    """How many of each kind."""
    kinds = Counter(one.kind for one in reads)
    return {
        kind: kinds[kind]
        for kind in ("refused", "equal", "different", "silent", *BAD, "unusable")
        if kinds[kind] or kind != "unusable"
    }
