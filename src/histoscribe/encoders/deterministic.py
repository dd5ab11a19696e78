"""Deterministic torch: the same seed gives the same numbers, and torch's settings are restored afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def deterministic(seed: int, *, device: Any = "cpu", threads: int = 1) -> Iterator[None]:
    """Give torch a fixed number of threads, a seed and deterministic kernels; restores its settings afterwards.

    On a graphics card a kernel without a deterministic form is used with torch's warning.

    Parameters
    ----------
    device
        A torch device or its name; "auto" may be a graphics card.
    threads
        Sums over another number of threads differ in the last digit.
    """
    import torch

    on_card = str(device).partition(":")[0] != "cpu"
    before, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=on_card)
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if on_card else []):
            torch.random.default_generator.manual_seed(seed)
            if on_card and torch.cuda.is_available():
                torch.cuda.manual_seed_all(seed)
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(strict, warn_only=lenient)
