"""The result folder: built out of sight, stage by stage, and published whole.

    result/
      .partial/    the draft: finished stages, their record `stages.json`, and one `.stage-NAME` that is being written
      .ready/      a complete draft on its way into place; the rename .partial -> .ready is the moment of commitment
      .lock        held by the one process that writes
      manifest.json, run.json, and what the stages made

A process may be killed at any moment. Before the commitment an older result is untouched; after it, whoever opens the
folder next finishes the moves, which are renames and can be repeated. Nothing that was complete is opened for writing:
a stage whose key is unchanged is taken over from the older result by hard links.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from histoscribe.errors import ResultError, listing
from histoscribe.store.files import (
    files_below,
    flush_folder,
    flush_tree,
    read_json,
    remove_half_written,
    write_json,
    writing_to,
)
from histoscribe.store.manifest import (
    MANIFEST,
    RECORD,
    Verification,
    describe,
    read_manifest,
    verify_folder,
    write_manifest,
)

_PARTIAL, _READY, _LOCK, _STAGES = ".partial", ".ready", ".lock", "stages.json"
_OWN = {_PARTIAL, _READY, _LOCK}

Work = Callable[[Path], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class StageDone:
    """A finished stage.

    Parameters
    ----------
    folder
        Where its files lie now: the draft's folder.
    facts
        What the stage reported of itself, JSON-able.
    reused
        Whether it had been done before with the same key.
    """

    folder: Path
    facts: dict[str, Any]
    reused: bool


class Draft:
    """A result being built; made by `writing_result`."""

    def __init__(self, result: Path) -> None:
        self.result = result
        self.folder = result / _PARTIAL
        self.folder.mkdir(exist_ok=True)
        path = self.folder / _STAGES
        self.stages: dict[str, dict[str, Any]] = read_json(path) if path.is_file() else {}

    def stage(self, name: str, key: str, work: Work, *, resumable: bool = False) -> StageDone:
        """Do a stage, or take it over where it was done with the same key.

        Parameters
        ----------
        key
            Fingerprint of all that the stage's files depend on.
        work
            Writes the stage's files into the folder it is given and returns facts about them.
        resumable
            Whether `work` can go on with what an interrupted call with the same key left in that folder.
        """
        if self._is_done(name, key) or self._take_over(name, key):
            return StageDone(self.folder, self.stages[name]["facts"], reused=True)
        self._forget(name)
        aside = self.folder / f".stage-{name}"
        if aside.exists() and not (resumable and _key_of(aside) == key):
            shutil.rmtree(aside)
        with ExitStack() as undo:
            if not resumable:
                undo.callback(shutil.rmtree, aside, ignore_errors=True)
            aside.mkdir(exist_ok=True)
            remove_half_written(aside)
            write_json(aside / ".key", {"key": key})
            facts = work(aside)
            undo.pop_all()
        (aside / ".key").unlink()
        flush_tree(aside)
        files = {file: describe(aside, file) for file in files_below(aside)}
        for entry in sorted(aside.iterdir()):
            _replace(entry, self.folder / entry.name)
        aside.rmdir()
        flush_folder(self.folder)
        self._record(name, {"key": key, "facts": facts, "files": files})
        return StageDone(self.folder, facts, reused=False)

    def publish(self, record: dict[str, Any]) -> dict[str, Any]:
        """Write the run's record and the manifest, and put the draft in the place of any older result.

        Returns
        -------
        The manifest.
        """
        wanted = {
            file: {**facts, "stage": name}
            for name, stage in self.stages.items()
            for file, facts in stage["files"].items()
        }
        # left by stages that this run no longer has
        _unlink(self.folder, [name for name in files_below(self.folder) if name not in wanted and name != _STAGES])
        stages = {name: {"key": stage["key"], "facts": stage["facts"]} for name, stage in self.stages.items()}
        write_json(self.folder / RECORD, {**record, "stages": stages})
        (self.folder / _STAGES).unlink()
        wanted[RECORD] = describe(self.folder, RECORD)
        manifest = write_manifest(self.folder, dict(sorted(wanted.items())))
        self.folder.replace(self.result / _READY)
        flush_folder(self.result)
        _finish_publication(self.result)
        return manifest

    def _is_done(self, name: str, key: str) -> bool:
        stage = self.stages.get(name)
        return stage is not None and stage["key"] == key and _as_described(self.folder, stage["files"])

    def _take_over(self, name: str, key: str) -> bool:
        older = _published_stage(self.result, name, key)
        if older is None or not _as_described(self.result, older["files"]):
            return False
        self._forget(name)
        for file in older["files"]:
            target = self.folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            _link_or_copy(self.result / file, target)
        self._record(name, older)
        return True

    def _forget(self, name: str) -> None:
        _unlink(self.folder, self.stages.pop(name, {}).get("files", {}))

    def _record(self, name: str, stage: dict[str, Any]) -> None:
        self.stages[name] = stage
        write_json(self.folder / _STAGES, self.stages)


@contextmanager
def writing_result(folder: Path) -> Iterator[Draft]:
    """Open `folder` to write a result into it; made where absent.

    Raises
    ------
    ResultError
        Where another process writes there, the folder holds something else, or the disk is full or read-only.
    """
    folder = folder.absolute()
    made = not folder.exists()
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(folder)
        lock = FileLock(folder / _LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise ResultError(
                "another run is writing this result",
                where=folder,
                mend="wait for it to end, or give another folder with --out",
            ) from error
        try:
            _finish_publication(folder)
            yield Draft(folder)
        finally:
            _tidy(folder)
            # unlinked while it is held: whoever has opened it meanwhile sees that the file is gone and opens a new one
            (folder / _LOCK).unlink(missing_ok=True)
            lock.release()
            if made and not any(folder.iterdir()):
                folder.rmdir()


def stage_folder(result: Path) -> Path:
    """Folder from which a complete result is read; finishes a publication that was cut short.

    Raises
    ------
    ResultError
        Where there is no complete result.
    """
    result = result.absolute()
    if (result / _READY).is_dir():
        with writing_to(result), FileLock(result / _LOCK):
            _finish_publication(result)
    read_manifest(result)
    return result


def verify_result(result: Path) -> Verification:
    """Re-read every byte of the result in `result` against its manifest.

    Raises
    ------
    ResultError
        Where there is no complete result, or its manifest is damaged.
    """
    return verify_folder(stage_folder(result))


def read_record(result: Path) -> dict[str, Any]:
    """Read the `run.json` of a complete result."""
    record: dict[str, Any] = read_json(stage_folder(result) / RECORD)
    return record


def _finish_publication(result: Path) -> None:
    ready = result / _READY
    if not ready.is_dir():
        return
    if (ready / MANIFEST).is_file():
        new = {name.partition("/")[0] for name in read_manifest(ready)["files"]}
        for name in _published_entries(result) - new:
            _remove(result / name)
        for entry in sorted(ready.iterdir()):
            if entry.name != MANIFEST:
                _replace(entry, result / entry.name)
        _replace(ready / MANIFEST, result / MANIFEST)
    ready.rmdir()
    flush_folder(result)


def _published_entries(result: Path) -> set[str]:
    if not (result / MANIFEST).is_file():
        return set()
    return {name.partition("/")[0] for name in read_json(result / MANIFEST)["files"]}


def _published_stage(result: Path, name: str, key: str) -> dict[str, Any] | None:
    if not (result / MANIFEST).is_file():
        return None
    try:
        files, stages = read_manifest(result)["files"], read_json(result / RECORD)["stages"]
    except ResultError:  # a damaged older result is of no use here; `verify` is what reports it
        return None
    if name not in stages or stages[name]["key"] != key:
        return None
    made = {file: facts for file, facts in files.items() if facts.get("stage") == name}
    return {
        **stages[name],
        "files": {f: {"size": facts["size"], "sha256": facts["sha256"]} for f, facts in made.items()},
    }


def _as_described(folder: Path, files: dict[str, Any]) -> bool:
    return all((folder / name).is_file() and describe(folder, name) == facts for name, facts in files.items())


def _key_of(aside: Path) -> str | None:
    path = aside / ".key"
    return str(read_json(path)["key"]) if path.is_file() else None


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)


def _replace(source: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    if target.is_file() and target.samefile(source):  # renaming a file onto a hard link of itself does nothing
        source.unlink()
    else:
        source.replace(target)


def _unlink(folder: Path, names: Iterable[str]) -> None:
    """Delete files below `folder`, and the folders that this leaves empty."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
        for parent in (folder / name).parents:
            if parent == folder or not parent.is_dir() or any(parent.iterdir()):
                break
            parent.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _refuse_foreign(folder: Path) -> None:
    entries = {entry.name for entry in folder.iterdir()}
    if entries - _OWN and MANIFEST not in entries and not entries & {_PARTIAL, _READY}:
        raise ResultError(
            "this folder holds something else",
            where=folder,
            expected="an empty or new folder, or an earlier result of histoscribe",
            found=listing(sorted(entries)),
            mend="give another folder with --out",
        )


def _tidy(folder: Path) -> None:
    draft = folder / _PARTIAL
    if draft.is_dir() and not any(draft.iterdir()):
        draft.rmdir()
