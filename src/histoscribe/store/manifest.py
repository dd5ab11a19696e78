"""The manifest: every file of a result with its size and sha256, and the number of chunks of every array.

A manifest may come from an attacker, and its own hash proves only that it is undamaged. So what it names is checked
before anything else is done with it: plain relative paths of files, below the result's folder.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from histoscribe.errors import ResultError, listing
from histoscribe.store.files import (
    canonical,
    files_below,
    fingerprint,
    is_plain_file,
    read_json,
    sha256_file,
    write_bytes,
)

MANIFEST = "manifest.json"
RECORD = "run.json"
VERSION = 1
# names in a result's folder that are never part of the result: a draft, a draft on its way into place, the writer's
# lock, and what was moved aside because it was in the way
PARTIAL, READY, LOCK, KEPT = ".partial", ".ready", ".lock", "kept-"
# the record of a draft's stages, in .partial and, until it is put in place, in .ready
STAGES = "stages.json"

_MOST_BYTES, _MOST_SIGNS = 255, 2000  # of a name, and of a path, that any disk takes

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is not as the manifest says: the file, and what is wrong with it."""

    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What reading a result back has shown.

    Parameters
    ----------
    n_files, n_bytes
        How much the manifest lists.
    damages
        All that differs from it; empty where the result is whole.
    strangers
        Files that lie in the folder and are not of the result, hidden ones too; a folder of working files or of files
        that were moved aside is named once.
    unfinished
        Whether the last step of putting the result in place was cut short; the command that made it ends it.
    """

    n_files: int
    n_bytes: int
    damages: tuple[Damage, ...]
    strangers: tuple[str, ...] = ()
    unfinished: bool = False

    @property
    def ok(self) -> bool:
        """Whether every byte is as it was written."""
        return not self.damages


def describe(folder: Path, name: str) -> dict[str, Any]:
    """Size and sha256 of the file `name` in `folder`."""
    path = folder / name
    return {"size": path.stat().st_size, "sha256": sha256_file(path)}


def chunk_counts(names: list[str]) -> dict[str, int]:
    """Count the chunk files of every zarr v3 array among the relative paths `names`."""
    arrays = {name.removesuffix("/zarr.json") for name in names if name.endswith("/zarr.json")}
    counts: dict[str, int] = {}
    for name in names:
        array, mark, _ = name.partition("/c/")
        if mark and array in arrays:
            counts[array] = counts.get(array, 0) + 1
    return dict(sorted(counts.items()))


def write_manifest(folder: Path, files: dict[str, dict[str, Any]], name: str = MANIFEST) -> dict[str, Any]:
    """Write the manifest `name` in `folder` for `files` (relative path to size and sha256) and return it.

    `content_sha256` covers all but the run's record, which differs between two runs of the same work: equal
    content, equal digest. `manifest_sha256` covers the manifest itself.
    """
    content = {name: facts["sha256"] for name, facts in files.items() if name != RECORD}
    manifest = {
        "version": VERSION,
        "files": files,
        "chunks": chunk_counts(sorted(files)),
        "content_sha256": fingerprint(content),
    }
    manifest["manifest_sha256"] = fingerprint(manifest)
    write_bytes(folder / name, canonical(manifest))
    return manifest


def read_manifest(folder: Path, name: str = MANIFEST) -> dict[str, Any]:
    """Read the manifest of a complete result, or another one that was written with it.

    Raises
    ------
    ResultError
        Where there is none, or it is not to the byte as it was written.
    """
    path = folder / name
    if not is_plain_file(folder, name):
        if below := sorted(one.parent.name for one in folder.glob(f"[!.]*/{MANIFEST}")):
            raise ResultError(
                "this folder holds results of several sections and is none itself",
                where=folder,
                found=listing(below),
                fix=f"name one of them: {folder / below[0]}",
            )
        raise ResultError(
            "this is not a complete histoscribe result",
            where=folder,
            expected=f"a folder with {name}",
            found="no such folder" if not folder.is_dir() else "a link" if path.is_symlink() else "no manifest",
            fix="run the command that writes this result again; what was finished is not done twice",
        )
    manifest = read_json(path)
    require_whole(manifest, path)
    if name == MANIFEST and RECORD not in manifest["files"]:
        raise ResultError(f"this manifest was not written by histoscribe: it lists no {RECORD}", where=path)
    return dict(manifest)


def require_whole(manifest: Any, path: Path) -> None:
    """Refuse a manifest that is not to the byte as it was written, or that names what no result can hold.

    Raises
    ------
    ResultError
        Not a manifest of histoscribe; a damaged one; one of another version; one that names other places.
    """
    if not isinstance(manifest, dict) or "manifest_sha256" not in manifest:
        raise ResultError(
            "this manifest is not of histoscribe",
            where=path,
            expected="a manifest that histoscribe wrote",
            found=listing(manifest) if isinstance(manifest, dict) else type(manifest).__name__,
            fix="name a result of histoscribe; to write one, give another folder with --out",
        )
    if not _is_as_written(manifest, path):
        raise ResultError(
            "the manifest itself is damaged",
            where=path,
            fix="restore it from a copy, or run the command again into another folder and compare",
        )
    if manifest.get("version") != VERSION:
        raise ResultError(
            "this result was written by another version", where=path, expected=VERSION, found=manifest.get("version")
        )
    if problem := _content_problem(manifest):
        raise ResultError(
            f"this manifest was not written by histoscribe: {problem}",
            where=path,
            expected="plain names of files below the result's folder, each with its size and sha256",
            fix="do not trust this folder; ask for it again where it came from",
        )


def _is_as_written(manifest: dict[str, Any], path: Path) -> bool:
    body = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    try:
        return canonical(manifest) == path.read_bytes() and fingerprint(body) == manifest["manifest_sha256"]
    except (ValueError, RecursionError):  # what JSON can hold and histoscribe never writes: NaN, half a character
        return False


def _content_problem(manifest: dict[str, Any]) -> str | None:
    """Say what a whole manifest holds that none of ours can, or return None."""
    files, chunks = manifest.get("files"), manifest.get("chunks")
    if problem := files_problem(files):
        return problem
    if not isinstance(chunks, dict) or not all(type(count) is int for count in chunks.values()):
        return "its numbers of chunks are no numbers"
    content = {name: facts["sha256"] for name, facts in dict(files or {}).items() if name != RECORD}
    return None if manifest.get("content_sha256") == fingerprint(content) else "its content_sha256 is of other files"


def files_problem(files: Any) -> str | None:
    """Say what is wrong with a list of a result's files (path to size and sha256), or return None."""
    if not isinstance(files, dict):
        return f"its files are a {type(files).__name__}"
    for name, facts in files.items():
        if not is_plain_name(name):
            return f"it names {name!r}"
        parents = PurePosixPath(name).parents
        if any(parent.as_posix() in files for parent in parents):
            return f"it names {name!r} below a file"
        if not isinstance(facts, dict) or type(facts.get("size")) is not int or facts["size"] < 0:
            return f"it states no size of {name!r}"
        if not _SHA256.fullmatch(str(facts.get("sha256"))):
            return f"it states no sha256 of {name!r}"
    return None


