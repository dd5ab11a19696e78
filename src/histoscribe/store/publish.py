"""Putting a complete draft in the place of an older result, so that nothing else in the folder is lost.

Only a file that the older manifest lists, and that still has the listed bytes, is replaced or deleted, and not even
that where the draft says that its stage is to be set aside. Whatever else is in the way, a file that a user put there
or changed, a link, a folder, is moved into `kept-DATE` in the result's folder and named. What is not in the way stays
where it is.

A process may be killed between any two moves: the older manifest stays until the end, so that the next writer finds
the same rules and ends the work.
"""

import logging
import shutil
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

from histoscribe.errors import ResultError, listing
from histoscribe.store.files import files_below, flush_folder, is_plain_file, read_json
from histoscribe.store.manifest import KEPT, MANIFEST, READY, RECORD, STAGES, is_as_listed, read_manifest

_log = logging.getLogger(__name__)
_NAMED = 8  # files that are named one by one


def is_pending(result: Path) -> bool:
    """Whether a complete draft waits in the folder `result` to be put in place."""
    return is_plain_file(result, f"{READY}/{MANIFEST}")


def put_in_place(result: Path) -> None:
    """Move the complete draft in `result`/.ready into place, and say what had to be moved aside for it."""
    ready = result / READY
    left = _set_aside(ready)
    new, old = read_manifest(ready)["files"], _listed(result)
    aside = Aside(result)
    for name, facts in old.items():
        if name not in new:
            _retire(result, name, facts, aside, keep=str(facts.get("stage")) in left)
    if left and is_plain_file(ready, RECORD) and is_plain_file(result, RECORD):
        aside.take(RECORD)  # what is set aside keeps its record
    for name in files_below(ready):
        if name not in (MANIFEST, STAGES):
            _make_way(result, name, ready / name, old, aside)
    (ready / STAGES).unlink(missing_ok=True)
    _move(ready / MANIFEST, result / MANIFEST)
    shutil.rmtree(ready)  # empty folders
    flush_folder(result)
    aside.report()


def end_publication(result: Path) -> None:
    """Put in place what another process had committed and was killed over; does nothing where there is nothing.

    Raises
    ------
    ResultError
        Where what waits there is not what its manifest lists: it was not left by histoscribe.
    """
    ready = result / READY
    if ready.is_symlink() or (ready.exists() and not ready.is_dir()):
        raise _foreign(result, READY, "no folder")
    if not ready.is_dir():
        return
    there = files_below(ready)
    if not is_pending(result):
        if there:
            raise _foreign(result, READY, listing(there))
        shutil.rmtree(ready)
        return
    files = read_manifest(ready)["files"]
    waiting = [name for name in there if name not in (MANIFEST, STAGES)]
    wrong = [name for name in waiting if name not in files or not is_as_listed(ready, name, files[name])]
    if wrong:
        raise _foreign(result, READY, listing(wrong))
    put_in_place(result)


def _foreign(result: Path, name: str, found: str) -> ResultError:
    return ResultError(
        f"{name} in this folder was not left by histoscribe, or is damaged",
        where=result,
        found=found,
        fix=f"give another folder with --out, or delete {name} if nobody needs it",
    )


def _listed(result: Path) -> dict[str, dict[str, Any]]:
    files: dict[str, dict[str, Any]] = read_manifest(result)["files"] if (result / MANIFEST).is_file() else {}
    return files


def _set_aside(ready: Path) -> set[str]:
    """Names of the older result's stages that are to be moved aside as they are."""
    record = read_json(ready / STAGES) if is_plain_file(ready, STAGES) else {}
    names = record.get("set_aside") if isinstance(record, dict) else None
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()


def _retire(result: Path, name: str, facts: dict[str, Any], aside: "Aside", *, keep: bool) -> None:
    """Delete a file of the older result that the new one lacks; one with other bytes, or to be kept, is moved aside."""
    if not is_plain_file(result, name):  # gone, or something else's: not ours to touch
        return
    if not keep and is_as_listed(result, name, facts):
        (result / name).unlink()
    else:
        aside.take(name)
    remove_empty_folders(result, name)


def _make_way(result: Path, name: str, source: Path, old: dict[str, Any], aside: "Aside") -> None:
    """Move one file of the draft into place; what is there and not the older result's own is moved aside."""
    parts = name.split("/")
    for depth in range(1, len(parts)):
        folder = result.joinpath(*parts[:depth])
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            aside.take("/".join(parts[:depth]))
        folder.mkdir(exist_ok=True)
    target = result / name
    if target.is_symlink() or target.exists():
        same = is_plain_file(result, name) and target.samefile(source)
        if not same and not (name in old and is_as_listed(result, name, old[name])):
            aside.take(name)
    _move(source, target)


def _move(source: Path, target: Path) -> None:
    if target.is_file() and target.samefile(source):  # renaming a file onto a hard link of itself does nothing
        source.unlink()
    else:
        source.replace(target)


def remove_empty_folders(folder: Path, name: str) -> None:
    """Delete the folders above the file `name` of `folder` that its going has left empty."""
    for parent in (folder / name).parents:
        if parent == folder or not parent.is_dir() or any(parent.iterdir()):
            break
        parent.rmdir()


class Aside:
    """Moves what is in the way in a folder into one of this day in it, made when it is first needed."""

    def __init__(self, result: Path) -> None:
        self.result = result
        self.folder: Path | None = None
        self.taken: list[str] = []

    def take(self, name: str) -> None:
        """Move the file, link or folder `name`."""
        if self.folder is None:
            day = date.today().isoformat()
            names = (f"{KEPT}{day}" if k == 1 else f"{KEPT}{day}-{k}" for k in count(1))
            self.folder = next(path for path in map(self.result.joinpath, names) if not path.exists())
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.result / name).rename(target)
        self.taken.append(name)

    def report(self) -> None:
        """Say what was moved, if anything was."""
        if self.folder is not None:
            _log.warning(
                "%s: not of this result, so it was moved to %s and not deleted: %s",
                self.result,
                self.folder.name,
                listing(self._named()),
            )

    def _named(self) -> list[str]:
        """Names of what was moved; of many files only the folders in which they lay."""
        if len(self.taken) <= _NAMED:
            return self.taken
        return list(dict.fromkeys(name.partition("/")[0] + ("/" if "/" in name else "") for name in self.taken))
