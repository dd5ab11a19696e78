"""Place helps where sections are serial, and is left alone where they are not."""

import numpy as np
import pytest

from histoscribe.predict import HEADS, Inputs


def cohort(kinds, *, seed=0, side=12):
    """Sections of specimens; two targets follow places in the specimen that the appearance shows poorly."""
    rng = np.random.default_rng(seed)
    blocks, targets, labels, places = [], [], [], []
    for number, kind in enumerate(kinds):
        of_kind = np.random.default_rng(100 + kind)
        waves, phases = of_kind.normal(size=(16, 5, 2)) * 2.5, of_kind.uniform(0, 6, (16, 5))
        grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=2).reshape(-1, 2) * 0.25
        xy = grid - grid.mean(axis=0)
        look = np.cos(np.einsum("kwd,nd->nkw", waves, xy) + phases).sum(axis=2)
        blocks.append(look + rng.normal(0, 1.0, look.shape))
        hidden = of_kind.normal(size=(2, 2)) * 4
        targets.append(np.sin(xy @ hidden) + rng.normal(0, 0.3, (len(xy), 2)))
        places.append(xy)
        labels += [f"S{number}"] * len(xy)
    image, position = (np.concatenate(one).astype(np.float32) for one in (blocks, places))
    X = Inputs({"image@112": image, "position": position}, None, np.array(labels))
    return X, np.concatenate(targets)


def fitted(kinds, name="serial"):
    X, Y = cohort(kinds)
    return HEADS.get(name)(rank=4, landmarks=64).fit(X, Y, X.section)


def skill(head, X, Y):
    P = head.predict(X)
    return np.mean([np.corrcoef(P[:, t], Y[:, t])[0, 1] for t in range(Y.shape[1])])


@pytest.fixture(scope="module")
def serial():
    return fitted([1, 1, 1])


def test_place_explains_what_the_appearance_of_a_spot_does_not(serial):
    X, Y = cohort([1], seed=5)
    assert skill(serial, X, Y) > skill(fitted([1, 1, 1], "lowrank"), X, Y) + 0.1


def test_a_section_of_something_else_is_predicted_by_its_appearance_alone(serial):
    X, _ = cohort([7], seed=5)
    np.testing.assert_array_equal(serial.predict(X), fitted([1, 1, 1], "lowrank").predict(X))


def test_it_says_whether_place_was_used(serial):
    same, other, apart = cohort([1], seed=5)[0], cohort([7], seed=5)[0], fitted([1, 2, 3])
    assert [("place" in said) for said in (*serial.remarks(same), *serial.remarks(other))] == [True, False]
    assert apart.remarks(same) == ("the training sections are no serial sections: predicted from appearance alone",)


def test_training_sections_of_different_specimens_have_no_frame():
    assert fitted([1, 2, 3]).frame_ is None


def test_a_model_with_a_frame_is_read_back(serial):
    X, _ = cohort([1], seed=5)
    again = HEADS.get("serial")(**serial.params()).with_state(serial.state())
    assert serial.frame_ is not None
    assert again.predict(X).tobytes() == serial.predict(X).tobytes()


def test_where_the_middle_of_a_section_is_put_changes_nothing(serial):
    X, _ = cohort([1], seed=5)
    moved = Inputs({**X.blocks, "position": X.blocks["position"] + np.float32(3.0)}, None, X.section)
    np.testing.assert_allclose(serial.predict(moved), serial.predict(X), atol=1e-4)
