"""The multiscale heads: every block or part of a tile has a branch, and the same seed ends in the same bytes."""

import numpy as np
import pytest

from histoscribe.errors import ConfigError
from histoscribe.predict.heads.multiscale import MultiscaleHead
from histoscribe.predict.heads.multiscale_pixels import MultiscalePixelsHead

RNG = np.random.default_rng(0)
GROUPS = np.repeat(["a", "b", "c"], 30)
NEAR, FAR = (RNG.normal(size=(90, 6)).astype(np.float32) for _ in range(2))
BLOCKS = {"image@112": NEAR, "image@448": FAR}
Y = np.column_stack([NEAR[:, 0], FAR[:, 0]])
SHADE = RNG.integers(60, 200, (96, 3, 3))  # of the nine parts of a tile
TILES = np.kron(SHADE, np.ones((1, 12, 12)))[..., None] + RNG.normal(0, 4, (96, 36, 36, 3))
TILES = TILES.clip(0, 255).astype(np.uint8)


def skill(P):
    return [float(np.corrcoef(P[:, k], Y[:, k])[0, 1]) for k in range(2)]


def test_it_learns_from_near_and_from_far():
    head = MultiscaleHead(epochs=40, learning_rate=5e-3).fit(BLOCKS, Y, GROUPS)
    assert min(skill(head.predict(BLOCKS))) > 0.6


def test_a_target_is_predicted_from_the_block_that_explains_it():
    head = MultiscaleHead(epochs=40, learning_rate=5e-3).fit(BLOCKS, Y, GROUPS)
    blind = BLOCKS | {"image@112": np.zeros_like(NEAR)}
    near, far = skill(head.predict(blind))
    assert far > 0.6 > 0.3 > abs(near)


def test_a_middle_that_decides_is_found_by_the_branches():
    middle = SHADE[:, 1, 1][:, None] / 255.0
    head = MultiscalePixelsHead(tile_px=36, width=4, epochs=20, learning_rate=5e-3)
    found = head.fit(TILES, middle, np.arange(96) % 3).predict(TILES)
    assert np.corrcoef(found[:, 0], middle[:, 0])[0, 1] > 0.8


def test_the_same_seed_gives_the_same_model_to_the_byte():
    states = [
        MultiscalePixelsHead(tile_px=36, width=4, epochs=1, seed=5).fit(TILES, SHADE[:, :2, 0], None).state()
        for _ in range(2)
    ]
    assert {key: value.tobytes() for key, value in states[0].items()} == {
        key: value.tobytes() for key, value in states[1].items()
    }


@pytest.mark.parametrize("wrong", [{"tile_px": 40}, {"width": 0}, {"epochs": 0}])
def test_a_network_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match="multiscale_pixels"):
        MultiscalePixelsHead(**wrong)
