"""Looks at the installation and says what works, what does not, and how to fix it."""

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from histoscribe.encoders import torchvision_state
from histoscribe.store.cache import cache_folder

SLOW_MB_PER_S = 50.0
NEEDED_GB = 4.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: "ok", "warning" or "broken", what was seen, and the fix."""

    name: str
    level: str
    message: str
    fix: str = ""


def doctor() -> list[Finding]:
    """Look at versions, devices, torch, torchvision, timm, OpenSlide, memory and the speed of writing.

    Returns
    -------
    One finding per thing; each that is not "ok" says how to fix it.
    """
    looks: list[Callable[[], list[Finding]]] = [
        _python,
        _versions,
        _torch,
        _torchvision,
        _timm,
        _onnx,
        _openslide,
        _disk,
    ]
    return [finding for look in looks for finding in look()]


def _python() -> list[Finding]:
    return [
        Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Finding("processor", "ok", f"{os.cpu_count()} cores"),
    ]


def _versions() -> list[Finding]:
    found = []
    for name in ("histoscribe", "spatialdata", "anndata", "zarr", "scikit-network", "tifffile"):
        try:
            found.append(Finding(name, "ok", version(name)))
        except PackageNotFoundError:
            found.append(Finding(name, "broken", "not installed", "install histoscribe anew: make demo"))
    return found


def _torch() -> list[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        return [Finding("torch", "broken", str(error), "pip install -c constraints.txt torch")]
    devices = ["cpu"]
    devices += [f"cuda ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    return [Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads, {', '.join(devices)}")]


def _torchvision() -> list[Finding]:
    state = torchvision_state()
    if state == "healthy":
        return [Finding("torchvision", "ok", f"{version('torchvision')}, imports by itself")]
    if state == "guarded":
        message = (
            f"{version('torchvision')}, its compiled operators do not load beside this torch; histoscribe works without"
        )
        return [
            Finding("torchvision", "ok", message, "nothing to do; a matching pair of torch and torchvision avoids it")
        ]
    return [Finding("torchvision", "broken", state, "pip install -c constraints.txt torch torchvision")]


def _timm() -> list[Finding]:
    try:
        from histoscribe.encoders import import_timm

        timm = import_timm()
    except (ImportError, RuntimeError) as error:
        fix = "pip install -c constraints.txt timm; the encoders `morphology` and ONNX files work without it"
        return [Finding("timm", "broken", str(error), fix)]
    return [Finding("timm", "ok", str(timm.__version__))]


def _onnx() -> list[Finding]:
    try:
        import onnxruntime
    except ImportError as error:
        return [Finding("onnxruntime", "broken", str(error), "pip install -c constraints.txt onnxruntime")]
    return [
        Finding("onnxruntime", "ok", f"{onnxruntime.__version__}: {', '.join(onnxruntime.get_available_providers())}")
    ]


def _openslide() -> list[Finding]:
    try:
        import openslide
    except (ImportError, OSError) as error:
        return [
            Finding("OpenSlide", "broken", str(error), "pip install -c constraints.txt openslide-python openslide-bin")
        ]
    return [Finding("OpenSlide", "ok", str(openslide.__library_version__))]


def _disk() -> list[Finding]:
    cache = cache_folder()
    found = []
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache) as file:
            block = os.urandom(1 << 20)
            start = time.perf_counter()
            for _ in range(64):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            speed = 64 / (time.perf_counter() - start)
    except OSError as error:
        fix = "set HISTOSCRIBE_CACHE to a folder that you may write"
        return [Finding("cache folder", "warning", f"cannot be written ({error})", fix)]
    slow = speed < SLOW_MB_PER_S
    fix = "results are written faster to a local disk than to a network folder" if slow else ""
    found.append(Finding("writing", "warning" if slow else "ok", f"{speed:,.0f} MB/s to the cache folder", fix))
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    full = free < NEEDED_GB
    fix = "make room: the result of a large slide takes a few GB" if full else ""
    found.append(Finding("free disk here", "warning" if full else "ok", f"{free:,.0f} GB", fix))
    return found
