import numpy as np
import pytest
from scipy import sparse

from histoscribe.errors import InputError
from histoscribe.maps.autoencoder_programmes import find_programmes, fit_loadings


@pytest.fixture
def counts(rng):
    activity = rng.gamma(2.0, 0.5, (300, 3))
    loadings = rng.gamma(1.0, 1.0, (3, 30))
    return sparse.csr_matrix(rng.poisson(activity @ loadings * 10).astype(float)), activity, loadings


def library(counts):
    return np.asarray(counts.sum(axis=1)).ravel()


def test_the_mean_activity_gives_the_mean_of_every_gene(counts):
    found = find_programmes(counts[0], library(counts[0]), rank=3, most_genes=100, seed=0)
    mean = (counts[0].toarray() / library(counts[0])[:, None] * 1e4).mean(axis=0)
    assert np.allclose(found.loadings.sum(axis=0), mean[found.genes], rtol=1e-4)
    assert (found.loadings > 0).all()


def test_few_genes_have_a_channel_each(counts):
    found = find_programmes(counts[0][:, :4], library(counts[0]), rank=20, most_genes=100, seed=0)
    assert np.count_nonzero(found.loadings) == 4


def test_a_constant_gene_teaches_nothing(counts):
    held = sparse.csr_matrix(np.hstack([counts[0][:, :5].toarray(), np.zeros((300, 1))]))
    found = find_programmes(held, library(counts[0]), rank=3, most_genes=100, seed=0)
    assert list(found.genes) == [0, 1, 2, 3, 4]


def test_the_fit_finds_the_loadings_that_made_the_counts(counts):
    matrix, activity, loadings = counts
    found = fit_loadings(matrix, np.full(300, 1e5), activity)
    assert np.corrcoef(found.ravel(), loadings.ravel())[0, 1] > 0.98


def test_a_gene_that_was_never_counted_has_no_loadings(counts):
    assert not fit_loadings(sparse.csr_matrix((300, 2)), library(counts[0]), counts[1]).any()


def test_fitted_loadings_do_not_depend_on_how_genes_are_split(counts, monkeypatch):
    whole = fit_loadings(counts[0], library(counts[0]), counts[1])
    monkeypatch.setattr("histoscribe.maps.autoencoder_programmes._AT_ONCE", 7)
    assert np.allclose(fit_loadings(counts[0], library(counts[0]), counts[1]), whole)


@pytest.mark.parametrize("bad", [np.nan, -1.0, np.inf])
def test_counts_that_are_no_counts_are_refused(counts, bad):
    size = library(counts[0])
    counts[0].data[3] = bad
    with pytest.raises(InputError, match="no numbers or negative"):
        find_programmes(counts[0], size, rank=3, most_genes=100, seed=0)


def test_genes_that_never_vary_are_refused():
    with pytest.raises(InputError, match="too little was measured"):
        find_programmes(sparse.csr_matrix(np.ones((50, 3))), np.full(50, 3.0), rank=3, most_genes=100, seed=0)
