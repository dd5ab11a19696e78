"""The quickest way is chosen once per machine and kind of network, only where its numbers agree."""

import json
from time import sleep

import numpy as np
import pytest

from histoscribe.encoders import Choice
from histoscribe.encoders.tuning import quickest, tuned

PLAIN, LAST, HALF = Choice("float32", False, 4), Choice("float32", True, 4), Choice("bfloat16", True, 4)


class Timed:
    """Encoder that takes the given time, and returns the given features."""

    def __init__(self, choice, seconds, features):
        self.choice, self.seconds, self.features = choice, seconds, features

    def encode(self, tiles):
        sleep(self.seconds if len(tiles) else 0)
        return np.tile(np.float32(self.features), (len(tiles), 1))


def builder(seconds, features=None, built=None):
    def build(choice):
        if built is not None:
            built.append(choice)
        return Timed(choice, seconds.get(choice, 0.05), (features or {}).get(choice, (1.0, 2.0)))

    return build


TILES = np.zeros((4, 8, 8, 3), np.uint8)


def chosen(seconds, features=None, batch_sizes=(4,)):
    return quickest(builder(seconds, features), [PLAIN, LAST, HALF], batch_sizes=batch_sizes, tiles=TILES)[0]


def test_the_quickest_way_is_taken():
    assert chosen({PLAIN: 0.05, LAST: 0.03, HALF: 0.01}) == HALF


def test_a_small_gain_does_not_move_from_the_plainer_way():
    assert chosen({PLAIN: 0.100, LAST: 0.098, HALF: 0.090}) == PLAIN


def test_a_way_whose_numbers_disagree_is_not_taken():
    assert chosen({PLAIN: 0.05, LAST: 0.03, HALF: 0.01}, {HALF: (2.0, 1.0)}) == LAST


def test_numbers_that_are_not_finite_are_not_taken():
    assert chosen({PLAIN: 0.05, LAST: 0.05, HALF: 0.01}, {HALF: (np.nan, 1.0)}) == PLAIN


def test_a_way_that_this_machine_cannot_run_is_not_taken():
    plain = builder({PLAIN: 0.05, LAST: 0.03})

    def build(choice):
        if choice.precision == "bfloat16":
            raise RuntimeError("not implemented for BFloat16")
        return plain(choice)

    choice, measured = quickest(build, [PLAIN, LAST, HALF], batch_sizes=(4,), tiles=TILES)
    assert choice == LAST
    assert measured[-1]["failed"] == "not implemented for BFloat16"


def test_the_batch_size_is_found_for_the_quickest_way():
    bigger = Choice("bfloat16", True, 16)
    assert chosen({PLAIN: 0.05, LAST: 0.03, HALF: 0.02, bigger: 0.005}, batch_sizes=(4, 16)) == bigger


@pytest.fixture
def tune():
    def run(built, kind="a"):
        build = builder({PLAIN: 0.01, LAST: 0.005}, built=built)
        return tuned(build, [PLAIN, LAST], batch_sizes=(4,), kind={"model": kind}, input_px=8).choice

    return run


def test_the_choice_is_measured_once_and_remembered(tune, own_cache):
    first, second = [], []
    assert tune(first) == tune(second)
    assert len(first) == 3
    assert len(second) == 1
    (kept,) = (own_cache / "tuning").glob("*.json")
    record = json.loads(kept.read_text())
    assert record["key"]["model"] == "a"
    assert len(record["measured"]) == 2


def test_another_kind_of_network_is_measured_by_itself(tune):
    tune([])
    built = []
    tune(built, kind="b")
    assert len(built) == 3


def test_a_damaged_record_is_measured_anew(tune, own_cache):
    tune([])
    (kept,) = (own_cache / "tuning").glob("*.json")
    kept.write_text("{")
    built = []
    tune(built)
    assert len(built) == 3


def test_without_a_cache_folder_it_is_measured_each_time(tune, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HISTOSCRIBE_CACHE", str(tmp_path / "file"))
    assert tune([]) == LAST
