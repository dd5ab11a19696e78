"""Every public call on every hostile folder: what it changed of a user's files, by a hash of all before and after.

Reading calls may change nothing at all. Writing calls may change nothing outside the result's folder, and no byte of a
user's file in it may be lost: it lies where it was, or was moved aside. What is refused is refused before any work.
"""

import os
import shutil
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.robustness_child import End, UnusableJobError, ends, made_by
from support.robustness_results import Commands, finished
from support.robustness_variants import Home, Variant, attacks, furnish
from support.robustness_variants_forged import forged_results
from support.robustness_variants_user import older_results, users_folders

WORKING = (".partial", ".ready", ".lock")
# names that a section may not have beside the files of a cohort, or at all
SECTIONS = (
    "summary.csv", "summary.html", "Summary.CSV", "matched_domains.csv", "manifest.json", "run.json", "cohort.json",
    "..", ".", "a/b", "../x", ".lock", ".ready", "kept-2026-01-01", "nul", "score.json", "..\\x", "HOME/y",
)  # fmt: skip
FAULTS = ("outside", "wrote", "lost", "believed", "traceback", "late", "leftover", "broken", "hang", "crash")


@dataclass(frozen=True, slots=True)
class Tried:
    """What one call did with one hostile folder.

    Parameters
    ----------
    faults
        Of FAULTS: changed something outside; a reading call wrote; a user's bytes were lost; an attacker's file
        became part of a new result; a traceback; refused only after work was begun; working files left behind; a result
        that does not verify; silence; a signal.
    outcome
        "value" or "refused" or what else it ended with, and the details.
    """

    variant: str
    call: str
    faults: tuple[str, ...]
    outcome: str


def hostile(work: Path, share: float) -> Iterator[Tried]:
    """Try the calls on a share of all variants, spread evenly."""
    made_by(lambda: [str(finished(work, name)) for name in ("domains", "fit", "map")] and None)
    step = max(1, round(1 / share))
    for number, variant in enumerate(variants()):
        if number % step == 0:
            yield from _tried(work, variant, number)


def variants() -> list[Variant]:
    """All of them, in one order."""
    sheets = (Variant(f"a section named {name!r}", "sheet", _sheet(name)) for name in SECTIONS)
    return [*attacks(), *users_folders(), *older_results(), *forged_results(), *sheets]


def _tried(work: Path, variant: Variant, number: int) -> Iterator[Tried]:
    calls = _calls(variant, number)
    place = work / "hostile"
    jobs = [_job(work, place / str(k), variant, call) for k, call in enumerate(calls)]
    for call, end in zip(calls, ends(jobs), strict=True):
        yield _judged(variant, call, end)
    shutil.rmtree(place, ignore_errors=True)


def _calls(variant: Variant, number: int) -> Sequence[str]:
    """List the calls: all that read, and those that write what lies there or, by turns, something else."""
    if variant.base == "sheet":
        return ("domains of a sheet", ("run of a sheet", "nuclei of a sheet")[number % 2])
    own = variant.base or "domains"
    other = variant.then or ("fit", "run", "map", "nuclei", "predict", "evaluate")[number % 6]
    writers = (f"--out of {own}",) if other == own else (f"--out of {own}", f"--out of {other}")
    return ("verify", "check", "read_maps", "score", "predict", *writers)


def _sheet(name: str) -> Callable[[Home], None]:
    def build(home: Home) -> None:
        named = name.replace("HOME", str(home.path))
        rows = ["section,patient,path", f'"{named}",P1,{home.path.parent}/a.h5ad', f"B,P2,{home.path.parent}/a.h5ad"]
        home.result.mkdir(exist_ok=True)
        (home.path / "sheet.csv").write_text("\n".join(rows) + "\n")

    return build


def _job(work: Path, place: Path, variant: Variant, call: str) -> Callable[[], dict[str, Any]]:
    def job() -> dict[str, Any]:
        try:
            home = _built(work, place, variant)
            before = snapshot(home.path)
        except Exception as error:
            raise UnusableJobError(variant.name) from error
        events: list[dict[str, Any]] = []
        os.chdir(place / "elsewhere")
        os.environ["HOME"] = str(home.path)  # of this child: a name that is expanded leads here, too
        ended, detail = _attempted(call, work, home, place / "elsewhere", events.append)
        found = _found(home, before, snapshot(home.path), reads=not call.startswith("--out") and "sheet" not in call)
        begun = [
            e["stage"] for e in events if e["event"] == "stage" and e["state"] == "started" and e["stage"] != "read"
        ]
        found |= {"ended": ended, "detail": detail, "late": ended == "refused" and bool(begun)}
        if ended == "value" and call.startswith("--out"):
            found["broken"] = not _is_whole(home.result)
        os.chdir("/")
        return found

    return job


