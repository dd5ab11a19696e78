"""A TorchScript model is a program: one that reaches for files or libraries is refused before any of it runs."""

import io
import zipfile

import pytest
import torch

from histoscribe.errors import WeightsError
from histoscribe.nuclei.torchscript import read_torchscript


class Computes(torch.nn.Module):
    pixel_size: float

    def __init__(self) -> None:
        super().__init__()
        self.pixel_size = 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) + x.mean()


class Writes(Computes):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, "written_by_a_model.bin")
        return x


class Reads(Computes):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_file("/etc/hostname", False, 1, dtype=torch.uint8)


@pytest.fixture
def saved(tmp_path):
    def save(module, change=lambda text: text):
        buffer, path = io.BytesIO(), tmp_path / "instanseg.pt"
        torch.jit.save(torch.jit.script(module), buffer)
        with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
            for info in old.infolist():
                content = old.read(info)
                new.writestr(info.filename, change(content) if info.filename.endswith(".py") else content)
        return path

    return save


def test_a_program_that_computes_is_read(saved):
    assert read_torchscript(saved(Computes())).pixel_size == 0.5


@pytest.mark.parametrize("module", [Writes, Reads])
def test_a_program_that_reaches_for_files_is_refused(saved, module):
    with pytest.raises(WeightsError, match="reaches for files or libraries"):
        read_torchscript(saved(module()))


@pytest.mark.parametrize(
    "reach",
    [
        *(b"torch.save", b"torch . save", b"torch\\\n.\nsave", b"ops.aten.save", b"ops.aten.from_file"),
        *(b"__torch__.torch.classes.a.B", b"torch.classes.a.B", b"ops.c10d.send", b"ops.symm_mem.x", b"ops.mine.run"),
    ],
)
def test_so_is_one_that_writes_it_in_another_way(saved, reach):
    with pytest.raises(WeightsError, match="reaches for files or libraries"):
        read_torchscript(saved(Computes(), lambda text: text.replace(b"torch.relu", reach)))


def test_so_is_one_inside_the_published_archive(saved, tmp_path):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(saved(Writes()), "model/instanseg.pt")
    with pytest.raises(WeightsError, match="reaches for files or libraries"):
        read_torchscript(path)


def test_another_form_before_the_zip_is_refused(saved):
    path = saved(Computes())
    path.write_bytes(b"\0\0\0\0PTMF" + path.read_bytes())
    with pytest.raises(WeightsError, match="no readable"):
        read_torchscript(path)


@pytest.mark.parametrize("mpp", [0.0, -1.0, float("nan"), 1e9])
def test_a_scale_that_is_none_is_refused(saved, mpp):
    module = Computes()
    module.pixel_size = mpp
    with pytest.raises(WeightsError, match="microns per pixel"):
        read_torchscript(saved(module))
