"""A TorchScript model, which is a program in a small language and is checked before it is loaded.

TorchScript runs no Python, but it has operators that write and read files, and classes that load libraries. A file that
names any of these is refused. The check is not complete: whoever uses a model from an unknown source still trusts it.
"""

import io
import re
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from histoscribe.errors import WeightsError
from histoscribe.nuclei.model_zip import read_file, read_parts

FILE = "instanseg.pt"
_EXPECTED = f"{FILE} (TorchScript), or the zip that holds it"
# the published model has 15 MB, and its program 100 KB
_MOST_BYTES, _MOST_PROGRAM = 10**9, 10**7
_MPP = (0.01, 100.0)
_ZIP = b"PK\x03\x04"
# operators on files, libraries and other processes, as a saved program writes them; all others compute
_DOT = rb"[\s\\]*\.[\s\\]*"
_REACHES_OUT = re.compile(
    rb"\btorch@(?:save|from_file|classes)\b|\bops@aten@(?:save|from_file)\b"
    rb"|\bops@(?!(?:aten|prim|prims|torchvision|quantized)\b)\w+".replace(b"@", _DOT)
)


def read_torchscript(path: Path) -> Any:
    """Read the model from its file, or from the zip that holds it.

    Raises
    ------
    WeightsError
        Where it is no such file, is damaged, or its program reaches out for files.
    """
    import torch

    content = read_file(path, _MOST_BYTES)
    # a TorchScript file is itself a zip: the published archive is recognised by the file inside
    content = read_parts(content, {FILE: _MOST_BYTES}, where=path, expected=_EXPECTED).get(FILE, content)
    _refuse_reaching_out(content, path)
    try:
        network = torch.jit.load(io.BytesIO(content), map_location="cpu")
    except (RuntimeError, OSError, ValueError) as error:
        raise _unreadable(path, str(error).strip().partition("\n")[0]) from error
    mpp = getattr(network, "pixel_size", None)
    if not isinstance(mpp, int | float) or not _MPP[0] <= mpp <= _MPP[1]:
        raise WeightsError(
            "this model does not say at what microns per pixel it works", where=path, expected="a model of InstanSeg"
        )
    return network


def _refuse_reaching_out(content: bytes, path: Path) -> None:
    """Look through the program in a TorchScript file; raises WeightsError."""
    if not content.startswith(_ZIP):  # torch also reads another form, without a program to look at
        raise _unreadable(path, "no zip")
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            names = [info for info in archive.infolist() if info.filename.endswith(".py")]
            if sum(info.file_size for info in names) > _MOST_PROGRAM:
                raise _unreadable(path, "a program that is too long")
            programs = [archive.read(info) for info in names]
    except (BadZipFile, OSError, RuntimeError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    found = {match.group().decode() for program in programs for match in _REACHES_OUT.finditer(program)}
    if found:
        raise WeightsError(
            "the program in this model reaches for files or libraries, which no segmenter needs",
            where=path,
            expected="a TorchScript model that only computes",
            found=", ".join(sorted(found)[:5]),
            fix="do not use this file; fetch the model from its authors",
        )


def _unreadable(path: Path, found: str) -> WeightsError:
    return WeightsError(
        "this is no readable InstanSeg model", where=path, expected=_EXPECTED, found=found, fix="fetch the file again"
    )
