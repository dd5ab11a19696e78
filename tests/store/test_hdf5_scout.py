"""A damaged HDF5 file never ends or holds the process that reads it."""

import re
import struct
import time

import h5py
import numpy as np
import pytest

from histoscribe.errors import InputError
from histoscribe.store import hdf5_scout
from histoscribe.store.hdf5 import open_hdf5


@pytest.fixture
def file(tmp_path):
    """A file with a group, text as an attribute, and packed numbers."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as h5:
        h5.create_group("group").attrs["kind"] = "a text of any length"
        h5.create_dataset("numbers", data=np.arange(1000), chunks=(100,), compression="gzip")
    return path


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(hdf5_scout, "_PATIENCE_S", 3.0)


def test_a_sound_file_is_passed_and_gone_through_once(file):
    with open_hdf5(file) as h5:
        assert h5["numbers"][3] == 3
    begun = time.perf_counter()
    for _ in range(50):
        hdf5_scout.require_passable(file)
    assert time.perf_counter() - begun < 0.5


def test_a_file_that_leads_the_library_round_in_a_circle_is_refused(file):
    """The end of a heap of texts is written as an object of no length: HDF5 1.14 never comes past it."""
    data = bytearray(file.read_bytes())
    for heap in re.finditer(b"GCOL\x01", bytes(data)):
        place, (size,) = heap.start() + 16, struct.unpack_from("<Q", data, heap.start() + 8)
        while place < heap.start() + size:
            number, _, _, length = struct.unpack_from("<HHIQ", data, place)
            if number == 0:
                struct.pack_into("<Q", data, place + 8, 0)
                break
            place += 16 + -(-length // 8) * 8
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.h5: the HDF5 file is damaged") as caught, open_hdf5(file):
        pass
    assert "does not come to an end" in str(caught.value)


def test_a_file_that_ends_the_library_is_refused_and_the_next_is_read(file, tmp_path, monkeypatch):
    fatal = tmp_path / "fatal.py"
    fatal.write_text("import os, sys\nsys.stdin.readline()\nos.abort()\n")
    with monkeypatch.context() as patch:
        patch.setattr(hdf5_scout, "_PROGRAM", fatal)
        hdf5_scout._scout.cache_clear()
        with pytest.raises(InputError, match="crashes on it"):
            hdf5_scout.require_passable(file)
    hdf5_scout._end.cache_clear()
    hdf5_scout.require_passable(file)


def test_a_file_that_changed_is_gone_through_again(file):
    hdf5_scout.require_passable(file)
    misses = hdf5_scout._end.cache_info().misses
    file.write_bytes(file.read_bytes() + b"\0")
    hdf5_scout.require_passable(file)
    assert hdf5_scout._end.cache_info().misses == misses + 1
