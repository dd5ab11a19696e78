"""The streaming engine: right rows for every spot, resumable chunk by chunk, never mixing two works."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from histoscribe.encoders import Choice, EmbedSettings, build_encoder, embed, load_card, load_embedding
from histoscribe.encoders.card import Card
from histoscribe.errors import ConfigError, InputError, ResultError
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.tiles import read_tiles
from histoscribe.store import arrays

CARD = Card(name="mean", backend="none", licence="MIT", source="a test", input_px=16, dimension=6)
SMALL = EmbedSettings(chunk_tiles=32)


class MeanEncoder:
    """Mean and spread of each colour; counts its tiles, and fails on demand."""

    def __init__(self, card=CARD, choice=None, *, fail_after=10**9):
        self.card, self.choice, self.fail_after, self.seen = card, choice or Choice(), fail_after, 0

    def with_choice(self, choice):
        other = MeanEncoder(self.card, choice)
        other.origin = self
        return other

    def encode(self, tiles):
        self.seen += len(tiles)
        if self.seen > self.fail_after:
            raise KeyboardInterrupt
        return np.concatenate([tiles.mean(axis=(1, 2)), tiles.std(axis=(1, 2))], axis=1).astype(np.float32)


@pytest.fixture
def xy_px():
    return np.random.default_rng(0).uniform((0, 0), (600, 500), (150, 2))


def directly(slide, xy_px, tile_um=40.0):
    return MeanEncoder().encode(read_tiles(slide, xy_px, tile_um=tile_um, out_px=16))


def run(slide, xy_px, folder, encoder=None, **options):
    arguments = {"tile_um": 40.0, "folder": folder, "settings": SMALL} | options
    return embed(slide, xy_px, encoder or MeanEncoder(), **arguments)


def stored(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def chunk_files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "zarr.json")


def test_rows_are_in_the_order_of_the_spots(slide, xy_px, tmp_path):
    np.testing.assert_array_equal(run(slide, xy_px, tmp_path / "e"), directly(slide, xy_px))


def test_what_is_kept_is_read_back_in_the_order_of_the_spots(slide, xy_px, tmp_path):
    features = run(slide, xy_px, tmp_path / "e")
    np.testing.assert_array_equal(load_embedding(tmp_path / "e"), features)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunk=st.integers(1, 200), ahead=st.integers(1, 4), block=st.integers(50, 3000), n=st.integers(0, 60))
def test_no_setting_changes_the_result(slide, tmp_path_factory, chunk, ahead, block, n):
    xy_px = np.random.default_rng(n).uniform((0, 0), (600, 500), (n, 2))
    how = EmbedSettings(chunk_tiles=chunk, ahead=ahead, block_px=block)
    features = run(slide, xy_px, tmp_path_factory.mktemp("e") / "e", settings=how)
    np.testing.assert_array_equal(features, directly(slide, xy_px))


def test_progress_is_reported_after_each_chunk(slide, xy_px, tmp_path):
    calls = []
    run(slide, xy_px, tmp_path / "e", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(32, 150), (64, 150), (96, 150), (128, 150), (150, 150)]


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(slide, xy_px, tmp_path):
    whole = run(slide, xy_px, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(slide, xy_px, tmp_path / "broken", MeanEncoder(fail_after=70))
    encoder, calls = MeanEncoder(), []
    resumed = run(slide, xy_px, tmp_path / "broken", encoder, progress=lambda done, total: calls.append(done))
    assert encoder.seen == 150 - 64
    assert calls[0] == 64
    assert resumed.tobytes() == whole.tobytes()
    assert stored(tmp_path / "broken") == stored(tmp_path / "whole")


def test_what_is_complete_is_not_done_again(slide, xy_px, tmp_path):
    run(slide, xy_px, tmp_path / "e")
    encoder = MeanEncoder()
    run(slide, xy_px, tmp_path / "e", encoder)
    assert encoder.seen == 0


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "empty"])
def test_a_damaged_chunk_is_done_again_and_only_that_one(slide, xy_px, tmp_path, damage):
    whole = run(slide, xy_px, tmp_path / "e")
    before = stored(tmp_path / "e")
    victim = chunk_files(tmp_path / "e")[1]
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 4
    {
        "flip": lambda: victim.write_bytes(data),
        "truncate": lambda: victim.write_bytes(data[:-7]),
        "delete": victim.unlink,
        "empty": lambda: victim.write_bytes(b""),
    }[damage]()
    with pytest.raises(ResultError, match="1 chunks of the embedding are missing or damaged"):
        load_embedding(tmp_path / "e")
    encoder = MeanEncoder()
    assert run(slide, xy_px, tmp_path / "e", encoder).tobytes() == whole.tobytes()
    assert encoder.seen == 32
    assert stored(tmp_path / "e") == before


@pytest.mark.parametrize("change", ["tile", "card", "sha256", "spots", "order", "chunks", "pixels", "mpp"])
def test_other_work_is_never_mixed_in(slide, xy_px, tmp_path, change):
    with pytest.raises(KeyboardInterrupt):
        run(slide, xy_px, tmp_path / "e", MeanEncoder(fail_after=70))
    encoder, options = MeanEncoder(), {}
    if change == "tile":
        options["tile_um"] = 41.0
    elif change == "card":
        encoder = MeanEncoder(replace(CARD, name="another"))
    elif change == "sha256":
        encoder = MeanEncoder(replace(CARD, sha256="0" * 64))
    elif change == "spots":
        xy_px = xy_px + np.array([0.5, 0])
    elif change == "order":
        xy_px = xy_px[::-1]
    elif change == "chunks":
        options["settings"] = EmbedSettings(chunk_tiles=33)
    elif change == "pixels":
        slide = replace(slide, source=ArraySource([255 - slide.source.levels[0]]))
    elif change == "mpp":
        slide = replace(slide, mpp=1.01)
    fresh = run(slide, xy_px, tmp_path / "fresh", MeanEncoder(encoder.card), **options)
    assert run(slide, xy_px, tmp_path / "e", encoder, **options).tobytes() == fresh.tobytes()
    assert encoder.seen == len(xy_px)


@pytest.mark.parametrize("rubbish", ["an empty folder", "half a description", "another array"])
def test_rubbish_in_the_way_is_replaced(slide, xy_px, tmp_path, rubbish):
    folder = tmp_path / "e"
    folder.mkdir()
    if rubbish == "another array":
        arrays.write(folder / "x", np.zeros((150, 6), np.float32), chunk_rows=32)
        (folder / "x").rename(tmp_path / "x")
        folder.rmdir()
        (tmp_path / "x").rename(folder)
    elif rubbish == "half a description":
        (folder / "zarr.json").write_text('{"zarr_format": 3, "node_')
    np.testing.assert_array_equal(run(slide, xy_px, folder), directly(slide, xy_px))


def test_a_run_goes_on_the_way_it_began(slide, xy_px, tmp_path):
    began = Choice("bfloat16", True, 8)
    with pytest.raises(KeyboardInterrupt):
        run(slide, xy_px, tmp_path / "e", MeanEncoder(choice=began, fail_after=70))
    encoder = MeanEncoder(choice=Choice("float32", False, 4))
    used = []
    encoder.with_choice = lambda choice: used.append(choice) or MeanEncoder(choice=choice)
    run(slide, xy_px, tmp_path / "e", encoder)
    assert used == [began]
    assert encoder.seen == 0


def test_what_reading_raises_reaches_the_caller_and_leaves_what_was_done(slide, xy_px, tmp_path):
    class Torn:
        shapes = slide.source.shapes

        def __init__(self):
            self.left = 10

        def read(self, *window):
            self.left -= 1
            if self.left < 0:
                raise InputError("the picture is torn")
            return slide.source.read(*window)

    with pytest.raises(InputError, match="torn"):
        run(replace(slide, source=Torn()), xy_px, tmp_path / "e", settings=EmbedSettings(chunk_tiles=32, block_px=200))
    encoder = MeanEncoder()
    run(slide, xy_px, tmp_path / "e", encoder, settings=EmbedSettings(chunk_tiles=32, block_px=200))
    assert 0 < encoder.seen < 150


def test_reading_stops_when_encoding_fails(slide, xy_px, tmp_path):
    reads = []

    class Counting:
        shapes = slide.source.shapes

        def read(self, *window):
            reads.append(window)
            return slide.source.read(*window)

    how = EmbedSettings(chunk_tiles=4, ahead=2, block_px=2000)
    with pytest.raises(KeyboardInterrupt):
        run(replace(slide, source=Counting()), xy_px, tmp_path / "e", MeanEncoder(fail_after=0), settings=how)
    assert len(reads) <= 4 + 3  # a glance at four spots, then the chunk in work and two ahead


def test_no_spots_give_no_rows(slide, tmp_path):
    assert run(slide, np.empty((0, 2)), tmp_path / "e").shape == (0, 6)


@pytest.mark.parametrize(
    "bad", [np.array([[1.0, np.nan]]), np.array([1.0, 2.0]), np.zeros((3, 3)), np.array([[np.inf, 1.0]])]
)
def test_coordinates_that_cannot_be_used_are_refused(slide, tmp_path, bad):
    with pytest.raises(InputError, match="coordinates cannot be used"):
        run(slide, bad, tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_a_spot_far_outside_is_refused(slide, tmp_path):
    with pytest.raises(InputError, match="outside the image"):
        run(slide, np.array([[5000.0, 5000.0]]), tmp_path / "e")


@pytest.mark.parametrize("options", [{"tile_um": 0.0}, {"tile_um": np.nan}, {"settings": EmbedSettings(chunk_tiles=0)}])
def test_sizes_that_are_not_positive_are_refused(slide, xy_px, tmp_path, options):
    with pytest.raises(ConfigError, match="positive"):
        run(slide, xy_px, tmp_path / "e", **options)


def test_an_image_without_microns_is_refused(slide, xy_px, tmp_path):
    with pytest.raises(InputError, match="microns per pixel"):
        run(replace(slide, mpp=None), xy_px, tmp_path / "e")


@pytest.mark.parametrize("place", ["file", "file/e"])
def test_a_file_in_the_way_is_named_and_kept(slide, xy_px, tmp_path, place):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ResultError, match=r"in the way|not a folder"):
        run(slide, xy_px, tmp_path / place)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_embedding_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ResultError, match="no readable array"):
        load_embedding(tmp_path / "e")


def test_memory_does_not_grow_with_the_number_of_chunks(tmp_path):
    alive = []

    class Watching(MeanEncoder):
        def encode(self, tiles):
            import gc

            alive.append(sum(o.nbytes for o in gc.get_objects() if isinstance(o, np.ndarray) and o.ndim == 4))
            return super().encode(tiles)

    slide = SlideImage(ArraySource([np.zeros((400, 400, 3), np.uint8)]), mpp=1.0)
    xy_px = np.random.default_rng(0).uniform(0, 400, (640, 2))
    embed(slide, xy_px, Watching(), tile_um=40.0, folder=tmp_path / "e", settings=SMALL)
    assert max(alive) <= 4 * 32 * 16 * 16 * 3


KILLED = """
import sys, time, numpy as np
from pathlib import Path
from histoscribe.encoders import EmbedSettings, build_encoder, embed, load_card
from histoscribe.slide.image import ArraySource, SlideImage
pixels = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
slide = SlideImage(ArraySource([pixels]), mpp=1.0)
xy_px = np.random.default_rng(1).uniform(0, 400, (200, 2))
def report(done, total):
    print(done, flush=True)
    time.sleep(0.05)
