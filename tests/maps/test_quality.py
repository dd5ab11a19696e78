import numpy as np
import pytest
from scipy import sparse

from histoscribe.errors import InputError
from histoscribe.maps.quality import PUBLISHED, passing

NONE = dict.fromkeys(PUBLISHED)


@pytest.fixture
def counts():
    """Twenty spots that count every gene twice, but for one with a single gene and one with very many molecules."""
    made = np.full((20, 10), 2.0)
    made[0, 1:] = 0
    made[1] = 100
    made[2:, 9] = 0  # gene 9 is found in spot 1 alone
    return sparse.csr_matrix(made)


def test_spots_and_genes_beyond_the_limits_are_left_out(counts):
    limits = {"min_genes_per_spot": 2, "min_spots_per_gene": 1, "max_counts_per_spot": 999}
    found = passing(counts, limits, measured=np.ones(counts.shape[0], bool), where="S")
    assert np.flatnonzero(~found.spots).tolist() == [0, 1]
    assert np.flatnonzero(~found.genes).tolist() == [9]  # its only spot was left out
    assert found.record() == {
        "limits": limits,
        "spots_left_out": 2,
        "with_too_few_genes": 1,
        "with_too_many_counts": 1,
        "dead": 0,
        "genes_left_out": 1,
    }
    assert found.sentence() == (
        "quality control left out 2 of 20 spots (1 with fewer than 2 genes, 1 with more than 999 molecules) "
        "and 1 of 10 genes (in fewer than 1 spots)"
    )


def test_a_limit_is_itself_allowed(counts):
    limits = {"min_genes_per_spot": 9, "min_spots_per_gene": 18, "max_counts_per_spot": 1000}
    found = passing(counts, limits, measured=np.ones(counts.shape[0], bool), where="S")
    assert np.flatnonzero(~found.spots).tolist() == [0]
    assert np.flatnonzero(~found.genes).tolist() == [9]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_limit_that_is_not_set_leaves_nothing_out(counts, name):
    found = passing(counts, NONE | {name: 0}, measured=np.ones(counts.shape[0], bool), where="S")
    assert found.spots.all()
    assert found.genes.all()


def test_stored_zeros_are_no_molecules(counts):
    stored = counts.copy()
    stored.data[stored.indptr[3] : stored.indptr[4]] = 0
    assert not passing(
        stored, NONE | {"min_genes_per_spot": 1}, measured=np.ones(stored.shape[0], bool), where="S"
    ).spots[3]


@pytest.mark.parametrize("limits", [{"min_genes_per_spot": 10}, {"min_spots_per_gene": 21}])
def test_too_little_that_is_left_is_refused_with_what_left_it_out(counts, limits):
    with pytest.raises(InputError, match=r"leaves too little(.|\n)*quality control left out"):
        passing(counts, NONE | limits, measured=np.ones(counts.shape[0], bool), where="S")


def test_dead_spots_are_left_out_without_any_limit_and_are_not_counted_among_the_limits():
    rng = np.random.default_rng(0)
    counts = sparse.csr_matrix(rng.poisson(3.0, (40, 6)).astype(float))
    measured = np.arange(40) >= 4
    found = passing(counts, NONE | {"max_counts_per_spot": 20}, measured=measured, where="S")
    assert found.dead == 4
    assert not found.spots[:4].any()
    assert found.many_counts == (~found.spots[4:]).sum()
    assert f"{found.many_counts} of 36 spots" in found.sentence()
