"""Segmenter "instanseg" on a small TorchScript model that calls dark squares nuclei."""

import http.server
import sys
import threading
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from histoscribe.errors import ConfigError, WeightsError
from histoscribe.nuclei import instanseg
from histoscribe.nuclei.instanseg import InstanSegSegmenter
from histoscribe.run.nuclei import nuclei
from histoscribe.run.section.settings import NucleiSettings

pytest.importorskip("instanseg", reason="the extra instanseg is not installed")
SQUARE = 16


class DarkSquares(torch.nn.Module):
    """Numbers the dark pixels by the square of a grid in which they lie, leaving gaps in the numbers."""

    pixel_size: float
    cells_and_nuclei: bool

    def __init__(self) -> None:
        super().__init__()
        self.pixel_size = 0.5
        self.cells_and_nuclei = False

    def forward(self, x: torch.Tensor, target_segmentation: torch.Tensor) -> torch.Tensor:
        dark = x.mean(1, keepdim=True) < 0.5
        row = torch.arange(x.shape[2])[:, None] // 16
        column = torch.arange(x.shape[3])[None] // 16
        return dark * (3 * (row * 1000 + column) + 7).to(torch.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "instanseg.pt"
    torch.jit.script(DarkSquares()).save(str(path))
    return path


@pytest.fixture(scope="module")
def archive(model) -> Path:
    path = model.with_name("brightfield_nuclei.zip")
    with zipfile.ZipFile(path, "w") as made:
        made.write(model, "brightfield_nuclei/instanseg.pt")
        made.writestr("brightfield_nuclei/rdf.yaml", "name: brightfield_nuclei")
    return path


@pytest.fixture
def rgb():
    """Three dark squares on light ground, each within one square of the model's grid."""
    picture = np.full((80, 112, 3), 230, np.uint8)
    for row, column in ((0, 0), (2, 1), (3, 5)):
        picture[row * 16 + 3 : row * 16 + 12, column * 16 + 3 : column * 16 + 12] = (90, 40, 120)
    return picture


def test_it_works_at_the_scale_that_the_model_says(model):
    assert InstanSegSegmenter(model).mpp == 0.5


def test_instances_are_numbered_without_gaps(model, rgb):
    found = InstanSegSegmenter(model).prepare([rgb]).segment(rgb)
    assert found.labels.dtype == np.int32
    assert found.labels.max() == 3
    assert [(found.labels == number).sum() for number in (1, 2, 3)] == [81, 81, 81]
    assert found.labels[3, 3] == 1
    assert found.labels[0, 0] == 0


def test_a_picture_full_of_nuclei_has_no_background(model):
    dark = np.full((SQUARE, 2 * SQUARE, 3), 40, np.uint8)  # what is darker is no tissue
    dark[0, 0] = 41  # a picture of one colour is not looked at
    light = np.full_like(dark, 255)
    found = InstanSegSegmenter(model).prepare([dark, light]).segment(dark)
    assert np.unique(found.labels).tolist() == [1, 2]


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_of_one_colour_has_no_nuclei(model, rgb, level):
    flat = np.full((48, 64, 3), level, np.uint8)
    for prepared in (InstanSegSegmenter(model).prepare([rgb]), InstanSegSegmenter(model).prepare([flat])):
        assert prepared.segment(flat).labels.max() == 0


def test_the_zip_gives_what_the_file_gives(model, archive, rgb):
    one, other = (InstanSegSegmenter(path).prepare([rgb]).segment(rgb).labels for path in (model, archive))
    assert np.array_equal(one, other)


def test_brightness_is_measured_on_the_slide_and_not_on_each_picture(model, rgb):
    prepared = InstanSegSegmenter(model).prepare([rgb])
    assert prepared.segment(rgb[:, :32]).labels.max() == 2
    assert prepared.segment(np.full((32, 32, 3), 200, np.uint8)).labels.max() == 0


def test_the_record_names_the_model_by_its_hash(model, rgb):
    record = InstanSegSegmenter(model).prepare([rgb]).record()
    assert record["model"] == "instanseg.pt"
    assert len(record["sha256"]) == 64
    assert np.shape(record["range"]) == (2, 3)


def test_unprepared_it_refuses(model, rgb):
    with pytest.raises(ConfigError, match="prepare"):
        InstanSegSegmenter(model).segment(rgb)


def test_the_command_takes_it(model, tmp_path):
    from PIL import Image

    from histoscribe.phantom import make_phantom

    picture = make_phantom(3, size_um=400, n_domains=3).image.read(100, 100, 512, 512)
    Image.fromarray(picture).save(tmp_path / "tile.png")
    settings = NucleiSettings("instanseg", model)
    [found] = nuclei(tmp_path / "tile.png", out=tmp_path / "out", mpp=0.5, settings=settings)
    assert found.facts["nuclei"] > 10


def test_without_the_package_the_error_says_how_to_get_it(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "instanseg", None)
    with pytest.raises(ConfigError, match=r"histoscribe\[instanseg\]"):
        _ = InstanSegSegmenter(model).mpp


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no such model"), (b"no zip", "no readable"), (b"PK\x03\x04 cut", "no readable")]
)
def test_what_is_no_model_is_refused(content, said, tmp_path):
    path = tmp_path / "instanseg.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=said):
        _ = InstanSegSegmenter(path).mpp


def test_a_torchscript_file_of_something_else_is_refused(tmp_path):
    torch.jit.script(torch.nn.ReLU()).save(str(tmp_path / "relu.pt"))
    with pytest.raises(WeightsError, match="microns per pixel"):
        _ = InstanSegSegmenter(tmp_path / "relu.pt").mpp


class TestPublishedModel:
    """Fetched once, from where the package says; here a server on this machine."""

    @pytest.fixture
    def server(self, archive, monkeypatch, tmp_path):
        monkeypatch.setattr("histoscribe.nuclei.instanseg.cache_folder", lambda: tmp_path / "cache")
        asked: list[str] = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                asked.append(self.path)

        serve = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(archive.parent)))
        threading.Thread(target=serve.serve_forever, daemon=True).start()
        self.base = f"http://127.0.0.1:{serve.server_port}"
        yield asked
        serve.shutdown()

    def test_it_is_fetched_once(self, server, monkeypatch, rgb):
        monkeypatch.setattr(instanseg, "_published", lambda: (f"{self.base}/brightfield_nuclei.zip", "1"))
        for _ in range(2):
            assert InstanSegSegmenter().prepare([rgb]).segment(rgb).labels.max() == 3
        assert len(server) == 1

    def test_where_it_cannot_be_fetched_the_message_gives_the_address(self, server, monkeypatch):
        monkeypatch.setattr(instanseg, "_published", lambda: (f"{self.base}/gone.zip", "1"))
        with pytest.raises(WeightsError, match="cannot be fetched") as caught:
            _ = InstanSegSegmenter().mpp
        assert "gone.zip" in str(caught.value)

    def test_the_installed_package_lists_the_model(self):
        url, version = instanseg._published()
        assert url.endswith("brightfield_nuclei.zip")
        assert version
