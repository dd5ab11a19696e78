"""The result folder: built out of sight, stage by stage, and published whole.

    result/
      .partial/    the draft, see `store.draft`
      .ready/      a complete draft on its way into place; the rename .partial -> .ready is the moment of commitment
      .lock        held by the one process that writes
      kept-DATE/   what was in the way of a result and not of it, see `store.publish`
      manifest.json, run.json, and what the stages made

A folder is ours only where our manifest, or our draft's record, says so with a valid hash. A process may be killed at
any moment. Before the commitment an older result is untouched; after it, the next writer ends the moves, which are
renames and can be repeated. Whoever only reads writes nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from histoscribe.errors import ResultError, listing
from histoscribe.store.draft import Draft
from histoscribe.store.files import is_plain_file, read_json, real_path, writing_to
from histoscribe.store.manifest import (
    LOCK,
    MANIFEST,
    PARTIAL,
    READY,
    RECORD,
    Verification,
    read_manifest,
    verify_folder,
)
from histoscribe.store.publish import end_publication, is_pending


@contextmanager
def writing_result(folder: Path) -> Iterator[Draft]:
    """Open `folder` to write a result into it; made where absent.

    Raises
    ------
    ResultError
        Where another process writes there, the folder holds something else, it is removed meanwhile, or the disk is
        full or read-only.
    """
    folder = folder.absolute()
    made = not folder.exists()
    with writing_to(folder):
        require_ours(folder)
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise ResultError(
                "another run is writing this result",
                where=folder,
                fix="wait for it to end, or give another folder with --out",
            ) from error
        try:
            end_publication(folder)
            with _open_draft(folder) as draft:
                yield draft
        finally:
            # unlinked while it is held: whoever has opened it meanwhile sees that the file is gone and opens a new one
            (folder / LOCK).unlink(missing_ok=True)
            lock.release()
            if made and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def require_ours(folder: Path) -> None:
    """Refuse to write a result into a folder that holds anything else; writes nothing itself.

    Raises
    ------
    ResultError
        A link, a file, or a folder with files that no manifest and no draft of histoscribe speaks for.
    """
    if folder.is_symlink():
        raise ResultError(
            "this is a link, and a result is written into a folder itself",
            where=folder,
            found=f"a link to {folder.readlink()}",
            fix="give the folder that it leads to, with --out",
        )
    if not folder.is_dir():
        return
    entries = {entry.name for entry in folder.iterdir()}
    lock = folder / LOCK
    # a lock is opened for writing, so it has to be one: an empty file, and no link to somewhere else
    fits = LOCK not in entries or (is_plain_file(folder, LOCK) and lock.stat().st_size == 0)
    if MANIFEST in entries and fits:
        read_manifest(folder)
    elif not fits or (entries - {PARTIAL, READY, LOCK} and not _is_begun(folder)):
        raise ResultError(
            "this folder holds something else",
            where=folder,
            expected="an empty or new folder, or an earlier result of histoscribe",
            found=listing(sorted(entries)),
            fix="give another folder with --out",
        )


def read_result(result: Path) -> Path:
    """Absolute path of a complete result with a whole manifest; writes nothing.

    Raises
    ------
    ResultError
        Where there is no complete result.
    """
    result = result.absolute()
    if is_pending(result):
        raise ResultError(
            "the last step of putting this result in place was cut short",
            where=result,
            fix="run the command that writes it once more: only this step is left",
        )
    read_manifest(result)
    return result


def verify_result(result: Path) -> Verification:
    """Re-read every byte of the result in `result` against its manifest; writes nothing.

    Raises
    ------
    ResultError
        Where there is no complete result, or its manifest is damaged.
    """
    result = result.absolute()
    return verify_folder(result, moving=result / READY if is_pending(result) else None)


def require_undamaged(result: Path, what: str, *, names: tuple[str, ...] = ()) -> Path:
    """Absolute path of a complete result of which every file, or every file below `names`, is as it was written.

    Parameters
    ----------
    what
        What it is called in the message: "the model".
    names
        Folders and files of the result that are to be read; all where empty.

    Raises
    ------
    ResultError
        Where there is no complete result, or a file is damaged.
    """
    folder = read_result(result)
    listed = read_manifest(folder)["files"]
    missing = [name for name in names if not any(file == name or file.startswith(f"{name}/") for file in listed)]
    if missing:
        raise ResultError(
            f"this is a result without {listing(missing)}",
            where=folder,
            fix="name a result of the command that makes it",
        )
    damages = verify_folder(folder, only=names).damages
    if damages:
        raise ResultError(
            f"{what} is damaged",
            where=folder / damages[0].path,
            found=damages[0].problem,
            fix="copy it again, or make it again with the command that wrote it",
        )
    return folder


def require_apart(out: Path, source: Path, what: str) -> None:
    """Refuse to write into the very folder that is read from; raises ResultError.

    Parameters
    ----------
    what
        What lies there, for the message.
    """
    if real_path(out) == real_path(source):
        raise ResultError(f"this folder holds {what}", where=out, fix="give another folder with --out")


def read_record(result: Path) -> dict[str, Any]:
    """Read the `run.json` of a complete result."""
    record: dict[str, Any] = read_json(require_undamaged(result, "the result", names=(RECORD,)) / RECORD)
    return record


def _is_begun(folder: Path) -> bool:
    """Whether the folder holds a draft or an unfinished publication, which are looked at closely under the lock."""
    return any((folder / name).is_dir() and not (folder / name).is_symlink() for name in (PARTIAL, READY))


@contextmanager
def _open_draft(folder: Path) -> Iterator[Draft]:
    """Give the draft, and say so where somebody removes the folder while it is written."""
    draft = Draft(folder)
    try:
        yield draft
    except FileNotFoundError as error:
        if draft.published or draft.folder.is_dir():
            raise
        raise ResultError(
            "this folder, or the draft in it, was removed or renamed while the result was written",
            where=folder,
            found=str(error),
            fix="leave the folder in place and run the same command again",
        ) from error
    finally:
        draft.close()