def is_plain_name(name: str) -> bool:
    """Whether `name` is the relative path of a file that can be of a result, and of nothing outside its folder."""
    first, *rest = name.split("/")
    parts = [first, *rest]
    return (
        all(part not in ("", ".", "..") and len(part.encode(errors="replace")) <= _MOST_BYTES for part in parts)
        and len(name) <= _MOST_SIGNS
        and not re.match(r"[A-Za-z]:", name)  # a drive of Windows
        and not any(sign in name for sign in ("\\", "\0"))
        and first not in (PARTIAL, READY, LOCK, MANIFEST)
        and not first.startswith(KEPT)
    )


def verify_folder(
    folder: Path, *, name: str = MANIFEST, moving: Path | None = None, only: tuple[str, ...] = ()
) -> Verification:
    """Re-read every byte of a result against its manifest; writes nothing.

    Parameters
    ----------
    name
        The manifest's. Beside another than the result's own everything else in the folder is no stranger.
    moving
        The folder from which the result was being put in place when that was cut short: its manifest counts, and each
        file is read there or, where it had been moved, in `folder`.
    only
        Files and folders of the result to read; all where empty.

    Raises
    ------
    ResultError
        Where there is no manifest to compare with, or it is itself damaged.
    """
    manifest = read_manifest(moving or folder, name)
    listed: dict[str, dict[str, Any]] = manifest["files"]
    files = {file: facts for file, facts in listed.items() if not only or _is_below(file, only)}
    there = {file: moving if moving and is_plain_file(moving, file) else folder for file in files}
    damages = [damage for file, facts in files.items() if (damage := _compare(there[file], file, facts))]
    found_counts = chunk_counts([file for file in files if is_plain_file(there[file], file)])
    for array, count in manifest["chunks"].items():
        if (not only or _is_below(array, only)) and found_counts.get(array, 0) != count:
            damages.append(Damage(array, f"{found_counts.get(array, 0)} of {count} chunks are there"))
    known = {*listed, MANIFEST}
    present = files_below(folder) if name == MANIFEST else []
    strangers = dict.fromkeys(_once(other) for other in present if other not in known)
    if moving:  # it holds parts of the result
        strangers.pop(f"{moving.name}/", None)
    n_bytes = sum(facts["size"] for facts in files.values())
    return Verification(len(files), n_bytes, tuple(damages), tuple(strangers), unfinished=moving is not None)


def _is_below(name: str, tops: tuple[str, ...]) -> bool:
    return any(name == top or name.startswith(f"{top}/") for top in tops)


def _once(name: str) -> str:
    """Name of a stranger: all below a folder of our own working files goes under the folder's name."""
    first, sign, _ = name.partition("/")
    return f"{first}/" if sign and (first in (PARTIAL, READY) or first.startswith(KEPT)) else name


def is_as_listed(folder: Path, name: str, facts: dict[str, Any]) -> bool:
    """Whether `name` is a file of `folder` itself, reached through no link, with the listed size and sha256."""
    return _compare(folder, name, facts) is None


def _compare(folder: Path, name: str, facts: dict[str, Any]) -> Damage | None:
    path = folder / name
    if not is_plain_file(folder, name):
        return Damage(name, "not a plain file" if path.exists() or path.is_symlink() else "missing")
    size = path.stat().st_size
    if size != facts["size"]:
        return Damage(name, f"{size:,} bytes instead of {facts['size']:,}")
    if sha256_file(path) != facts["sha256"]:
        return Damage(name, "its bytes have changed")
    return None