def _built(work: Path, place: Path, variant: Variant) -> Home:
    shutil.rmtree(place, ignore_errors=True)
    path = place / "home"
    path.mkdir(parents=True)
    (place / "elsewhere").mkdir()
    furnish(path)
    home = Home(path, variant.base)
    if variant.base == "sheet":
        table = work / "spots.h5ad"
        if not table.exists():
            from support.robustness_families import spots_of_phantom

            spots_of_phantom().write_h5ad(table)
        os.link(table, place / "a.h5ad")
    elif variant.base:
        shutil.copytree(finished(work, variant.base), home.result)
    else:
        home.result.mkdir()
    os.chdir(path)
    variant.build(home)
    os.chdir("/")
    return home


def _attempted(
    call: str, work: Path, home: Home, elsewhere: Path, listen: Callable[[dict[str, Any]], None]
) -> tuple[str, str]:
    """Make a call; how it ended, and with which message."""
    from histoscribe.errors import HistoscribeError

    try:
        _do(call, Commands(work / "phantoms"), home, elsewhere, listen)
    except HistoscribeError as error:
        return "refused", " ".join(str(error).split())[:200]
    except BaseException as error:  # noqa: BLE001  # whatever a call lets through is a fault of its own
        where = traceback.extract_tb(error.__traceback__)[-1]
        return "traceback", f"{type(error).__name__}: {str(error)[:150]} ({Path(where.filename).name}:{where.lineno})"
    return "value", ""


def _do(call: str, commands: Commands, home: Home, elsewhere: Path, listen: Callable[[dict[str, Any]], None]) -> None:
    import histoscribe

    result = home.result
    if call == "verify":
        histoscribe.verify(result)
    elif call == "check":
        histoscribe.check(result)
    elif call == "read_maps":
        histoscribe.read_maps(result)
    elif call == "score":
        (elsewhere / "labels.csv").write_text("barcode,label\na,1\n")
        histoscribe.score_domains(result, labels=elsewhere / "labels.csv", out=elsewhere / "score.json")
    elif call == "predict":
        histoscribe.predict_slides(result, commands.slide, out=elsewhere / "predictions")
    elif call == "domains of a sheet":
        histoscribe.find_domains(home.path / "sheet.csv", out=result, n_domains=2, listen=listen)
    elif call == "run of a sheet":
        histoscribe.run_sections(home.path / "sheet.csv", out=result, encoder="morphology", listen=listen)
    elif call == "nuclei of a sheet":
        histoscribe.find_nuclei(home.path / "sheet.csv", out=result, listen=listen)
    else:
        commands.run(call.removeprefix("--out of "), result, settings=1, listen=listen)


def snapshot(home: Path) -> dict[str, str]:
    """Hash of every file, target of every link, and kind of everything else, by path below `home`."""
    from histoscribe.store.files import sha256_file

    found = {}
    for parent, folders, files in os.walk(home):
        for name in (*folders, *files):
            path = Path(parent) / name
            if path.is_symlink():
                state = f"link {path.readlink()}"
            elif path.is_file():
                state = sha256_file(path)
            else:
                state = "folder" if path.is_dir() else "special"
            found[path.relative_to(home).as_posix()] = state
    return found


def _found(home: Home, before: dict[str, str], after: dict[str, str], *, reads: bool) -> dict[str, Any]:
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    outside = [name for name in changed if not name.startswith("result/")]
    there = set(after.values())
    mine = [name for name in home.mine if before.get(f"result/{name}") not in (None, "folder", "special")]
    lost = [name for name in mine if before[f"result/{name}"] not in there]
    planted = {before[f"result/{name}"] for name in home.planted}
    listed = {state for name, state in after.items() if name.startswith("result/") and "/." not in name}
    left = [name for name in WORKING if f"result/{name}" in after and f"result/{name}" not in before]
    return {
        "outside": outside[:5],
        "wrote": changed[:5] if reads else [],
        "lost": lost[:5],
        "believed": bool(planted & listed - {before.get(f"result/{name}") for name in home.mine}),
        "leftover": left,
    }


def _is_whole(result: Path) -> bool:
    from histoscribe.errors import HistoscribeError
    from histoscribe.store.result import verify_result

    try:
        return verify_result(result).ok
    except HistoscribeError:
        return False


def _judged(variant: Variant, call: str, end: End) -> Tried:
    if end.kind == "unusable":
        raise UnusableJobError(f"{variant.name}, {call}: {end.detail}")
    if end.kind != "value":
        kind = end.kind if end.kind in FAULTS else "traceback"
        return Tried(variant.name, call, (kind,), f"{end.kind}: {end.detail}")
    found = end.value
    faults = [fault for fault in FAULTS if found.get(fault)]
    if found["ended"] == "traceback":
        faults.append("traceback")
    details = {fault: found[fault] for fault in faults if fault in found and found[fault] is not True}
    return Tried(variant.name, call, tuple(faults), f"{found['ended']}: {found['detail']} {details or ''}".strip())
