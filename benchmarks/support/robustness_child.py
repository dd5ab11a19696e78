"""Jobs in forked children of a process with all imports done: what each returned, raised, or died of.

A child does many jobs in turn, since a fork of a large process costs as much as a small reading. It reports
over a pipe how each ended; where it dies or is silent too long, its current job is the cause, and a new child continues
with the next one. The parent itself never reads a file with a library, so it has no threads that a fork would lose.
"""

import contextlib
import faulthandler
import json
import os
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 20.0  # a job that takes longer hangs
MEMORY_BYTES = 3 << 30  # of address space that a job may take beyond what its process began with
BATCH = 40  # jobs that one child does

Job = Callable[[], Any]

_IMPORTED = (
    "anndata", "h5py", "imagecodecs", "matplotlib.figure", "matplotlib.backends.backend_agg", "numcodecs",
    "onnxruntime", "openslide", "PIL.Image", "PIL.JpegImagePlugin", "PIL.PngImagePlugin", "PIL.TiffImagePlugin",
    "pyarrow.parquet", "safetensors.numpy", "safetensors.torch", "scipy.io", "scipy.ndimage", "skimage.filters",
    "skimage.measure", "skimage.morphology", "skimage.segmentation", "sklearn.cluster", "sklearn.decomposition",
    "sklearn.mixture", "spatialdata", "tifffile", "xarray", "zarr", "histoscribe.cli", "histoscribe.io",
    "histoscribe.io.preflight", "histoscribe.maps.read", "histoscribe.nuclei.engine", "histoscribe.run.domains",
    "histoscribe.run.maps.section", "histoscribe.run.nuclei", "histoscribe.run.cohort.evaluate",
    "histoscribe.run.cohort.fit", "histoscribe.run.cohort.predict",
    "histoscribe.run.verbs", "histoscribe.slide.formats_openslide", "histoscribe.slide.formats_raster",
    "histoscribe.slide.formats_tiff",
)  # fmt: skip


class UnusableJobError(Exception):
    """What prepares a job failed: a fault of the benchmark, never of what is measured."""


@dataclass(frozen=True, slots=True)
class End:
    """How a job ended.

    Parameters
    ----------
    kind
        "value", "refused" (by a HistoscribeError), "unhandled", "memory", "crash" or "hang".
    value
        What the job returned, as JSON gives it back.
    detail
        The message, the traceback's last lines, or the signal.
    """

    kind: str
    value: Any = None
    detail: str = ""


def warm_up() -> None:
    """Import what any public function of the package imports."""
    from histoscribe.encoders import import_timm

    import_timm()
    for name in _IMPORTED:
        __import__(name)
    from histoscribe.domains import DOMAINS
    from histoscribe.maps import MAPPERS
    from histoscribe.nuclei import SEGMENTERS

    DOMAINS.get("histology"), DOMAINS.get("niche"), MAPPERS.get("dense"), SEGMENTERS.get("classical")


def ends(jobs: Sequence[Job], *, seconds: float = SECONDS, memory: int | None = MEMORY_BYTES) -> Iterator[End]:
    """Do the jobs in children, in order, and say how each ended."""
    done = 0
    while done < len(jobs):
        for end in _one_child(jobs[done : done + BATCH], seconds, memory):
            done += 1
            yield end


def end_of(job: Job, *, seconds: float = SECONDS, memory: int | None = MEMORY_BYTES) -> End:
    """Do one job in a child of its own."""
    return next(ends([job], seconds=seconds, memory=memory))


def made_by(job: Job) -> Any:
    """Do in a child what must succeed, such as writing sound files, and return its value."""
    end = end_of(job, seconds=600.0, memory=None)
    if end.kind != "value":
        raise UnusableJobError(f"{end.kind}: {end.detail}")
    return end.value


def fork(work: Callable[[], None]) -> int:
    """Start a child that does `work` and ends; returns its process number."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        _redirect(os.open(os.devnull, os.O_WRONLY))
        work()
        status = 0
    finally:
        os._exit(status)  # neither the parent's finalisers nor its buffers


def _one_child(jobs: Sequence[Job], seconds: float, memory: int | None) -> Iterator[End]:
    """Begin with the first job; ends early where the child must not continue."""
    reads, writes = os.pipe()
    output = os.memfd_create("output of the child")
    child = os.fork()
    if child == 0:
        _work(jobs, writes, output, memory)
    os.close(writes)
    try:
        lines = _lines(reads, seconds)
        for _ in jobs:
            line = next(lines)
            if line:
                end = End(*json.loads(line))
                yield end
                if end.kind in ("memory", "unusable"):
                    break
                continue
            code, child = _stopped(child, silent=line is None), 0
            text = os.pread(output, 1 << 24, 0).decode("utf-8", "replace")
            text = text[max(0, text.rfind("Fatal Python error") - 100) :]  # before it stands glibc's own message
            if line is None:
                yield End("hang", None, f"longer than {seconds:g} s; {_shortened(text)}")
            else:
                yield End("crash", None, f"{_ending(code)}; {_shortened(text)}")
            break
    finally:
        if child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        os.close(reads)
        os.close(output)


def _stopped(child: int, *, silent: bool) -> int:
    """Wait for a dying child, or end a silent one, which first prints where it was; returns its exit status."""
    if silent:
        os.kill(child, signal.SIGABRT)
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _lines(pipe: int, seconds: float) -> Iterator[bytes | None]:
    """Lines from a pipe; None where the next one takes too long, an empty one where the other end has gone."""
    text = b""
    while True:
        deadline = time.monotonic() + seconds
        while b"\n" not in text:
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            part = os.read(pipe, 1 << 16) if ready else b""
            if not part:
                yield b"" if ready else None
                return
            text += part
        line, _, text = text.partition(b"\n")
        yield line


def _work(jobs: Sequence[Job], pipe: int, output: int, memory: int | None) -> None:
    try:
        _redirect(output)
        faulthandler.enable(file=output)
        if memory is not None:
            taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (taken + memory, taken + memory))
        for job in jobs:
            end = _ended(job)
            os.write(pipe, json.dumps([end.kind, end.value, end.detail]).encode() + b"\n")
            if end.kind in ("memory", "unusable"):
                break
    finally:
        os._exit(0)


def _ended(job: Job) -> End:
    from histoscribe.errors import HistoscribeError

    try:
        return End("value", job())
    except HistoscribeError as error:
        return End("refused", None, f"{type(error).__name__}: {_shortened(str(error), 300)}")
    except UnusableJobError:
        return End("unusable", None, traceback.format_exc())
    except MemoryError:
        return End("memory", None, _last_lines())
    except BaseException as error:  # noqa: BLE001  # whatever the package lets through is looked for
        return End("unhandled", None, f"{type(error).__name__}: {_shortened(str(error), 200)} | {_last_lines()}")


def _last_lines() -> str:
    """Where it came from: the innermost frames within the package and at all."""
    frames = traceback.extract_tb(__import__("sys").exc_info()[2])
    ours = [f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in frames if "histoscribe" in one.filename]
    last = frames[-1]
    return f"{' > '.join(ours[-3:])} ... {Path(last.filename).name}:{last.lineno} {last.name}"


def _redirect(output: int) -> None:
    for stream in (1, 2):
        os.dup2(output, stream)


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def _shortened(text: str, limit: int = 400) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[:limit] + " ..."
