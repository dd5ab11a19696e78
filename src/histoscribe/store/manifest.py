"""The manifest: every file of a result with its size and sha256, and the number of chunks of every array."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from histoscribe.errors import ResultError, listing
from histoscribe.store.files import canonical, files_below, fingerprint, read_json, sha256_file, write_bytes

MANIFEST = "manifest.json"
RECORD = "run.json"
VERSION = 1


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
        Files that lie in the folder and are not of the result.
    """

    n_files: int
    n_bytes: int
    damages: tuple[Damage, ...]
    strangers: tuple[str, ...] = ()

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


def write_manifest(folder: Path, files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Write `folder`/manifest.json for `files` (relative path to size and sha256) and return it.

    `content_sha256` covers all but the run's record, whose times differ between two runs of the same work: equal
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
    write_bytes(folder / MANIFEST, canonical(manifest))
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a complete result.

    Raises
    ------
    ResultError
        Where there is none, or it is not to the byte as it was written.
    """
    path = folder / MANIFEST
    if not path.is_file():
        if below := sorted(one.parent.name for one in folder.glob(f"[!.]*/{MANIFEST}")):
            raise ResultError(
                "this folder holds results of several sections and is none itself",
                where=folder,
                found=listing(below),
                mend=f"name one of them: {folder / below[0]}",
            )
        raise ResultError(
            "this is not a complete histoscribe result",
            where=folder,
            expected=f"a folder with {MANIFEST}",
            found="no such folder" if not folder.is_dir() else "no manifest",
            mend="run the command that writes this result again; what was finished is not done twice",
        )
    manifest: dict[str, Any] = read_json(path)
    body = (
        {key: value for key, value in manifest.items() if key != "manifest_sha256"}
        if isinstance(manifest, dict)
        else {}
    )
    if canonical(manifest) != path.read_bytes() or fingerprint(body) != manifest.get("manifest_sha256"):
        raise ResultError(
            "the manifest itself is damaged",
            where=path,
            mend="restore it from a copy, or run the command again into another folder and compare",
        )
    return manifest


def verify_folder(folder: Path) -> Verification:
    """Re-read every byte of a result against its manifest.

    Raises
    ------
    ResultError
        Where there is no manifest to compare with, or it is itself damaged.
    """
    manifest = read_manifest(folder)
    files: dict[str, dict[str, Any]] = manifest["files"]
    present = [name for name in files_below(folder) if name != MANIFEST]
    damages = [damage for name, facts in files.items() if (damage := _compare(folder, name, facts))]
    found_counts = chunk_counts([name for name in present if name in files])
    for array, count in manifest["chunks"].items():
        if found_counts.get(array, 0) != count:
            damages.append(Damage(array, f"{found_counts.get(array, 0)} of {count} chunks are there"))
    strangers = tuple(name for name in present if name not in files and not name.startswith("."))
    n_bytes = sum(int(facts["size"]) for facts in files.values())
    return Verification(len(files), n_bytes, tuple(damages), strangers)


def _compare(folder: Path, name: str, facts: dict[str, Any]) -> Damage | None:
    path = folder / name
    if not path.is_file():
        return Damage(name, "missing")
    size = path.stat().st_size
    if size != facts["size"]:
        return Damage(name, f"{size:,} bytes instead of {facts['size']:,}")
    if sha256_file(path) != facts["sha256"]:
        return Damage(name, "its bytes have changed")
    return None
