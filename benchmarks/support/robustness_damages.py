"""Damages to finished results of every command: `verify` must find each, and readers of models and maps refuse them."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from support.robustness_child import UnusableJobError, ends, made_by
from support.robustness_results import COMMANDS, MANIFEST, finished

KINDS = (
    "flip",
    "delete",
    "truncate",
    "append",
    "swap",
    "empty",
    "folder",
    "link to nowhere",
    "link to another",
    "link to a copy",
)


@dataclass(frozen=True, slots=True)
class Damaged:
    """One damage: to which result, what, whether `verify` found it, and whether the result's reader refused it.

    `refused` is None where nothing but `verify` reads the damaged file.
    """

    command: str
    damage: str
    found: bool
    refused: bool | None
    detail: str


def damages(work: Path, share: float, commands: Sequence[str] = ()) -> Iterator[Damaged]:
    """Damage the results of the seven commands, or of those that are named, about 1,000 times in all."""
    chosen = commands or COMMANDS
    for command in chosen:
        yield from command_damages(work, command, max(1, round(1000 * share / len(chosen))))


def command_damages(work: Path, command: str, count: int) -> Iterator[Damaged]:
    """Damage the result of one command `count` times."""
    whole, hurt = Path(made_by(lambda: str(finished(work, command)))), work / "hurt" / command
    shutil.rmtree(hurt, ignore_errors=True)
    shutil.copytree(whole, hurt)
    jobs = [_job(command, whole, hurt, Random(f"{command}/{number}")) for number in range(count)]
    for end in ends(jobs, seconds=60.0):
        if end.kind == "unusable":
            raise UnusableJobError(end.detail)
        if end.kind != "value":  # a damage that ends verify was not found
            yield Damaged(command, "?", found=False, refused=None, detail=f"{end.kind}: {end.detail}")
            continue
        yield Damaged(command, **end.value)
    shutil.rmtree(hurt)


def _job(command: str, whole: Path, hurt: Path, rng: Random) -> Callable[[], dict[str, Any]]:
    def job() -> dict[str, Any]:
        from histoscribe.errors import HistoscribeError
        from histoscribe.store.result import verify_result

        try:
            done, touched = _damage(hurt, rng)
        except Exception as error:
            raise UnusableJobError(str(hurt)) from error
        detail = ""
        try:
            found = not verify_result(hurt).ok
        except HistoscribeError as error:
            found = type(error).__name__ == "ResultError"
        refused = None
        read, parts = _readers().get(command, (None, ()))
        if read is not None and any(name.startswith(parts) for name in touched):
            try:
                read(hurt)
                refused = False
            except HistoscribeError:
                refused = True
            except Exception as error:  # noqa: BLE001  # a traceback is no refusal
                refused, detail = False, repr(error)[:200]
        for name in touched:
            _restore(whole / name, hurt / name)
        return {"damage": done, "found": found, "refused": refused, "detail": detail}

    return job


def _readers() -> dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]]:
    """Give what reads a result of a command, and how the names of the files that it reads begin."""
    from histoscribe.maps.read import read_maps
    from histoscribe.run.cohort.model import read_model

    return {"fit": (read_model, ("",)), "map": (read_maps, (MANIFEST, "maps/", "cells/"))}


def _damage(result: Path, rng: Random) -> tuple[str, list[str]]:
    """Do one damage; says which, and which files it touched."""
    names = sorted(path.relative_to(result).as_posix() for path in result.rglob("*") if path.is_file())
    name, kind = rng.choice([name for name in names if (result / name).stat().st_size]), rng.choice(KINDS)
    path, touched = result / name, [name]
    data = path.read_bytes()
    path.unlink()  # never written through a hard link
    if kind == "flip":
        changed = bytearray(data)
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
    elif kind == "truncate":
        path.write_bytes(data[: rng.randrange(len(data))])
    elif kind == "append":
        path.write_bytes(data + rng.choice((b"\0", b"\n", b" ", rng.randbytes(100))))
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "folder":
        path.mkdir()
    elif kind == "swap":
        other = rng.choice([one for one in names if one != name and (result / one).read_bytes() != data])
        path.write_bytes((result / other).read_bytes())
        (result / other).unlink()
        (result / other).write_bytes(data)
        touched.append(other)
    elif kind.startswith("link"):
        copy = result.with_name("copy")
        copy.write_bytes(data)
        path.symlink_to({"nowhere": result / "nowhere", "another": rng.choice(names), "a copy": copy}[kind[8:]])
    return f"{kind}: {name}", touched


def _restore(whole: Path, hurt: Path) -> None:
    if hurt.is_dir() and not hurt.is_symlink():
        hurt.rmdir()
    else:
        hurt.unlink(missing_ok=True)
    shutil.copy2(whole, hurt)
