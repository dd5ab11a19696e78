import numpy as np
import pytest

from histoscribe.domains.consensus import consensus, reproducibility
from histoscribe.domains.metrics import adjusted_rand_index
from histoscribe.domains.stability import agreed
from histoscribe.errors import ConfigError


def test_a_finer_division_votes_with_the_domain_that_holds_most_of_each_part():
    lead = np.array([0, 0, 0, 0, 1, 1])
    finer = np.array([0, 0, 1, 1, 2, 2])
    labels, share = agreed([lead, finer], 2)
    assert labels.tolist() == lead.tolist()
    assert share.toarray().tolist() == [[1, 0]] * 4 + [[0, 1]] * 2


def test_the_odd_one_is_outvoted():
    good, odd = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 1, 1])
    labels, share = agreed([odd, good, good], 2)
    assert labels.tolist() == good.tolist()
    assert share[2].toarray()[0] == pytest.approx([2 / 3, 1 / 3])


def test_reproducibility_is_the_mean_jaccard_index():
    labels = np.array([0, 0, 0, 0, 1, 1])
    # domain 0 is found as 2 of its 4 spots, and whole; domain 1 whole both times
    divisions = [np.array([0, 0, 1, 1, 2, 2]), labels]
    assert reproducibility(labels, divisions) == [0.75, 1.0]


@pytest.fixture(scope="module")
def found(field):
    return consensus(field.blocks, method="niche", **field.places, n_domains=4, seed=0, weights={"position": 0.001})


def test_a_consensus_finds_the_domains(found, field):
    assert adjusted_rand_index(found.labels, field.truth) > 0.6
    assert np.array_equal(np.unique(found.labels), [1, 2, 3, 4])


def test_its_evidence_tells_each_division_and_each_domain(found):
    told = found.evidence
    assert len(told["consensus"]["divisions"]) == len(told["consensus"]["agreement"]) >= 7
    assert list(told["reproducibility"]) == ["1", "2", "3", "4"]
    assert all(0 <= value <= 1 for value in told["reproducibility"].values())
    assert 0 <= found.confidence.min() <= found.confidence.max() <= 1


def test_too_many_domains_are_refused_before_any_work(field):
    with pytest.raises(ConfigError, match="more domains than spots"):
        consensus(field.blocks, method="niche", **field.places, n_domains=10**6, seed=0)
