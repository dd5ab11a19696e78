"""Finds the quickest way to run a network on this machine, once, and remembers it.

The choice decides the last digits of the features, so it must not change between two runs: it is kept in the user's
cache folder per machine and kind of network, and recorded beside what was computed with it.
"""

import json
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from histoscribe.encoders.base import RGB, Choice, Encoder, Features
from histoscribe.errors import WeightsError
from histoscribe.store.cache import cache_folder
from histoscribe.store.files import fingerprint, write_json

# a way is preferred to a plainer one only where it is quicker by this factor: timings are noisy
WORTHWHILE = 1.05
# and a lower precision only where it is quicker by this one: float32 is exact
WORTHWHILE_LOWER = 1.2

# features of bfloat16 must point almost exactly where those of float32 do
LEAST_COSINE = 0.99

_PROBE_TILES = 8
_REPEATS = 3
_ENOUGH_S = 2.0  # a way that takes longer than this for the probe is timed once


def tuned(
    build: Callable[[Choice], Encoder],
    ways: Sequence[Choice],
    *,
    batch_sizes: Sequence[int],
    kind: dict[str, Any],
    input_px: int,
    clock: Callable[[], float] = perf_counter,
) -> Encoder:
    """Build an encoder the quickest way of several.

    Parameters
    ----------
    build
        Makes the encoder, run one way.
    ways
        Precisions and layouts to try, plainest first: the first is the reference for the numbers.
    batch_sizes
        Batch sizes to try with the quickest of them.
    kind
        What the network and its device are; with the machine, the key under which the choice is remembered.
    input_px
        Side of the tiles in pixels.
    clock
        Seconds to measure by: of the wall, or of the processor (`time.process_time`) where all work is done there,
        which other programs on the machine hardly disturb.

    Returns
    -------
    The encoder, built with the remembered choice, or with the one just measured and now remembered.
    """
    key = kind | {"machine": machine(), "ways": [way.to_json() for way in ways], "batch_sizes": list(batch_sizes)}
    path = cache_folder() / "tuning" / f"{fingerprint(key)[:32]}.json"
    remembered = _remembered(path)
    if remembered is not None:
        return build(remembered)
    choice, rates = quickest(build, ways, batch_sizes=batch_sizes, tiles=_probe(input_px), clock=clock)
    # where no cache folder can be written it is measured again next time; results hold their own record of it
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"key": key, "choice": choice.to_json(), "measured": rates})
    return build(choice)


def quickest(
    build: Callable[[Choice], Encoder],
    ways: Sequence[Choice],
    *,
    batch_sizes: Sequence[int],
    tiles: RGB,
    clock: Callable[[], float] = perf_counter,
) -> tuple[Choice, list[dict[str, Any]]]:
    """Measure each way, then the batch sizes for the quickest one.

    A way is not taken if its features differ from the first one's (cosine below 0.99 for any tile), or if it is hardly
    quicker than a plainer one.

    Returns
    -------
    The choice, and what was measured: rates in tiles per second of the clock.
    """
    best, best_rate, reference = ways[0], 0.0, None
    measured = []
    for way in ways:
        try:
            rate, features = _rate(build(way), tiles, clock)
        except (RuntimeError, WeightsError) as error:  # an operation that this machine lacks, or an overflow
            if reference is None:
                raise
            measured.append(way.to_json() | {"failed": str(error)})
            continue
        reference = features if reference is None else reference
        cosine = _least_cosine(reference, features)
        measured.append(way.to_json() | {"tiles_per_s": round(rate, 1), "least_cosine": round(cosine, 4)})
        gain = WORTHWHILE if way.precision == best.precision else WORTHWHILE_LOWER
        if cosine >= LEAST_COSINE and rate > best_rate * gain:
            best, best_rate = way, rate
    for size in batch_sizes:
        if size != best.batch_size:
            choice = replace(best, batch_size=size)
            rate, _ = _rate(build(choice), tiles, clock)
            measured.append(choice.to_json() | {"tiles_per_s": round(rate, 1)})
            if rate > best_rate * WORTHWHILE:
                best, best_rate = choice, rate
    return best, measured


def machine() -> dict[str, str]:
    """Name what the speed of a network depends on besides itself."""
    import torch

    from histoscribe.encoders.batches import cpu_count

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return {"cpu": _cpu_name(), "cores": str(cpu_count()), "gpu": gpu, "torch": torch.__version__}


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        facts = dict(reversed([_fact(line) for line in lines]))  # of the first core
        # what bfloat16 gains shows in these, also where the name is that of a virtual processor
        gains = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
        return " ".join([facts.get("model name", ""), *(f for f in gains if f in facts.get("flags", "").split())])
    return platform.processor() or platform.machine()


def _fact(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _remembered(path: Path) -> Choice | None:
    try:
        return Choice(**json.loads(path.read_bytes())["choice"])
    except (OSError, ValueError, KeyError, TypeError):  # not there, or not ours: measured anew
        return None


def _probe(input_px: int) -> RGB:
    """Tiles with structure at every scale, (8, px, px, 3): smoothed noise in the colours of a stained section."""
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(0)
    tiles = np.empty((_PROBE_TILES, input_px, input_px, 3), np.uint8)
    for k in range(_PROBE_TILES):
        grain = gaussian_filter(random.standard_normal((input_px, input_px)), 1 + k % 8)
        light = 0.5 + 0.2 * grain / grain.std()
        tiles[k] = np.clip(255 * (0.25 + 0.7 * light[..., None] * (1.0, 0.75, 0.95)), 0, 255)
    return tiles


def _rate(encoder: Encoder, tiles: RGB, clock: Callable[[], float]) -> tuple[float, Features]:
    """Tiles per second in the best of a few passes, and the features."""
    seconds: list[float] = []
    features = encoder.encode(tiles[:0])
    while len(seconds) < _REPEATS and sum(seconds) < _ENOUGH_S:
        start = clock()
        features = encoder.encode(tiles)
        seconds.append(clock() - start)
    return len(tiles) / min(seconds), features


def _least_cosine(a: Features, b: Features) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)  # squares of large features leave float32
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / np.maximum(norms, 1e-30)).min())
