"""The checks that every registered head must pass."""

import json

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from histoscribe.errors import ConfigError, InputError
from histoscribe.predict import HEADS, Inputs

# small enough for a test; every other argument as it comes
SMALL = {
    "knn": {"k": [3, 6]},
    "mlp": {"hidden": 16, "epochs": 6},
    "multiscale": {"epochs": 2},
    "multiscale_pixels": {"epochs": 1, "tile_px": 30, "width": 4, "device": "cpu"},
    "finetune": {"backbone": "test_resnet", "pretrained": False, "epochs": 1, "tile_px": 32, "device": "cpu"},
    "stack": {"heads": ["ridge", "knn"], "options": {"knn": {"k": [3, 6]}}},
}
N, TILE_PX = 48, 32


def data(seed=0, n=N):
    """Spots of three sections whose first target follows the first block; the last target is constant."""
    rng = np.random.default_rng(seed)
    own, around = rng.normal(size=(n, 6)).astype(np.float32), rng.normal(size=(n, 4)).astype(np.float32)
    Y = np.column_stack([own[:, 0], own @ rng.normal(size=6) + around[:, 0], rng.normal(size=n), np.full(n, 0.25)])
    blocks = {"image@112": own, "image@224": around, "image@448": own[:, :4] + around}
    sections = np.repeat(["A", "B", "C"], -(-n // 3))[:n]
    tiles = np.clip(128 + 40 * own[:, :3][:, None, None, :] + rng.normal(0, 4, (n, TILE_PX, TILE_PX, 3)), 0, 255)
    X = Inputs(blocks, tiles.astype(np.uint8), sections, 5 + own[:, 0].astype(np.float64))
    return X, (Y / 8 + 0.5).clip(0, 1), sections


def without_counts(X):
    return Inputs(X.blocks, X.tiles, X.section, None)


@pytest.fixture(params=HEADS.names())
def kind(request):
    return HEADS.get(request.param)


@pytest.fixture
def head(kind):
    return kind(**SMALL.get(kind.name, {}))


@pytest.fixture
def fitted(head):
    X, Y, groups = data()
    return head.fit(X, Y, groups)


def test_one_prediction_per_spot_and_target(fitted):
    X, Y, _ = data(1, n=9)
    P = fitted.predict(without_counts(X))
    assert (P.shape, P.dtype) == ((9, Y.shape[1]), np.float32)
    assert np.isfinite(P).all()


def test_fit_returns_the_head_itself(head):
    X, Y, groups = data()
    assert head.fit(X, Y, groups) is head


def test_it_bears_the_name_it_is_registered_under(kind):
    assert HEADS.get(kind.name) is kind
    assert kind.takes in ("features", "tiles")


def test_a_head_that_was_not_fitted_says_so(head):
    with pytest.raises(ConfigError, match="not fitted"):
        head.predict(data()[0])
    with pytest.raises(ConfigError, match="not fitted"):
        head.state()


def test_other_blocks_are_refused(fitted):
    if fitted.takes == "tiles" or fitted.name == "mean":  # they look at no block
        return
    X, _, _ = data()
    renamed = {f"other:{name}": block for name, block in X.blocks.items()}
    with pytest.raises((ConfigError, InputError), match="block"):
        fitted.predict(Inputs(renamed, X.tiles, X.section))


def test_blocks_are_joined_by_name_not_by_place(fitted):
    X, _, _ = data()
    turned = dict(reversed(list(X.blocks.items())))
    np.testing.assert_array_equal(fitted.predict(Inputs(turned, X.tiles, X.section)), fitted.predict(without_counts(X)))


def test_the_same_seed_gives_the_same_bytes_on_any_threads(kind):
    X, Y, groups = data()
    found = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            found.append(kind(**SMALL.get(kind.name, {})).fit(X, Y, groups).predict(without_counts(X)))
    assert found[0].tobytes() == found[1].tobytes()


def test_the_global_random_numbers_are_left_alone(kind):
    import torch

    X, Y, groups = data()
    state, before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002  (what others would use)
    kind(**SMALL.get(kind.name, {})).fit(X, Y, groups).predict(without_counts(X))
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_a_row_is_predicted_alike_in_any_company(fitted):
    X, _, _ = data()
    whole = fitted.predict(without_counts(X))
    order = np.random.default_rng(3).permutation(N)
    np.testing.assert_allclose(fitted.predict(without_counts(X).rows(order)), whole[order], atol=1e-5)
    np.testing.assert_allclose(fitted.predict(without_counts(X).rows(np.arange(1))), whole[:1], atol=1e-5)


def test_params_and_state_make_the_same_head_again(kind, fitted, tmp_path):
    from safetensors.numpy import load_file, save_file

    X, _, _ = data()
    state = {key: np.ascontiguousarray(value) for key, value in fitted.state().items()}
    save_file(state, str(tmp_path / "head.safetensors"))
    params = json.loads(json.dumps(fitted.params()))
    again = kind(**params).with_state(load_file(str(tmp_path / "head.safetensors")))
    assert again.predict(without_counts(X)).tobytes() == fitted.predict(without_counts(X)).tobytes()


def test_a_constant_target_is_predicted_as_it_is(fitted):
    X, _, _ = data(2, n=12)
    np.testing.assert_allclose(fitted.predict(without_counts(X))[:, -1], 0.53125, atol=0.12)


def test_one_spot_can_be_predicted(fitted):
    assert fitted.predict(without_counts(data(n=1)[0])).shape == (1, 4)


def test_targets_that_are_not_finite_are_refused(head):
    X, Y, groups = data()
    Y[3, 0] = np.nan
    with pytest.raises(InputError, match="finite"):
        head.fit(X, Y, groups)


def test_features_that_are_not_finite_are_refused(head):
    if head.takes == "tiles" or head.name == "mean":
        return
    X, Y, groups = data()
    X.blocks["image@112"][3, 0] = np.nan
    with pytest.raises(InputError, match="finite"):
        head.fit(X, Y, groups)


def test_rows_that_do_not_match_are_refused(head):
    X, Y, groups = data()
    with pytest.raises(InputError, match="match"):
        head.fit(X, Y[:-1], groups[:-1])


@pytest.mark.parametrize("labels", [2, 1, 0])
def test_two_groups_one_and_none_are_enough(head, labels):
    X, Y, _ = data()
    groups = np.array(["a", "b"])[np.arange(N) % 2] if labels == 2 else np.full(N, "a") if labels else None
    assert np.isfinite(head.fit(X, Y, groups).predict(without_counts(X))).all()


def test_what_was_given_is_not_changed(head):
    X, Y, groups = data()
    before = X.blocks["image@112"].copy(), Y.copy()
    head.fit(X, Y, groups).predict(without_counts(X))
    np.testing.assert_array_equal(X.blocks["image@112"], before[0])
    np.testing.assert_array_equal(Y, before[1])
