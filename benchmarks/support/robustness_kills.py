"""The commands killed again and again, by the clock and at their file operations, and run until they end.

A kill by the clock falls anywhere, mostly into computing. A kill at the n-th file operation below the result's folder
(opened for writing, renamed, linked, deleted, made) falls just before the operation; every third of all kills falls
after the run's record was written, where the result is committed and moved into place.
"""

import itertools
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from support.robustness_child import UnusableJobError, end_of, fork, made_by
from support.robustness_results import COMMANDS, Commands, content, finished

CHAIN = 5  # kills before a command is left to end
_RECORD = "run.json"  # with it a run begins to put its result together
_FIRST = 30  # operations from there in which a result is committed; the rest are moves
_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate")


@dataclass(frozen=True, slots=True)
class _Undisturbed:
    """A command that is not disturbed: how long it takes, and what its settings 0 and 1 give."""

    work: Path
    command: str
    seconds: float
    operations: tuple[int, int]
    wanted: str
    other: str

    @property
    def out(self) -> Path:
        """Where it is killed."""
        return self.work / "kills" / "r"


@dataclass(frozen=True, slots=True)
class Chain:
    """What became of one result that was killed over and over.

    Parameters
    ----------
    older
        Whether a result of other settings lay in the folder.
    begun
        Whether the first process that was killed had other settings, so that its unfinished draft lay there.
    kills
        How many of the processes died by their kill; one that was quicker than its clock does not count.
    faults
        "half" (what lay there after a kill was neither the older result nor the new one, whole), "status" (the last run
        did not end well), "content" (it ended with other bytes), "leftovers".
    """

    command: str
    older: bool
    begun: bool
    kills: int
    faults: tuple[str, ...]
    detail: str


def kills(work: Path, share: float, commands: Sequence[str] = ()) -> Iterator[Chain]:
    """Kill each of the seven commands, or of those that are named, about 100 times."""
    for command in commands or COMMANDS:
        yield from command_kills(work, command, max(1, round(100 * share)))


def command_kills(work: Path, command: str, count: int) -> Iterator[Chain]:
    """Kill one command `count` times: over nothing, over an older result, over a draft of other settings, over both."""
    made_by(lambda: [str(finished(work, command, k)) for k in (0, 1)] and None)
    job, done = _undisturbed(work, command), 0
    for number in itertools.count():
        if done >= count:
            return
        rng = Random(f"{command}/{number}")
        chain = _chain(job, rng, older=number % 2 == 1, begun=number % 4 > 1, most=min(CHAIN, count - done))
        done += chain.kills
        yield chain


def _undisturbed(work: Path, command: str) -> _Undisturbed:
    out, counted = work / "kills" / "undisturbed", work / "kills" / "operations"
    out.parent.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    child = fork(lambda: counted.write_text(json.dumps(_counting(work, command, out))) and None)
    if os.waitpid(child, 0)[1]:
        raise UnusableJobError(f"{command} does not end well undisturbed")
    seconds = time.monotonic() - begin
    wanted, other = (content(finished(work, command, k)) for k in (0, 1))
    if content(out) != wanted or other == wanted:
        raise UnusableJobError(f"two runs of {command} differ, or its settings do not")
    shutil.rmtree(out)
    every, closing = json.loads(counted.read_text())
    return _Undisturbed(work, command, seconds, (every, closing), wanted, other)


def _counting(
    work: Path, command: str, out: Path, settings: int = 0, *, kill_at: int = 0, closing: bool = False
) -> list[int]:
    """Run a command and count its file operations below `out`: all, and those since the run's record was written.

    It dies before the one of number `kill_at` of either kind.
    """
    mark, counts = str(out), [0, 0]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not (writes or event in _CHANGES) or mark not in str(arguments[0]):
            return
        counts[0] += 1
        if counts[1] or _RECORD in str(arguments[0]):
            counts[1] += 1
        if kill_at and counts[closing] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    Commands(work / "phantoms").run(command, out, settings)
    return counts


def _chain(job: _Undisturbed, rng: Random, *, older: bool, begun: bool, most: int) -> Chain:
    found: list[tuple[str, str]] = []
    shutil.rmtree(job.out, ignore_errors=True)
    if older:
        shutil.copytree(finished(job.work, job.command, 1), job.out)
    killed = 0
    for number in range(most):
        status, kill = _killed(job, rng, settings=1 if begun and number == 0 else 0)
        killed += status == -signal.SIGKILL
        if status not in (0, -signal.SIGKILL):
            found.append(("status", f"{kill}: status {status}"))
        if (older or status == 0) and (fault := _not_whole(job.out, {job.wanted, job.other})):
            found.append(("half", f"{kill}: {fault}"))
        if status == 0:
            break
    found += _ended(job)
    faults = tuple(dict.fromkeys(fault for fault, _ in found))
    return Chain(job.command, older, begun, killed, faults, "; ".join(detail for _, detail in found)[:600])


def _killed(job: _Undisturbed, rng: Random, settings: int) -> tuple[int, str]:
    """Run the command in a child that is killed at a file operation or after some seconds: exit status, and when."""
    if (way := rng.randrange(3)) < 2:
        closing = way == 1
        most = job.operations[closing]
        at = rng.randint(1, min(_FIRST, most) if closing and rng.random() < 0.5 else most)

        def work() -> None:
            _counting(job.work, job.command, job.out, settings, kill_at=at, closing=closing)

        _, status = os.waitpid(fork(work), 0)
        where = f"operation {at}{' since the record was written' if closing else ''}"
        return os.waitstatus_to_exitcode(status), f"after a kill at {where}"
    clock = rng.uniform(0.02, 1.0) * job.seconds
    child = fork(lambda: Commands(job.work / "phantoms").run(job.command, job.out, settings))
    timer = threading.Timer(clock, os.kill, (child, signal.SIGKILL))
    timer.start()
    _, status = os.waitpid(child, 0)
    timer.cancel()
    timer.join()  # no thread is left that the next fork would lose
    return os.waitstatus_to_exitcode(status), f"after a kill at {clock:.2f} s"


def _ended(job: _Undisturbed) -> Iterator[tuple[str, str]]:
    """Run the command until it ends, and say what is wrong with what it leaves."""
    end = end_of(lambda: Commands(job.work / "phantoms").run(job.command, job.out), seconds=600.0, memory=None)
    if end.kind != "value":
        yield "status", f"the last run: {end.kind} {end.detail}"
    elif fault := _not_whole(job.out, {job.wanted}):
        yield "content", fault
    endings = (".partial", ".new")
    if left := sorted(one.name for one in job.out.rglob("*") if one.name.startswith(".") or one.name.endswith(endings)):
        yield "leftovers", f"left: {left[:5]}"


def _not_whole(out: Path, allowed: set[str]) -> str:
    """Say why what lies in `out` is none of the allowed results, whole; "" where it is one."""

    def look() -> list[Any]:
        from histoscribe.store.result import verify_result

        found = verify_result(out)
        place = out / ".ready" if (out / ".ready" / "manifest.json").is_file() else out
        return [[f"{one.path}: {one.problem}" for one in found.damages], content(place)]

    end = end_of(look, seconds=60.0)
    if end.kind != "value":
        return f"{end.kind}: {end.detail}"
    damages, digest = end.value
    if damages:
        return "; ".join(damages[:3])
    return "" if digest in allowed else f"content {digest[:12]} is none of {sorted(one[:12] for one in allowed)}"
