"""What was measured belongs together or is refused."""

import numpy as np
import pytest
from scipy import sparse

from histoscribe.errors import InputError
from histoscribe.expression.measured import Measured

COUNTS = sparse.csr_matrix(np.array([[1.0, 2.0], [0.0, 4.0]]))


def test_the_library_is_the_sum_of_the_counts_where_it_is_not_given():
    assert Measured("S", COUNTS, ("A", "B")).molecules().tolist() == [3.0, 4.0]


def test_a_given_library_is_taken():
    assert Measured("S", COUNTS, ("A", "B"), library=np.array([10.0, 20.0])).molecules().tolist() == [10.0, 20.0]


def test_depth_is_the_logarithm_of_one_more_than_the_molecules():
    np.testing.assert_allclose(Measured("S", COUNTS, ("A", "B")).depth(), np.log([4.0, 5.0]))


def test_tables_of_other_spots_are_refused():
    with pytest.raises(InputError, match="different numbers of spots") as caught:
        Measured("S", COUNTS, ("A", "B"), abundance=np.ones((3, 2)), cell_types=("x", "y"))
    assert "abundance 3" in caught.value.found


def test_names_must_be_as_many_as_columns():
    with pytest.raises(InputError, match="differ in number"):
        Measured("S", COUNTS, ("A",))


def test_a_name_stands_once():
    with pytest.raises(InputError, match="more than once"):
        Measured("S", COUNTS, ("A", "A"))


def test_a_section_without_genes_says_so():
    with pytest.raises(InputError, match="no genes were counted"):
        Measured("S", abundance=np.ones((3, 1)), cell_types=("x",)).require_counts()
