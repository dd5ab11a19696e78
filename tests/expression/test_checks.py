"""Only counts pass for counts."""

import numpy as np
import pytest
from scipy import sparse

from histoscribe.errors import InputError
from histoscribe.expression.checks import check_counts

COUNTS = np.array([[0, 3, 1], [2, 0, 5]])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, lambda x: sparse.csc_matrix(x.astype(np.float32))])
def test_whole_numbers_pass(kind):
    check_counts(kind(COUNTS), where="section 'S'")


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (np.log1p(COUNTS), "whole numbers"),
        (COUNTS - 1.0, "negative"),
        (np.where(COUNTS == 3, np.nan, COUNTS), "not finite"),
        (0 * COUNTS, "every count is 0"),
    ],
)
def test_what_is_no_count_is_refused_with_the_section_and_a_reason(wrong, word):
    with pytest.raises(InputError, match=word) as caught:
        check_counts(sparse.csr_matrix(wrong), where="section 'S'")
    assert caught.value.where == "section 'S'"
    assert caught.value.fix


def test_logarithms_are_named_by_an_example():
    with pytest.raises(InputError) as caught:
        check_counts(np.log1p(COUNTS), where="section 'S'")
    assert "logarithms" in caught.value.found
