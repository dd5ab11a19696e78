"""Runs a function over tiles in batches, on all cores, giving the same bits for any number of workers.

On a processor each worker thread computes whole batches alone. That needs no barrier between threads, so it keeps its
speed on a machine that others use too, and each batch's numbers do not depend on how many workers there are.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from histoscribe.encoders.base import RGB, Features


def cpu_count() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_batches(
    function: Callable[[RGB], Features],
    tiles: RGB,
    *,
    batch_size: int,
    workers: int = 1,
    out_of_memory: tuple[type[Exception], ...] = (MemoryError,),
) -> list[Features]:
    """Apply `function` to successive batches of `tiles`.

    A batch that does not fit into memory is cut in half, again and again down to single tiles.

    Parameters
    ----------
    function
        Takes (b, h, w, 3) uint8, gives an array with b rows; called by several threads at once.
    tiles
        (n, h, w, 3) uint8.

    Returns
    -------
    The results in the order of the tiles, to be joined by `np.concatenate`.
    """
    batches = [tiles[start : start + batch_size] for start in range(0, len(tiles), batch_size)]

    def run(batch: RGB) -> Features:
        return _halving(function, batch, out_of_memory)

    if workers == 1 or len(batches) == 1:
        return [run(batch) for batch in batches]
    with ThreadPoolExecutor(workers, thread_name_prefix="encode") as pool:
        return list(pool.map(run, batches))


def _halving(function: Callable[[RGB], Features], batch: RGB, out_of_memory: tuple[type[Exception], ...]) -> Features:
    try:
        return function(batch)
    except out_of_memory:
        if len(batch) == 1:
            raise
    half = len(batch) // 2  # outside the handler: its traceback would hold the failed attempt's memory
    pieces = [_halving(function, piece, out_of_memory) for piece in (batch[:half], batch[half:])]
    return np.concatenate(pieces)
