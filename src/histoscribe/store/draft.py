"""A result while it is built: its stages, each committed whole, and what is known of them.

    .partial/    finished stages, their record `stages.json`, and one `.stage-NAME` that is being written

Nothing that was complete is opened for writing: a stage with an unchanged key is taken over from the older result by
hard links.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from histoscribe.errors import ResultError
from histoscribe.store.files import (
    files_below,
    fingerprint,
    flush_folder,
    flush_tree,
    is_plain_file,
    read_json,
    remove_half_written,
    write_json,
)
from histoscribe.store.manifest import (
    MANIFEST,
    PARTIAL,
    READY,
    RECORD,
    STAGES,
    describe,
    files_problem,
    is_as_listed,
    read_manifest,
    write_manifest,
)
from histoscribe.store.publish import put_in_place, remove_empty_folders

_STAGE_VERSION = 3

Work = Callable[[Path], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class StageDone:
    """A finished stage.

    Parameters
    ----------
    folder
        Where its files lie now: the draft's folder.
    facts
        What the stage reported, JSON-able.
    reused
        Whether it had been done before with the same key.
    """

    folder: Path
    facts: dict[str, Any]
    reused: bool

    def count(self, name: str) -> int:
        """Return a fact that is a number of things; raises ResultError where a taken over record has none."""
        value = self.facts.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ResultError(
                f"the record does not say how many {name} there are",
                where=self.folder.parent / RECORD,
                found=value,
                fix="make the result anew in another folder with --out",
            )
        return value


class Draft:
    """A result being built; made by `writing_result`.

    Attributes
    ----------
    older
        Finished stages of the result that is there already, by name; none where its record is damaged.
    listed
        Names of all stages of that result, as its manifest lists their files.
    set_aside
        Names of stages of that result that belong no longer to it: their files are moved aside, and not deleted.
    """

    def __init__(self, result: Path) -> None:
        self.result = result
        self.folder = result / PARTIAL
        self.stages = _stages_of(result)
        self.older = _published_stages(result)
        self.listed = _listed_stages(result)
        self.asked: set[str] = set()  # stages of this run; an interrupted one may have left others
        self.set_aside: set[str] = set()
        self.published = False
        self.folder.mkdir(exist_ok=True)
        self._write_stages()

    def stage(
        self, name: str, key: str, work: Work, *, made_of: Mapping[str, Any] | None = None, resumable: bool = False
    ) -> StageDone:
        """Do a stage, or take it over where it was done with the same key.

        Parameters
        ----------
        key
            Fingerprint of all that the stage's files depend on.
        work
            Writes the stage's files into the folder it is given and returns facts about them.
        made_of
            What the record says of the stage beside its key: plain values.
        resumable
            Whether `work` can go on with what an interrupted call with the same key left in that folder.
        """
        self.asked.add(name)
        if self._is_done(name, key) or self._take_over(name, key):
            return StageDone(self.folder, self.stages[name]["facts"], reused=True)
        made_of = dict(made_of or {})
        self._forget(name)
        aside = self.folder / f".stage-{name}"
        if aside.exists() and not (resumable and _key_of(aside) == key):
            shutil.rmtree(aside)
        with ExitStack() as undo:
            if not resumable:
                undo.callback(_remove_folder, aside)
            aside.mkdir(exist_ok=True)
            remove_half_written(aside)
            write_json(aside / ".key", {"key": key})
            facts = work(aside)
            undo.pop_all()
        (aside / ".key").unlink()
        flush_tree(aside)
        files = {file: describe(aside, file) for file in files_below(aside)}
        for entry in sorted(aside.iterdir()):
            _move(entry, self.folder / entry.name)
        aside.rmdir()
        flush_folder(self.folder)
        self._record(name, {"key": key, "made_of": made_of, "facts": facts, "files": files})
        return StageDone(self.folder, facts, reused=False)

    def can_keep(self, name: str) -> bool:
        """Whether a stage of the older result is there, and whole."""
        return name in self.older and _as_listed(self.result, self.older[name]["files"])

    def keep(self, name: str) -> None:
        """Take a stage of the older result over as it is; see `can_keep`."""
        key = self.older[name]["key"]
        if self._is_done(name, key) or self._take_over(name, key):
            self.asked.add(name)

    def publish(self, record: dict[str, Any]) -> dict[str, Any]:
        """Write the run's record and the manifest, and put the draft in the place of any older result.

        Returns
        -------
        The manifest.
        """
        for name in self.stages.keys() - self.asked:
            self._forget(name)
        wanted = {
            file: {**facts, "stage": name}
            for name, stage in self.stages.items()
            for file, facts in stage["files"].items()
        }
        # left by whatever was interrupted
        _unlink(self.folder, [name for name in files_below(self.folder) if name not in wanted and name != STAGES])
        stages = {
            name: {**stage["made_of"], "key": stage["key"], "facts": stage["facts"], "files": len(stage["files"])}
            for name, stage in self.stages.items()
        }
        write_json(self.folder / RECORD, {**record, "stages": stages})
        wanted[RECORD] = describe(self.folder, RECORD)
        self._write_stages()  # the moves read in it what is to be set aside
        manifest = write_manifest(self.folder, dict(sorted(wanted.items())))
        self.folder.replace(self.result / READY)
        flush_folder(self.result)
        put_in_place(self.result)
        self.published = True
        return manifest

    def close(self) -> None:
        """Leave no trace of a draft in which no stage was begun."""
        if self.folder.is_dir() and not self.stages and files_below(self.folder) == [STAGES]:
            shutil.rmtree(self.folder)

    def _is_done(self, name: str, key: str) -> bool:
        stage = self.stages.get(name)
        return stage is not None and stage["key"] == key and _as_listed(self.folder, stage["files"])

    def _take_over(self, name: str, key: str) -> bool:
        older = self.older.get(name)
        if older is None or older["key"] != key or not _as_listed(self.result, older["files"]):
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
        self._write_stages()

    def _write_stages(self) -> None:
        record = {"version": _STAGE_VERSION, "stages": self.stages, "sha256": fingerprint(self.stages)}
        write_json(self.folder / STAGES, record | {"set_aside": sorted(self.set_aside)})


def _listed_stages(result: Path) -> set[str]:
    files = read_manifest(result)["files"] if (result / MANIFEST).is_file() else {}
    return {str(facts["stage"]) for facts in files.values() if facts.get("stage")}


def _published_stages(result: Path) -> dict[str, dict[str, Any]]:
    """Stages of the result that is there, as a draft has them; none of a result that is damaged."""
    if not (result / MANIFEST).is_file():
        return {}
    try:
        files = read_manifest(result)["files"]
        record = read_json(result / RECORD) if is_as_listed(result, RECORD, files[RECORD]) else None
    except ResultError:  # a damaged older result is of no use here; `verify` is what reports it
        return {}
    stages = record.get("stages") if isinstance(record, dict) else None
    found = {}
    for name, stage in (stages if isinstance(stages, dict) else {}).items():
        made = {file: facts for file, facts in files.items() if facts.get("stage") == name}
        if not isinstance(stage, dict) or stage.get("files") != len(made):  # a record that another manifest belongs to
            continue
        rest = {key: value for key, value in stage.items() if key not in ("key", "facts", "files")}
        files_of = {file: {"size": facts["size"], "sha256": facts["sha256"]} for file, facts in made.items()}
        whole = {"key": stage.get("key"), "facts": stage.get("facts"), "made_of": rest, "files": files_of}
        if _is_stage(whole):
            found[name] = whole
    return found


def _as_listed(folder: Path, files: dict[str, Any]) -> bool:
    return all(is_as_listed(folder, name, facts) for name, facts in files.items())


def _is_stage(stage: Any) -> bool:
    kinds = {"key": str, "facts": dict, "made_of": dict}
    return isinstance(stage, dict) and all(isinstance(stage.get(name), kind) for name, kind in kinds.items())


def _stages_of(result: Path) -> dict[str, dict[str, Any]]:
    """Finished stages of the draft in a result's folder; none where there is no draft.

    Raises
    ------
    ResultError
        Where what lies there is no draft of histoscribe: its record is not whole, names other places, or there is a
        link in it, which no draft of ours has.
    """
    folder = result / PARTIAL
    if not folder.is_symlink() and not folder.exists():
        return {}
    if folder.is_dir() and not folder.is_symlink():
        there = files_below(folder)
        if set(there) <= {f".{STAGES}.new"}:  # killed before the draft was begun
            return {}
        if all(is_plain_file(folder, name) for name in there) and is_plain_file(folder, STAGES):
            stages = _checked_stages(read_json(folder / STAGES))
            if stages is not None:
                return stages
    raise ResultError(
        f"{PARTIAL} in this folder was not left by histoscribe, or is damaged",
        where=result,
        fix=f"give another folder with --out, or delete {PARTIAL} if nobody needs it",
    )


def _checked_stages(record: Any) -> dict[str, dict[str, Any]] | None:
    stages = record.get("stages") if isinstance(record, dict) else None
    if not isinstance(stages, dict) or record.get("version") != _STAGE_VERSION:
        return None
    if record.get("sha256") != fingerprint(stages) or not all(_is_stage(stage) for stage in stages.values()):
        return None
    return stages if not any(files_problem(stage.get("files")) for stage in stages.values()) else None


def _key_of(aside: Path) -> str | None:
    path = aside / ".key"
    record = read_json(path) if path.is_file() else None
    return record.get("key") if isinstance(record, dict) else None


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)


def _move(source: Path, target: Path) -> None:
    """Rename within the draft, over what an interrupted call of the same stage had moved there."""
    if target.is_dir():
        shutil.rmtree(target)
    source.replace(target)


def _remove_folder(folder: Path) -> None:
    """Delete a folder into which a thread of a library may still write for a moment after it has failed."""
    for _ in range(40):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)


def _unlink(folder: Path, names: Iterable[str]) -> None:
    """Delete files below `folder`, and the folders that this leaves empty."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
        remove_empty_folders(folder, name)
