"""What a stage's result depends on: the bytes that were read, the settings, and the code itself."""

import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import histoscribe
from histoscribe.io.reading import Reading, Request
from histoscribe.store.files import fingerprint, sha256_file

_TOLD_VERSIONS = ("numpy", "scipy", "anndata", "spatialdata", "zarr", "torch", "timm", "onnxruntime", "scikit-network")


@cache
def code_fingerprint() -> str:
    """sha256 over histoscribe's own source files: a change of code is a change of result until shown otherwise."""
    root = Path(histoscribe.__file__).parent
    files = sorted(path for path in root.rglob("*") if path.suffix in {".py", ".toml", ".html"})
    return fingerprint({path.relative_to(root).as_posix(): sha256_file(path) for path in files})


def versions() -> dict[str, str]:
    """Versions of histoscribe, Python and the libraries that results depend on."""
    told = {name: version(name) for name in _TOLD_VERSIONS}
    return {"histoscribe": histoscribe.__version__, "python": platform.python_version(), **told}


def input_record(reading: Reading, request: Request) -> dict[str, Any]:
    """Describe the files read, by name, size and sha256, and what the user said of them; no path of this computer."""
    files = [
        {"path": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)} for path in sorted(reading.files)
    ]
    told = {"scale": request.scale, "mpp": request.mpp, "bin_um": request.bin_um, "patient": request.patient}
    return {"format": reading.format, "section": reading.section.name, "files": files, "told": told}
