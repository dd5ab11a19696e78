"""A tiny SpaceRanger folder of a phantom, made once, a run of it, and work in children that can be killed."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# what imports the resolution of figures by its name
_DRAWING = ("layout", "domains_figures", "evaluation_apart", "evaluation_figures", "maps_figures", "on_spots", "umap")


@contextmanager
def drawing_small() -> Iterator[None]:
    """Draw figures small: hundreds of results are made here, and a third of the time would go into pictures."""
    with pytest.MonkeyPatch.context() as patched:
        for name in _DRAWING:
            patched.setattr(f"histoscribe.report.{name}.DPI", 50)
        yield


@pytest.fixture(autouse=True, scope="module")
def coarse_figures() -> Iterator[None]:
    """Figures of this module's results are small."""
    with drawing_small():
        yield


@pytest.fixture(scope="session")
def vendor(tmp_path_factory) -> Path:
    """SpaceRanger folder of a small phantom, with truth.csv."""
    from histoscribe.phantom import make_phantom, write_spaceranger

    folder = tmp_path_factory.mktemp("phantom") / "section"
    write_spaceranger(make_phantom(3, size_um=900.0, mpp=1.0, n_domains=3), folder)
    return folder


@pytest.fixture(scope="session")
def finished(vendor, tmp_path_factory) -> Path:
    """A finished result of that section."""
    from histoscribe.run.verbs import run_sections

    out = tmp_path_factory.mktemp("finished") / "result"
    with drawing_small():
        run_sections(vendor, out=out, encoder="morphology", n_domains=3)
    return out


class Forker:
    """Works in children of a process that has everything imported, so that they die within the work itself.

    Hands lines of tab-separated words to the program `program`, which does each in a child:
    it prints the child's process number, waits for its end and prints how it ended.
    """

    def __init__(self, program: str) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, str(Path(__file__).with_name(program))]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, *words: object, kill_after: float | None = None) -> int:
        """Do one line and return the exit status, negative where a signal ended the child."""
        self.process.stdin.write("\t".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        timer = threading.Timer(kill_after or 0, os.kill, (child, signal.SIGKILL))
        if kill_after is not None:
            timer.start()
        status = int(self.process.stdout.readline())
        timer.cancel()
        return status

    def close(self) -> None:
        """End the program."""
        self.process.stdin.close()
        self.process.wait()


@pytest.fixture(scope="session")
def forking():
    """Start a `Forker` of a program, as a context."""

    @contextmanager
    def started(program: str) -> Iterator[Forker]:
        made = Forker(program)
        yield made
        made.close()

    return started
