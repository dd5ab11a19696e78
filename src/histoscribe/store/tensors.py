"""Weights in safetensors files: their sizes are known before a number is read, and a damaged file has one error."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import HistoscribeError, ResultError


@contextmanager
def reading_tensors(path: Path, error_class: type[HistoscribeError] = ResultError, *, fix: str) -> Iterator[None]:
    """Turn all that the library says of a file that is none of its own into one error that names `path`."""
    from safetensors import SafetensorError

    try:
        yield
    # a kind of number that numpy lacks is a KeyError; a shape that none can hold a ValueError
    except (SafetensorError, OSError, KeyError, ValueError, OverflowError) as error:
        raise error_class(
            "this file is damaged or not safetensors",
            where=path,
            expected="safetensors: plain numbers under names",
            found=str(error)[:200] or type(error).__name__,
            fix=fix,
        ) from error


def read_tensors(path: Path, *, fix: str) -> dict[str, NDArray[Any]]:
    """Read the arrays of a file that histoscribe wrote; raises ResultError where it is damaged."""
    from safetensors.numpy import load_file

    with reading_tensors(path, fix=fix):
        return {name: np.array(values) for name, values in load_file(str(path)).items()}


def count_numbers(path: Path) -> int:
    """Count the numbers that a file says to hold, from its header alone; raises what `reading_tensors` catches."""
    from safetensors import safe_open

    with safe_open(str(path), framework="numpy") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
