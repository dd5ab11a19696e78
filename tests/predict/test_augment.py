"""Augmented tiles are tiles of the same shape and stain; what is pasted never covers the labelled middle."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2hsv

from histoscribe import SlideImage, make_phantom
from histoscribe.predict.augment import CENTRE_SHARE, GROUPS, PROBABILITIES, augmentation, cutmix_around_centre
from histoscribe.predict.augment_look import LOOKS
from histoscribe.predict.augment_shape import WARPS, identity_grid, sampled
from histoscribe.slide.tiles import read_tiles


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


NEVER = dict.fromkeys(PROBABILITIES, 0.0)


@pytest.fixture(scope="module")
def stained():
    """Tiles of a phantom's tissue, (12, 3, 64, 64)."""
    phantom = make_phantom(3, size_um=400.0, mpp=1.0)
    image = SlideImage(phantom.image, mpp=phantom.mpp)
    tiles = read_tiles(image, phantom.spots().obsm["spatial"][:12], tile_um=64.0, out_px=64)
    return torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("name", sorted(set(PROBABILITIES) - {"cutmix"}))
def test_every_change_has_a_switch(stained, name):
    always = augmentation(1.0, NEVER | {name: 1.0})(stained)
    assert always.shape == stained.shape
    assert 0 <= always.min() <= always.max() <= 1
    changed = (always != stained).flatten(1).any(1).float().mean()
    assert changed == 1 if name != "rot90" else changed > 0.3  # a quarter turn is none in one of four cases
    assert torch.equal(augmentation(1.0, NEVER)(stained), stained)


def test_of_a_group_a_tile_undergoes_at_most_one_as_often_as_its_probabilities_say(monkeypatch):
    undergone = []
    counting = {name: lambda tile, name=name: (undergone.append(name), tile)[1] for name in LOOKS}
    monkeypatch.setattr("histoscribe.predict.augment_look.LOOKS", counting)
    augmentation(1.0, NEVER | {name: PROBABILITIES[name] for name in GROUPS[0]})(torch.rand(1200, 3, 8, 8))
    shares = [undergone.count(name) / 1200 for name in GROUPS[0]]
    np.testing.assert_allclose(shares, 0.7 / 4, atol=0.045)  # four standard errors
    assert sum(shares) == pytest.approx(0.7, abs=0.055)


def test_the_published_probabilities():
    groups = [sum(PROBABILITIES[name] for name in group) for group in GROUPS]
    np.testing.assert_allclose(groups, [0.7, 0.7])
    assert (PROBABILITIES["affine"], PROBABILITIES["clahe"], PROBABILITIES["cutmix"]) == (0.9, 0.7, 0.3)


def hues(tiles):
    """Hue of each pixel in turns, around that of eosin and haematoxylin, of pixels with any colour."""
    pixels = rgb2hsv(tiles.permute(0, 2, 3, 1).numpy())
    return ((pixels[..., 0] + 0.2) % 1)[pixels[..., 1] > 0.15]


def test_no_tile_turns_green(stained):
    before = hues(stained)
    for _ in range(5):
        after = hues(augmentation()(stained))
        # hue may move by 20 + 7 degrees, 0.08 of a turn
        low, high = np.quantile(before, [0.005, 0.995])
        assert (after < low - 0.1).mean() < 0.01
        assert (after > high + 0.1).mean() < 0.01


@pytest.mark.parametrize("name", sorted(LOOKS))
def test_glass_without_colour_gets_none(name):
    white = torch.full((3, 48, 48), 0.95)
    for _ in range(5):
        seen = LOOKS[name](white).mean((1, 2))
        assert seen.max() - seen.min() < 0.01


def test_local_contrast_leaves_differences_between_the_channels_as_they_are(stained):
    for tile in stained:
        changed = LOOKS["clahe"](tile)
        np.testing.assert_allclose(changed[0] - changed[1], tile[0] - tile[1], atol=1e-5)
        np.testing.assert_allclose(changed[2] - changed[1], tile[2] - tile[1], atol=1e-5)


def test_local_contrast_spreads_the_luminance_of_a_flat_tile(stained):
    flat = 0.5 + 0.1 * (stained - 0.5)
    assert np.mean([LOOKS["clahe"](tile).std() > 1.2 * tile.std() for tile in flat]) > 0.8


@pytest.mark.parametrize("name", ["motion_blur", "median_blur", "gaussian_blur"])
def test_blurs_keep_a_plain_tile_and_smooth_a_rough_one(name):
    plain, rough = torch.full((3, 32, 32), 0.4), torch.rand(3, 32, 32)
    for _ in range(5):
        np.testing.assert_allclose(LOOKS[name](plain), plain, atol=1e-5)
        assert LOOKS[name](rough).std() < rough.std()


def test_a_stage_moves_in_any_direction():
    """The long axis of a blurred point, over many blurs, is not that of the rows or columns alone."""
    point = torch.zeros(3, 15, 15)
    point[:, 7, 7] = 1
    angles = []
    for _ in range(60):
        blurred = LOOKS["motion_blur"](point)[0].double().numpy()
        assert blurred.sum() == pytest.approx(1, abs=1e-5)
        row, column = np.mgrid[-7:8, -7:8]
        slant, excess = (blurred * row * column).sum(), (blurred * (column**2 - row**2)).sum()
        angles.append(np.arctan2(2 * slant, excess) / 2)
    assert np.histogram(angles, bins=4, range=(-np.pi / 2, np.pi / 2))[0].min() > 3


def test_noise_has_the_published_strength():
    grey = torch.full((3, 64, 64), 0.5)
    variances = [float(((LOOKS["gaussian_noise"](grey) - grey) * 255).var()) for _ in range(60)]
    assert 8 < min(variances) < 20
    assert 40 < max(variances) < 55


@pytest.mark.parametrize("name", sorted(WARPS))
def test_a_change_of_shape_keeps_most_of_the_middle_and_makes_no_new_colour(name, stained):
    grid = identity_grid(64, 64)
    np.testing.assert_allclose(sampled(stained[0], grid), stained[0], atol=1e-4)
    for tile in stained:
        warped = sampled(tile, WARPS[name](grid))
        assert tile.min() - 1e-5 <= warped.min() <= warped.max() <= tile.max() + 1e-5


def test_an_elastic_tile_moves_by_three_pixels_of_224_at_most():
    moved = (WARPS["elastic"](identity_grid(224, 224)) - identity_grid(224, 224)).abs().max() * 224 / 2
    assert 0.5 < moved <= 3.01
