import numpy as np
from scipy import sparse

from histoscribe.graph.smooth import neighbour_mean

# 0 - 1 - 2   3
PATH = sparse.csr_matrix(np.array([[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0.0]]))


def test_a_spot_is_half_its_own_and_half_its_neighbours():
    values = np.array([[0.0], [4.0], [8.0], [9.0]])
    assert neighbour_mean(PATH, values).ravel().tolist() == [2.0, 4.0, 6.0, 9.0]


def test_the_own_share_can_be_set():
    assert neighbour_mean(PATH, np.array([0.0, 4.0, 8.0, 9.0]), own_share=0.25).tolist() == [3.0, 4.0, 5.0, 9.0]


def test_every_round_reaches_one_ring_further():
    values = np.array([8.0, 0.0, 0.0, 0.0])
    assert neighbour_mean(PATH, values)[2] == 0
    assert neighbour_mean(PATH, values, rounds=2)[2] == 1.0  # a quarter of 8 arrives at spot 1, half of that here
