import numpy as np
import pytest
from scipy import sparse

from histoscribe.domains.histology import histology
from histoscribe.domains.metrics import (
    adjusted_rand_index,
    missing_labels,
    normalised_mutual_information,
    score_domains,
    spatial_coherence,
)
from histoscribe.errors import InputError

# 0 - 1 - 2 - 3
PATH = sparse.diags([np.ones(3), np.ones(3)], [-1, 1], format="csr")


def test_ari_of_a_table_counted_by_hand():
    # truth 3 + 3, found {2 | 1, 1 | 2}: pairs together in both 1 + 1 = 2, in truth 6, in found 1 + 1 + 1 = 3, of 15:
    # (2 - 6 * 3 / 15) / ((6 + 3) / 2 - 6 * 3 / 15) = 0.8 / 3.3
    assert adjusted_rand_index(np.array([1, 1, 2, 2, 3, 3]), np.array(list("aaabbb"))) == pytest.approx(0.8 / 3.3)


def test_nmi_of_a_table_counted_by_hand():
    # found splits each half of the truth: mutual information ln 2, entropies ln 2 and ln 4
    labels, truth = np.array([1, 2, 3, 4]), np.array([0, 0, 1, 1])
    assert normalised_mutual_information(labels, truth) == pytest.approx(np.log(2) / ((np.log(2) + np.log(4)) / 2))


def test_coherence_is_the_share_of_neighbouring_pairs_with_one_label():
    assert spatial_coherence(np.array([1, 1, 2, 2]), PATH) == pytest.approx(2 / 3)


def test_coherence_without_neighbours_is_not_a_number():
    assert np.isnan(spatial_coherence(np.array([1, 2]), sparse.csr_matrix((2, 2))))


def test_none_nan_and_empty_labels_are_missing():
    assert missing_labels(np.array(["a", None, np.nan, "", " ", 0], object)).tolist() == [0, 1, 1, 1, 1, 0]
    assert missing_labels(np.array([1.0, np.nan])).tolist() == [False, True]


@pytest.fixture(scope="module")
def scores(field):
    truth = field.truth.astype(object)
    truth[:30] = None
    labels = field.truth + 1
    colour = field.image[:, :3]
    return score_domains(labels, truth, **field.places, colour=colour, seed=0)


def test_the_truth_scores_one_and_stands_beside_lower_floors(scores):
    for name in ("ari", "nmi"):
        assert scores[name]["score"] == pytest.approx(1.0)
        assert 0 <= scores[name]["coordinates"] < 0.9
        assert -0.1 <= scores[name]["colour"] < 0.9


def test_spots_without_truth_are_dropped_and_counted(scores, field):
    assert scores["dropped"] == 30
    assert scores["scored"] == len(field.truth) - 30


def test_the_floor_is_the_same_method_with_the_same_number_of_domains(field, scores):
    found = histology({"position": field.xy_um}, **field.places, n_domains=4, seed=0, weights={"position": 1.0}).labels
    assert scores["ari"]["coordinates"] == pytest.approx(adjusted_rand_index(found[30:], field.truth[30:]))


def test_a_floor_does_not_depend_on_the_labels_that_are_scored(field, scores):
    shuffled = np.random.default_rng(0).permutation(field.truth + 1)
    again = score_domains(shuffled, field.truth, **field.places, colour=field.image[:, :3], seed=0)
    assert again["ari"]["score"] == pytest.approx(0, abs=0.03)
    assert again["coherence"]["coordinates"] == scores["coherence"]["coordinates"]


def test_renaming_labels_changes_no_score(field):
    labels = field.truth.copy()
    labels[::7] = 0
    renamed = np.array([30, 10, 40, 20])[labels]
    places = {**field.places, "colour": None, "seed": 0}
    first, again = (score_domains(found, field.truth, **places) for found in (labels, renamed))
    for name in ("ari", "nmi", "coherence"):
        assert again[name] == pytest.approx(first[name])


def test_without_a_picture_there_is_no_colour_floor(field):
    scores = score_domains(field.truth, field.truth, **field.places, colour=None, seed=0)
    assert scores["ari"]["colour"] is None
    assert scores["ari"]["coordinates"] is not None


def test_a_picture_of_one_colour_knows_nothing(field):
    scores = score_domains(field.truth, field.truth, **field.places, colour=np.ones((624, 3)), seed=0)
    assert scores["ari"]["colour"] == 0.0


@pytest.mark.parametrize(
    ("labels", "truth", "words"),
    [
        (np.ones(3), np.ones(624), "different numbers of spots"),
        (np.ones(624), np.ones(3), "different numbers of spots"),
        (np.ones(624), np.full(624, None), "no spot has a known domain"),
    ],
)
def test_what_cannot_be_scored_is_refused(field, labels, truth, words):
    with pytest.raises(InputError, match=words):
        score_domains(labels, truth, **field.places, colour=None, seed=0)
