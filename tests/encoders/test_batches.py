"""Batches keep their order, use several workers, and are halved where memory is short."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscribe.encoders.batches import run_batches


def numbered(n):
    return np.arange(n * 3, dtype=np.uint8).reshape(n, 1, 1, 3)


@given(n=st.integers(0, 60), size=st.integers(1, 20), workers=st.integers(1, 4))
def test_every_tile_is_encoded_once_in_its_order(n, size, workers):
    pieces = run_batches(lambda b: b[:, 0, 0].astype(np.float32), numbered(n), batch_size=size, workers=workers)
    assert all(len(piece) <= size for piece in pieces)
    np.testing.assert_array_equal(np.concatenate([np.empty((0, 3)), *pieces]), numbered(n)[:, 0, 0])


def test_workers_work_side_by_side():
    barrier = threading.Barrier(2, timeout=20)

    def meet(batch):
        barrier.wait()  # breaks unless two batches are in work at once
        return batch[:, 0, 0].astype(np.float32)

    assert len(run_batches(meet, numbered(4), batch_size=2, workers=2)) == 2


@pytest.mark.parametrize("fits", [1, 2, 3, 7])
def test_a_batch_that_does_not_fit_is_halved_until_it_does(fits):
    sizes = []

    def encode(batch):
        if len(batch) > fits:
            raise MemoryError
        sizes.append(len(batch))
        return batch[:, 0, 0].astype(np.float32)

    pieces = run_batches(encode, numbered(16), batch_size=16)
    np.testing.assert_array_equal(np.concatenate(pieces), numbered(16)[:, 0, 0])
    assert max(sizes) <= fits


def test_a_single_tile_that_does_not_fit_is_an_error():
    def encode(batch):
        raise MemoryError("too large")

    with pytest.raises(MemoryError, match="too large"):
        run_batches(encode, numbered(4), batch_size=4)


def test_another_error_is_not_taken_for_a_lack_of_memory():
    def encode(batch):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run_batches(encode, numbered(4), batch_size=4)
