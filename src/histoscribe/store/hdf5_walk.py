"""Run as a program of its own: walks through HDF5 files that it is named, and says when it has come through.

The HDF5 library follows damaged headers into memory that is not its own, or round in a circle. Whoever asks lets this
program go first, and learns from its end or its silence that a file must not be opened. It imports h5py and nothing of
histoscribe, so that it starts quickly.
"""

import json
import math
import sys
from typing import Any

import h5py

_MOST_BYTES = 64 * 2**20  # of numbers that are read here; of what is larger, only the index is followed
_FAILURES = (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError, OverflowError, AttributeError)


def walk(path: str) -> None:
    """Touch every header, attribute, text and index of a file."""
    with h5py.File(path, "r") as file:
        seen, left = set(), [file["/"]]
        while left:
            node = left.pop()
            if node in seen:
                continue
            seen.add(node)
            for name in node.attrs:
                _tried(node.attrs.__getitem__, name)
            if isinstance(node, h5py.Dataset):
                _tried(_touch, node)
            elif isinstance(node, h5py.Group):
                left += [child for child in (_tried(_child, node, name) for name in node) if child is not None]


def _child(group: Any, name: str) -> Any:
    return None if isinstance(group.get(name, getlink=True), h5py.ExternalLink) else group[name]


def _touch(dataset: Any) -> None:
    if dataset.is_virtual or dataset.external:
        return
    if dataset.chunks is not None:
        dataset.id.get_num_chunks()
    chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if max(dataset.nbytes, chunk) <= _MOST_BYTES:
        dataset[()]


def _tried(function: Any, *arguments: Any) -> Any:
    """Call a function; what it raises is for whoever asked to meet again, and to report in words."""
    try:
        return function(*arguments)
    except _FAILURES:
        return None


def _compute_for(seconds: float) -> None:
    """Let the system end this process after so many more seconds of computing, where it can."""
    if sys.platform != "win32":
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        most = math.ceil(used.ru_utime + used.ru_stime + seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    for line in sys.stdin:
        asked, patience_s = json.loads(line)
        _compute_for(patience_s)
        _tried(walk, asked)
        sys.stdout.write("through\n")
        sys.stdout.flush()
