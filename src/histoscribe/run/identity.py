"""What a stage's result depends on: the bytes that were read, the settings, and the code itself."""

import platform
from functools import cache
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import Any

from histoscribe._version import __version__
from histoscribe.io.reading import Reading, Request
from histoscribe.store.files import fingerprint, sha256_file

_LIBRARIES = ("numpy", "scipy", "anndata", "spatialdata", "zarr", "torch", "timm", "onnxruntime", "scikit-network")


@cache
def code_fingerprint() -> str:
    """sha256 over histoscribe's own source files: a change of code is a change of result until shown otherwise."""
    root = Path(__file__).parents[1]
    files = sorted(path for path in root.rglob("*") if path.suffix in {".py", ".toml", ".html", ".csv"})
    return fingerprint({path.relative_to(root).as_posix(): sha256_file(path) for path in files})


def versions() -> dict[str, str]:
    """Versions of histoscribe, Python and the libraries that results depend on."""
    libraries = {name: version(name) for name in _LIBRARIES}
    return {"histoscribe": __version__, "python": platform.python_version(), **libraries}


def input_record(reading: Reading, request: Request) -> dict[str, Any]:
    """Describe what was read, without a path of this computer.

    Returns
    -------
    The files by name, size and sha256, what the user said of them, and the notes: what was decided in reading them.
    """
    files = [
        {"path": reading.name_of(path), "bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for path in reading.files
    ]
    stated = {
        "scale": request.scale,
        "mpp": request.mpp,
        "bin_um": request.bin_um,
        "patient": request.patient,
        "align": request.align,
        "anonymous": request.anonymous,
        "allow_damaged": request.allow_damaged,
    } | ({"section_column": request.section_column} if request.section_column else {})
    return {
        "format": reading.format,
        "section": reading.section.name,
        "files": sorted(files, key=itemgetter("sha256")),  # wherever they lie
        "stated": stated,
        "notes": list(reading.notes),
    }
