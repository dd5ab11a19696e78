import json

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from histoscribe.domains.transfer import UNLIKE, UNSURE, fit_transfer
from histoscribe.errors import ConfigError, InputError


@pytest.fixture(scope="module")
def patients(fields):
    """Two fields of one biology; the second in another stain: other mean, other contrast of every feature."""
    one, two = fields(noise=1.0, seed=4), fields(columns=24, rows=27, noise=1.0, seed=4)
    rng = np.random.default_rng(9)
    means = rng.normal(0, 1, (4, 48)) * 0.8
    stain = np.exp(rng.normal(0, 0.4, 48))

    def picture(field, seed):
        return means[field.truth] + np.random.default_rng(seed).normal(0, 1, (len(field.truth), 48))

    return (one, picture(one, 1)), (two, picture(two, 2) * stain + 5.0)


def fitted(section, labels=None, **more):
    field, image = section
    return fit_transfer(
        [image], [field.graph], [field.truth + 1 if labels is None else labels], xy_um=[field.xy_um], **more
    )


@pytest.fixture(scope="module")
def model(patients):
    return fitted(patients[0])


@pytest.fixture(scope="module")
def found(model, patients):
    field, image = patients[1]
    return model.predict(image, field.graph)


def test_domains_are_predicted_in_another_patient_of_another_stain(patients, found):
    assert adjusted_rand_score(patients[1][0].truth, found.likeliest) > 0.85
    assert (found.likeliest == patients[1][0].truth + 1).mean() > 0.9


def test_what_is_labelled_is_right_more_often_than_the_rest(patients):
    field, image = patients[1]
    rng = np.random.default_rng(5)
    train, slide = (i + rng.normal(0, 3, i.shape) for i in (patients[0][1], image))
    found = fitted((patients[0][0], train)).predict(slide, field.graph)
    right = found.likeliest == field.truth + 1
    assert 0 < found.abstained.sum() < 0.3 * len(right)
    assert right[~found.abstained].mean() > right[found.abstained].mean()


def test_abstention_has_no_label_and_a_reason(found):
    assert np.array_equal(found.abstained, found.reason != "")
    assert set(np.unique(found.reason)) <= {"", UNLIKE, UNSURE}
    assert (found.labels[found.abstained] == 0).all()
    assert np.array_equal(found.labels[~found.abstained], found.likeliest[~found.abstained])


def test_confidence_is_about_the_frequency_of_being_right(patients, found):
    right = found.likeliest == patients[1][0].truth + 1
    assert found.confidence.mean() == pytest.approx(right.mean(), abs=0.08)


def test_a_tissue_that_the_training_never_saw_is_called_unlike(patients):
    field, image = patients[1]
    strange = field.truth == 1
    other = image + np.where(strange[:, None], np.random.default_rng(3).normal(0, 6, 48), 0.0)
    labels = np.where(patients[0][0].truth == 1, 0, patients[0][0].truth + 1)
    result = fitted(patients[0], labels).predict(other, field.graph)
    assert (result.reason[strange] == UNLIKE).mean() > 0.8
    assert (result.reason[~strange] == UNLIKE).mean() < 0.2
    assert 2 not in result.labels


def test_domains_keep_their_numbers_and_spots_without_one_are_left_out(patients):
    field, _ = patients[0]
    labels = np.array([7, 3, 12, 0])[field.truth]
    model = fitted(patients[0], labels)
    assert model.domains.tolist() == [3, 7, 12]
    assert model.evidence["spots"] == int((labels > 0).sum())


def test_two_patients_are_held_out_in_turns(patients):
    (one, image), (two, other) = patients
    model = fit_transfer(
        [image, other],
        [one.graph, two.graph],
        [one.truth + 1, two.truth + 1],
        xy_um=[one.xy_um, two.xy_um],
        groups=["A", "B"],
    )
    assert model.evidence["held_out_groups"] == 2
    assert model.evidence["held_out_sections"]
    assert model.evidence["held_out_accuracy"] > 0.85
    assert json.loads(json.dumps(model.evidence)) == model.evidence


def test_the_order_of_spots_does_not_matter(model, patients, found):
    field, image = patients[1]
    order = np.random.default_rng(0).permutation(len(image))
    again = model.predict(image[order], field.graph[order][:, order])
    assert np.array_equal(again.likeliest, found.likeliest[order])


def test_a_class_that_only_one_patient_has_does_no_harm(patients):
    (one, image), (two, other) = patients
    model = fit_transfer(
        [image, other],
        [one.graph, two.graph],
        [np.where(one.truth == 3, 0, one.truth + 1), two.truth + 1],
        xy_um=[one.xy_um, two.xy_um],
    )
    assert model.domains.tolist() == [1, 2, 3, 4]


def spoilt(patients, **changes):
    field, image = patients[0]
    given = {"embeddings": [image], "graphs": [field.graph], "labels": [field.truth + 1], "xy_um": [field.xy_um]}
    given |= changes
    return fit_transfer(given.pop("embeddings"), given.pop("graphs"), given.pop("labels"), **given)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"labels": []}, InputError, "every section needs"),
        ({"embeddings": [], "graphs": [], "labels": [], "xy_um": []}, InputError, "every section needs"),
        ({"labels": [np.ones(624, int)]}, InputError, "nothing to distinguish"),
        ({"labels": [np.ones(10, int)]}, InputError, "labels do not fit"),
        ({"labels": [np.ones(624)]}, InputError, "labels do not fit"),
        ({"embeddings": [np.full((624, 48), np.nan)]}, InputError, "missing or infinite"),
        ({"embeddings": [np.ones((9, 48))]}, InputError, "does not fit"),
        ({"min_confidence": 1.5}, ConfigError, "between 0 and 1"),
    ],
)
def test_bad_training_data_is_refused_with_words(patients, changes, error, words):
    with pytest.raises(error, match=words):
        spoilt(patients, **changes)


def test_an_embedding_of_another_encoder_is_refused(model, patients):
    with pytest.raises(InputError, match="does not fit"):
        model.predict(patients[1][1][:, :20], patients[1][0].graph)


def test_a_slide_of_one_spot_is_answered(model):
    result = model.predict(np.zeros((1, 48)), sparse.csr_matrix((1, 1)))
    assert result.labels.shape == (1,)
