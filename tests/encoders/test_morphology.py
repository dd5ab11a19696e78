"""The measures distinguish nuclei, textures and fibres, whatever the strength of the stain."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from histoscribe.encoders import build_encoder, load_card
from histoscribe.encoders import morphology_measures as measures

SIDE = 128
H, E = np.array([0.650, 0.704, 0.286]), np.array([0.072, 0.990, 0.105])


def tissue(seed, *, radius=4.0, share=0.15, gain=1.0, clustered=False, stripes=0.0):
    """Nuclei (discs of a radius in pixels, covering a share of the tile) on eosin ground, (side, side, 3) uint8."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    mask = np.zeros((SIDE, SIDE), bool)
    spread = SIDE / 6 if clustered else None
    while mask.mean() < share:
        centre = random.normal(SIDE / 2, spread, 2) if clustered else random.uniform(0, SIDE, 2)
        mask |= (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < (radius * random.uniform(0.9, 1.1)) ** 2
    ground = gaussian_filter(random.standard_normal((SIDE, SIDE)), (1.5, 1.5 + stripes))
    eosin = 0.35 + 0.06 * ground / ground.std()
    haematoxylin = 0.08 + 0.7 * mask + 0.03 * random.standard_normal((SIDE, SIDE))
    density = gain * (haematoxylin[..., None] * H + eosin[..., None] * E)
    return np.clip(255 * np.exp(-density), 0, 255).astype(np.uint8)


def encode(tiles):
    return build_encoder(load_card("morphology")).encode(np.stack(tiles))


def accuracy(one, other, n=40):
    """Cross-validated share of tiles that a linear rule classifies correctly."""
    tiles = [tissue(k, **one) for k in range(n)] + [tissue(1000 + k, **other) for k in range(n)]
    rule = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.5))
    return cross_val_score(rule, encode(tiles), np.repeat([0, 1], n), cv=4).mean()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"radius": 3.0}, {"radius": 4.0}),
        ({"radius": 5.0}, {"radius": 6.5}),
        ({"clustered": False}, {"clustered": True}),
        ({"stripes": 0.0}, {"stripes": 4.0}),
        ({"share": 0.12}, {"share": 0.20}),
    ],
    ids=["small nuclei", "large nuclei", "clustering", "fibres", "density"],
)
def test_tissues_of_one_colour_are_distinguished(one, other):
    assert accuracy(one, other) >= 0.95


def test_nuclear_size_is_distinguished_under_stains_of_any_strength():
    n = 60
    gain = np.random.default_rng(0).uniform(0.7, 1.4, 2 * n)
    tiles = [tissue(k, radius=3.0 if k < n else 4.5, gain=gain[k]) for k in range(2 * n)]
    rule = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.5))
    assert cross_val_score(rule, encode(tiles), np.repeat([0, 1], n), cv=4).mean() >= 0.95


def test_structure_moves_less_with_the_stain_than_with_nuclear_size():
    def structure(**options):
        stain = measures.stains(np.stack([tissue(k, **options) for k in range(12)]))
        blocks = [measures.blobs(stain[0]), measures.patterns(stain[0], steps=(1, 3)), measures.nuclei(stain)[:, 7:]]
        return np.concatenate(blocks, axis=1)

    pale, strong, larger = structure(gain=0.8), structure(gain=1.2), structure(gain=0.8, radius=6.0)
    scale = pale.std(axis=0) + 1e-3
    moved_by_stain = np.abs((pale.mean(0) - strong.mean(0)) / scale)
    moved_by_size = np.abs((pale.mean(0) - larger.mean(0)) / scale)
    assert np.median(moved_by_stain) < 0.5 * np.median(moved_by_size)


def test_turning_a_tile_changes_little_beside_another_tile():
    tiles = [tissue(k) for k in range(8)]
    a, turned = encode(tiles), encode([np.rot90(tile) for tile in tiles])
    scale = a.std(axis=0) + 1e-3
    moved = np.abs((a - turned) / scale).mean()
    apart = np.abs((a - np.roll(a, 1, axis=0)) / scale).mean()
    assert moved < 0.25 * apart


def test_stains_are_unmixed():
    density = np.array([0.7 * H / np.linalg.norm(H), 0.4 * E / np.linalg.norm(E)])
    pixels = np.clip(256 * np.exp(-density) - 1, 0, 255).round().astype(np.uint8).reshape(1, 2, 1, 3)
    haematoxylin, eosin, rest = measures.stains(pixels)[:, 0, :, 0]
    np.testing.assert_allclose(haematoxylin, [0.7, 0], atol=0.02)  # atol: eight bits per colour
    np.testing.assert_allclose(eosin, [0, 0.4], atol=0.02)
    np.testing.assert_allclose(rest, 0, atol=0.02)


def test_the_blob_filters_find_the_size_of_discs():
    """A disc of radius r answers most to sigma = r / sqrt(2) (Lindeberg 1998): 2.8 for 4 pixels."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    disc = ((rows % 32 - 16) ** 2 + (columns % 32 - 16) ** 2 < 4.0**2).astype(np.float32)
    height = measures.blobs(disc[None]).reshape(len(measures.BLOB_SIGMAS), 5)[:, 4]
    assert measures.BLOB_SIGMAS[height.argmax()] == 2.8


def test_number_and_area_of_nuclei_are_measured():
    """16 discs of 5 pixels, drawn: their number and their pixels are counted here another way."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    disc = (rows % 32 - 16) ** 2 + (columns % 32 - 16) ** 2 < 5.0**2
    haematoxylin = 0.8 * disc.astype(np.float32)
    row = measures.nuclei(np.stack([haematoxylin, haematoxylin, haematoxylin])[:, None])[0]
    assert row[0] == pytest.approx(disc.mean())
    assert row[7] == pytest.approx(4)  # root of their number
    assert np.exp(row[8]) == pytest.approx(disc.sum() / 16)
    assert row[10] < 0.05  # round
