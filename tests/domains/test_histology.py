import json
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, roc_auc_score

from histoscribe.domains.histology import histology, ordered
from histoscribe.domains.stability import matched


@pytest.fixture(scope="module")
def found(field):
    return histology(field.blocks, **field.places, n_domains=4, seed=0)


def test_domains_of_a_noisy_field_are_found(field, found):
    assert adjusted_rand_score(field.truth, found.labels) > 0.85  # about 0.95; k-means on the same features: below 0.3


def test_labels_run_from_the_largest_domain_down(found):
    sizes = np.bincount(found.labels)[1:]
    assert list(sizes) == sorted(sizes, reverse=True)


def test_two_seeds_find_nearly_the_same(field, found):
    other = histology(field.blocks, **field.places, n_domains=4, seed=5)
    assert adjusted_rand_score(found.labels, other.labels) > 0.9


def test_spots_of_low_confidence_are_wrong_more_often(hard_field):
    result = histology(hard_field.blocks, **hard_field.places, n_domains=4, seed=0)
    right = matched(result.labels - 1, hard_field.truth, 4) == hard_field.truth
    assert 20 < (~right).sum() < 300  # hard enough to show a difference
    assert roc_auc_score(right, result.confidence) > 0.7
    sure = result.confidence > 0.85
    assert right[sure].mean() > right[~sure].mean() + 0.15


def test_confidence_is_the_share_of_repeats_that_agree(found):
    votes = found.confidence * found.evidence["repeats"]
    assert votes == pytest.approx(np.round(votes))
    assert 0 <= found.confidence.min() < found.confidence.max() <= 1


def test_a_number_is_chosen_near_the_truth_with_its_curve(field):
    result = histology(field.blocks, **field.places, n_domains=None, seed=0)
    choice = result.evidence["choice"]
    assert abs(choice["chosen"] - 4) <= 1
    assert choice["chosen"] == len(np.unique(result.labels)) == result.evidence["n_domains"]
    assert len(choice["stability"]) == len(choice["numbers"])
    assert choice["chosen"] in choice["admissible"]


def test_choosing_a_number_gives_what_asking_for_it_gives(field):
    chosen = histology(field.blocks, **field.places, n_domains=None, seed=0)
    asked = histology(field.blocks, **field.places, n_domains=chosen.evidence["n_domains"], seed=0)
    assert np.array_equal(chosen.labels, asked.labels)
    assert np.array_equal(chosen.confidence, asked.confidence)


def test_the_evidence_is_json_and_says_what_was_asked(found):
    assert json.loads(json.dumps(found.evidence, allow_nan=False)) == found.evidence
    assert found.evidence["requested"] == found.evidence["n_domains"] == 4
    assert found.evidence["blocks"]["image"]["weight"] == 1.0


def test_a_large_section_is_clustered_in_patches(fields):
    large = fields(90, 80, noise=3.0)
    result = histology(large.blocks, **large.places, n_domains=4, seed=0)
    assert 4000 <= result.evidence["patches"] < 7200
    assert adjusted_rand_score(large.truth, result.labels) > 0.85


def test_nuclei_help_where_they_know_more_than_the_picture(fields):
    field, blind = fields(seed=4), np.random.default_rng(0).normal(size=(26 * 24, 20))
    nuclei = np.eye(4)[field.truth] + np.random.default_rng(1).normal(0, 0.7, (len(blind), 4))
    alone = histology({"image": blind}, **field.places, n_domains=4, seed=0)
    both = histology({"image": blind, "nuclei": nuclei}, **field.places, n_domains=4, seed=0)
    assert adjusted_rand_score(field.truth, both.labels) > adjusted_rand_score(field.truth, alone.labels) + 0.3


def test_domains_are_ordered_by_size_and_then_by_place():
    assert ordered(np.array([7, 5, 5, 9, 2, 2])).tolist() == [3, 1, 1, 4, 2, 2]


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from conftest import make_field
from histoscribe.domains.histology import histology
field = make_field(20, 18)
result = histology(field.blocks, **field.places, n_domains=4, seed=3)
sys.stdout.write(result.labels.tobytes().hex() + result.confidence.tobytes().hex())
"""


def test_processes_and_threads_do_not_change_a_bit():
    def run(threads):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, str(threads))}
        command = [sys.executable, "-c", SCRIPT, os.path.dirname(__file__)]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    assert run(1) == run(2) != ""
