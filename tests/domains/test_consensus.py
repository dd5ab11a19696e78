import numpy as np
import pytest

from histoscribe.domains.consensus import consensus, reproducibility
from histoscribe.domains.metrics import adjusted_rand_index
from histoscribe.errors import ConfigError


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


def test_its_evidence_lists_each_division_and_each_domain(found):
    evidence = found.evidence
    assert len(evidence["consensus"]["divisions"]) == len(evidence["consensus"]["agreement"]) >= 7
    assert list(evidence["reproducibility"]) == ["1", "2", "3", "4"]
    assert all(0 <= value <= 1 for value in evidence["reproducibility"].values())
    assert 0 <= found.confidence.min() <= found.confidence.max() <= 1


def test_too_many_domains_are_refused_before_any_work(field):
    with pytest.raises(ConfigError, match="more domains than spots"):
        consensus(field.blocks, method="niche", **field.places, n_domains=10**6, seed=0)
