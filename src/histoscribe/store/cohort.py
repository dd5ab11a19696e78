"""The folder of a cohort: one result folder per section, and a few files of its own, listed in `cohort.json`.

cohort/
  A/, B/, ...      results of the sections
  cohort.json      the files that lie beside them, with size and sha256
  summary.html, summary.csv, ...
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from histoscribe.errors import ResultError, listing
from histoscribe.store.files import read_json, write_bytes, writing_to
from histoscribe.store.manifest import (
    MANIFEST,
    RECORD,
    Verification,
    describe,
    is_as_listed,
    is_plain_name,
    require_whole,
    verify_folder,
    write_manifest,
)
from histoscribe.store.publish import Aside

COHORT = "cohort.json"


def open_cohort(folder: Path, sections: Iterable[str], *, files: Iterable[str]) -> None:
    """Make the folder of a cohort where it is absent, and refuse before any work what could not be written in it.

    Parameters
    ----------
    sections
        Names of the sections, of which each gets a folder.
    files
        Names of the files that will lie beside these folders.

    Raises
    ------
    ResultError
        The folder is a link or the result of a single section, or a section bears the name of a file beside it.
    """
    if folder.is_symlink() or (folder / MANIFEST).exists():
        raise ResultError(
            "this is a link" if folder.is_symlink() else "this folder holds the result of a single section",
            where=folder,
            expected="an empty or new folder for several sections",
            fix="give another folder with --out",
        )
    taken = {name.lower() for name in (*files, COHORT, MANIFEST, RECORD)}  # on many disks A and a are one name
    clash = sorted(name for name in sections if name.lower() in taken or "/" in name or not is_plain_name(name))
    if clash:
        raise ResultError(
            "a section's folder cannot have this name: it is a file's that is written beside it, or no name",
            where=folder,
            found=listing(clash),
            fix="give the section another name in the sample sheet",
        )
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)


def write_cohort_files(folder: Path, files: Mapping[str, bytes], *, outdated: Iterable[str] = ()) -> None:
    """Write files into a cohort's folder; a file of that name that is not an earlier one of ours is moved aside.

    Earlier files of ours that have other names stay, and stay listed: another command made them.

    Parameters
    ----------
    outdated
        Names of earlier files that this command would have written anew and has no use for: they are deleted.
    """
    listed, aside = _listed(folder), Aside(folder)
    older = {name: facts for name, facts in listed.items() if is_as_listed(folder, name, facts)}
    with writing_to(folder):
        for name, data in files.items():
            path = folder / name
            if name not in older and (path.is_symlink() or path.exists()):
                aside.take(name)
            write_bytes(path, data)
        for name in older.keys() & set(outdated):
            (folder / name).unlink()
        kept = older.keys() - set(outdated) | files.keys()
        if not listed and ((folder / COHORT).is_symlink() or (folder / COHORT).exists()):
            aside.take(COHORT)
        write_manifest(folder, {name: describe(folder, name) for name in sorted(kept)}, COHORT)
    aside.report()


def write_beside(path: Path, data: bytes) -> None:
    """Write a file where a user asked for it; another file of that name is moved into `kept-DATE` and named."""
    aside = Aside(path.parent)
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or (path.exists() and not (path.is_file() and path.read_bytes() == data)):
            aside.take(path.name)
        write_bytes(path, data)
    aside.report()


def verify_cohort(folder: Path) -> Verification:
    """Re-read the files of a cohort's own against `cohort.json`; writes nothing."""
    return verify_folder(folder, name=COHORT)


def _listed(folder: Path) -> dict[str, dict[str, object]]:
    """Files that an earlier run wrote there; none where there is no list of ours."""
    path = folder / COHORT
    if not path.is_file() or path.is_symlink():
        return {}
    try:
        manifest = read_json(path)
        require_whole(manifest, path)
    except ResultError:  # somebody else's, or damaged: then no file is known to be ours
        return {}
    files: dict[str, dict[str, object]] = manifest["files"]
    return files
