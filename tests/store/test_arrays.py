"""Arrays whose damage is noticed: every chunk has a file, and a changed one does not decode."""

import json

import numpy as np
import pytest

from histoscribe.errors import ResultError
from histoscribe.store import arrays
from histoscribe.store.seal import seal


@pytest.fixture
def array(tmp_path):
    made = arrays.create(tmp_path / "a", shape=(100, 8), dtype=np.float32, chunks=(40, 8), attributes={"encoder": "x"})
    made[0:40] = np.random.default_rng(0).normal(size=(40, 8))
    made[40:80] = 0
    return made


def test_a_written_chunk_is_sound_even_when_it_is_all_zeros(array):
    assert [arrays.chunk_is_sound(array, (i, 0)) for i in range(3)] == [True, True, False]


@pytest.mark.parametrize("bit", range(0, 8 * 1200, 397))
def test_a_flipped_bit_makes_a_chunk_unsound(array, tmp_path, bit):
    chunk = tmp_path / "a" / "c" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    chunk.write_bytes(data)
    assert not arrays.chunk_is_sound(array, (0, 0))


def test_a_deleted_chunk_is_not_taken_for_zeros(array, tmp_path):
    (tmp_path / "a" / "c" / "1" / "0").unlink()
    assert not arrays.chunk_is_sound(array, (1, 0))


def test_missing_chunks_can_be_filled_in_later(array, tmp_path):
    again = arrays.open_array(tmp_path / "a", writable=True)
    again[80:100] = 0
    assert arrays.chunk_is_sound(again, (2, 0))
    assert dict(again.attrs) == {"encoder": "x"}


def test_reading_does_not_allow_writing(array, tmp_path):
    with pytest.raises(ValueError, match="read-only"):
        arrays.open_array(tmp_path / "a")[0:40] = 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"zarr_format": 3}'])
def test_a_damaged_description_is_named(array, tmp_path, text):
    (tmp_path / "a" / "zarr.json").write_text(text)
    with pytest.raises(ResultError, match="no readable array"):
        arrays.open_array(tmp_path / "a")


def test_seal_gives_another_librarys_store_checksums(tmp_path):
    import zarr

    values = np.arange(1000).reshape(50, 20)
    group = zarr.create_group(str(tmp_path / "s"))
    group.create_array("x", shape=values.shape, dtype=values.dtype, chunks=(20, 20))[...] = values
    group.create_array("scalar", shape=(), dtype="float64")[...] = 2.5
    zarr.consolidate_metadata(str(tmp_path / "s"))
    seal(tmp_path / "s")
    again = zarr.open_group(str(tmp_path / "s"), mode="r")
    assert (again["x"][...] == values).all()
    assert again["scalar"][...] == 2.5
    codecs = json.loads((tmp_path / "s" / "x" / "zarr.json").read_text())["codecs"]
    assert codecs[-1]["configuration"]["checksum"] is True
    assert all(arrays.chunk_is_sound(again["x"], (i, 0)) for i in range(3))


def test_seal_refuses_what_cannot_carry_checksums(tmp_path):
    import zarr

    zarr.create_array(str(tmp_path / "s"), shape=(3,), dtype="i4", compressors=None)[...] = 1
    with pytest.raises(ResultError, match="cannot carry checksums"):
        seal(tmp_path / "s")
