"""Agreement of label pictures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from histoscribe.errors import InputError
from histoscribe.nuclei.metrics import score_nuclei

PICTURES = arrays(np.int32, (6, 7), elements=st.integers(0, 4))


def two_squares():
    labels = np.zeros((10, 20), np.int32)
    labels[2:6, 2:6], labels[2:6, 10:14] = 1, 2
    return labels


@given(known=PICTURES)
def test_a_picture_agrees_fully_with_itself_under_other_numbers(known):
    renamed = np.where(known > 0, 9 - known, 0)
    score = score_nuclei(renamed, known)
    assert (score.f1, score.pq, score.aji, score.dice) == pytest.approx((1, 1, 1, 1))


@given(found=PICTURES, known=PICTURES)
def test_scores_lie_between_nothing_and_one(found, known):
    score = score_nuclei(found, known)
    assert 0 <= score.pq <= score.f1 <= 1
    assert 0 <= score.aji <= 1


def test_a_missed_nucleus_costs_recall_alone():
    known = two_squares()
    score = score_nuclei(np.where(known == 1, 1, 0), known)
    assert (score.precision, score.recall, score.f1) == pytest.approx((1, 0.5, 2 / 3))
    assert score.aji == pytest.approx(0.5)  # 16 of 32 pixels


def test_two_nuclei_merged_are_one_false_and_two_missed():
    known = two_squares()
    score = score_nuclei((known > 0).astype(np.int32), known)
    assert score.f1 == 0  # the overlap with either is one half, and must be more
    assert score.dice == 1


def test_a_shifted_nucleus_has_the_overlap_worked_out_by_hand():
    known = np.zeros((8, 8), np.int32)
    known[2:6, 2:6] = 1
    score = score_nuclei(np.roll(known, 1, axis=1), known)
    assert score.pq == score.aji == pytest.approx(12 / 20)  # 12 pixels in common of 16 each


def test_pictures_of_two_sizes_are_refused():
    with pytest.raises(InputError, match="cannot be compared"):
        score_nuclei(np.zeros((3, 3), np.int32), np.zeros((3, 4), np.int32))
