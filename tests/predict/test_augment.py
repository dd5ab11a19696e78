"""Augmented tiles are tiles of the same shape; what is pasted never covers the labelled middle."""

import pytest
import torch

from histoscribe.predict.augment import CENTRE_SHARE, augmentation, cutmix_around_centre


@pytest.fixture
def tiles():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield torch.rand(6, 3, 48, 48)


def middle(side):
    edge = int(side * (1 - CENTRE_SHARE) / 2) + 1
    return slice(edge, side - edge)


def test_every_tile_is_changed_in_its_own_way(tiles):
    same = tiles[:1].repeat(6, 1, 1, 1)
    changed = augmentation()(same)
    assert changed.shape == same.shape
    assert 0 <= changed.min() <= changed.max() <= 1
    assert all((changed[a] != changed[b]).any() for a in range(6) for b in range(a))


def test_without_strength_a_tile_is_only_turned(tiles):
    changed = augmentation(0.0)(tiles)
    for before, after in zip(tiles, changed, strict=True):
        symmetries = [torch.rot90(t, k, (-2, -1)) for t in (before, before.flip(-1)) for k in range(4)]
        assert any(torch.equal(after, one) for one in symmetries)


def test_the_same_seed_gives_the_same_tiles(tiles):
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        found.append(augmentation()(tiles))
    assert torch.equal(*found)


@pytest.mark.parametrize("seed", range(12))
def test_cutmix_leaves_the_middle_that_the_label_speaks_of(tiles, seed):
    torch.manual_seed(seed)
    mixed = cutmix_around_centre(tiles)
    inside = middle(48)
    assert torch.equal(mixed[..., inside, inside], tiles[..., inside, inside])
    changed = (mixed != tiles).any(1)
    assert changed.flatten(1).any(1).all()
    pasted = torch.roll(tiles, 1, 0)  # every pixel is the tile's own or its neighbour's in the batch
    assert ((mixed == tiles) | (mixed == pasted)).all()
