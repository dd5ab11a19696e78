"""A scout that reads an HDF5 file first, in a process of its own: a file that kills or blocks it is refused."""

import atexit
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as OutOfTime
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock

from histoscribe.errors import InputError
from histoscribe.store.files import real_path

# of computing, not by the clock: on a busy machine the scout gets a share of the time only
_PATIENCE_S, _BYTES_PER_S = 10.0, 20e6
_WAITS = 12 if sys.platform != "win32" else 1  # so many times longer by the clock, where the system limits computing
# how a process ends that has computed for as long as it may
_OUT_OF_TIME = (-signal.SIGXCPU,) if sys.platform != "win32" else ()
_PROGRAM = Path(__file__).with_name("hdf5_walk.py")


def require_passable(path: Path) -> None:
    """Refuse an HDF5 file with damage that would end or block this process; raises InputError.

    A file is gone through once, until it changes.
    """
    found = path.stat()
    end = _end(str(real_path(path)), found.st_size, found.st_mtime_ns, found.st_ino)
    if end is not None:
        raise InputError(
            "the HDF5 file is damaged, cut short or incomplete",
            where=path,
            found=f"{found.st_size:,} bytes; {end}",
            fix="copy or download it again",
        )


@lru_cache(maxsize=256)
def _end(path: str, size: int, *_state: int) -> str | None:
    scout = _scout(os.getpid())
    with scout.lock:
        return scout.sent(path, _PATIENCE_S + size / _BYTES_PER_S)


@cache
def _scout(process: int) -> "_Scout":
    """Return the scout of this process; a forked one has its own."""
    scout = _Scout(process)
    atexit.register(scout.stop)
    return scout


class _Scout:
    """A process that is kept for the next file, and replaced where it ended."""

    def __init__(self, owner: int) -> None:
        self.owner = owner
        self.lock = Lock()
        self.reader = ThreadPoolExecutor(max_workers=1)
        self.process: subprocess.Popen[str] | None = None

    def sent(self, path: str, patience_s: float) -> str | None:
        """Send the scout through a file; returns how it ended, or None where it came through."""
        endless = f"the HDF5 library does not come to an end with it within {patience_s:.0f} seconds"
        pending = self.reader.submit(self._asked, path, patience_s)
        try:
            came_through = pending.result(patience_s * _WAITS)
        except OutOfTime:
            self.stop()
            pending.result()
            return endless
        if came_through:
            return None
        return endless if self._ended() in _OUT_OF_TIME else "the HDF5 library crashes on it"

    def _asked(self, path: str, patience_s: float) -> bool:
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        asked, answered = self.process.stdin, self.process.stdout
        if asked is None or answered is None:  # never, for both are pipes
            return False
        with suppress(BrokenPipeError):  # it has ended, which its silence shows as well
            asked.write(f"{json.dumps([path, patience_s])}\n")
            asked.flush()
        return bool(answered.readline())

    def _ended(self) -> int | None:
        """Wait for a process that has fallen silent; returns how it ended."""
        return None if self.process is None else self.process.wait()

    def stop(self) -> None:
        """End the process, where there is one and it is ours."""
        if self.process is not None and os.getpid() == self.owner:
            self.process.kill()
            self.process.wait()
