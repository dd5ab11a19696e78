import numpy as np
import pytest

from histoscribe.domains.affinity import affinity
from histoscribe.domains.partition import Partitioner, merge_to


@pytest.fixture(scope="module")
def cut(field):
    return Partitioner(affinity(field.image[:, :6], graph=field.graph), field.image[:, :6], seed=0)


@pytest.mark.parametrize("k", [*range(1, 13), 50, 256])
def test_the_number_is_obeyed(cut, k):
    labels, _ = cut.exactly(k)
    assert np.array_equal(np.unique(labels), np.arange(k))


def test_every_number_up_to_that_of_the_spots_can_be_had(fields):
    small = fields(4, 4)
    cut = Partitioner(affinity(small.image, graph=small.graph), small.image, seed=0)
    assert [len(np.unique(cut.exactly(k)[0])) for k in range(1, 17)] == list(range(1, 17))


def test_an_answer_does_not_depend_on_what_was_asked_before(field):
    def fresh():
        return Partitioner(affinity(field.image[:, :6], graph=field.graph), field.image[:, :6], seed=0)

    used = fresh()
    for k in (9, 2, 12, 3):
        used.exactly(k)
    assert np.array_equal(used.exactly(5)[0], fresh().exactly(5)[0])


def test_the_pair_that_costs_least_is_merged():
    X = np.array([[0.0], [0.0], [1.0], [1.0], [9.0], [9.0]])
    labels = np.array([0, 0, 1, 1, 2, 2])
    assert merge_to(labels, X, 2).tolist() == [0, 0, 0, 0, 1, 1]


def test_of_equally_distant_ones_the_smaller_are_merged():
    # ward: n_a n_b / (n_a + n_b) times the squared distance; 1 and 1 cost 1/2, 1 and 4 cost 4/5
    X = np.array([[0.0]] * 4 + [[1.0], [2.0]])
    assert merge_to(np.array([0, 0, 0, 0, 1, 2]), X, 2).tolist() == [0, 0, 0, 0, 1, 1]