embed(slide, xy_px, build_encoder(load_card("morphology")), tile_um=60.0, folder=Path(sys.argv[1]),
      settings=EmbedSettings(chunk_tiles=16), progress=report)
"""


def test_a_killed_process_loses_at_most_the_chunk_in_work(tmp_path):
    command = [sys.executable, "-c", KILLED]
    subprocess.run([*command, tmp_path / "whole"], check=True, capture_output=True, timeout=120)
    with subprocess.Popen([*command, tmp_path / "killed"], stdout=subprocess.PIPE, text=True) as process:
        for _ in range(4):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    assert len(chunk_files(tmp_path / "killed")) >= 4
    done = subprocess.run([*command, tmp_path / "killed"], check=True, capture_output=True, text=True, timeout=120)
    assert int(done.stdout.split()[0]) >= 64
    assert stored(tmp_path / "killed") == stored(tmp_path / "whole")


def test_a_real_network_over_a_slide_equals_encoding_its_tiles(weights_dir, slide, tmp_path):
    card = load_card(Path(__file__).parents[2] / "benchmarks" / "cards" / "resnet50v2_s3.toml")
    encoder = build_encoder(card)
    xy_px = np.random.default_rng(3).uniform(100, 400, (12, 2))
    tiles = read_tiles(slide, xy_px, tile_um=112.0, out_px=224)
    features = embed(slide, xy_px, encoder, tile_um=112.0, folder=tmp_path / "e", settings=SMALL)
    np.testing.assert_allclose(features, encoder.encode(tiles), rtol=1e-4, atol=1e-4)
