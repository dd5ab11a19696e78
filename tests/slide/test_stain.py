"""Stain: what is known of two stains is found again, background is left alone, and no tile influences another."""

import json
from pathlib import Path

import numpy as np
import pytest

from histoscribe.errors import ConfigError, InputError
from histoscribe.slide.open import open_image
from histoscribe.slide.stain import StainNormaliser, fit_stain

METHODS = ["macenko", "reinhard"]

# Ruifrok and Johnston, Anal Quant Cytol Histol 2001, table 1: optical densities of haematoxylin and eosin
RUIFROK = np.array([[0.65, 0.07], [0.70, 0.99], [0.29, 0.11]])
OTHER = np.array([[0.55, 0.20], [0.75, 0.88], [0.36, 0.43]])


def stained(vectors: np.ndarray, *, n: int = 4, strength: float = 1.0, seed: int = 0) -> np.ndarray:
    """Tiles whose pixels carry mostly one of two stains, in random amounts, n x 48 x 48."""
    rng = np.random.default_rng(seed)
    amounts = rng.gamma(3, 0.25, (n, 48, 48, 2))
    pure = rng.random((n, 48, 48)) < 0.5
    amounts[..., 0] *= np.where(pure, 1, 0.05)
    amounts[..., 1] *= np.where(pure, 0.05, 1)
    density = (0.25 + strength * amounts) @ (vectors / np.linalg.norm(vectors, axis=0)).T
    return np.clip(240 * np.exp(-density), 0, 255).astype(np.uint8)


def glass(n: int = 2) -> np.ndarray:
    return np.random.default_rng(1).integers(236, 250, (n, 48, 48, 3), dtype=np.uint8)


def test_macenko_finds_stain_vectors_that_are_known() -> None:
    vectors = fit_stain("macenko", stained(OTHER, n=8)).reference[:, :2]
    truth = OTHER / np.linalg.norm(OTHER, axis=0)
    degrees = np.degrees(np.arccos(np.clip((vectors * truth).sum(0), -1, 1)))
    assert (degrees < 8).all()  # both stains lie within the cone of the mixtures


@pytest.mark.parametrize("method", METHODS)
def test_a_section_takes_the_colours_of_the_reference(method: str) -> None:
    reference, section = stained(OTHER), stained(RUIFROK, strength=0.6, seed=5)
    before = np.abs(section.mean((0, 1, 2)) - reference.mean((0, 1, 2))).max()
    after = fit_stain(method, reference).for_section(section).transform(section)
    assert np.abs(after.mean((0, 1, 2)) - reference.mean((0, 1, 2))).max() < before / 3


@pytest.mark.parametrize("method", METHODS)
def test_the_reference_itself_hardly_changes(method: str) -> None:
    tiles = stained(OTHER)
    after = fit_stain(method, tiles).for_section(tiles).transform(tiles)
    assert np.abs(after.astype(int) - tiles).mean() < 3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("measured", [True, False])
def test_background_comes_back_unchanged(method: str, measured: bool) -> None:
    normaliser = fit_stain(method, stained(OTHER))
    if measured:
        normaliser = normaliser.for_section(stained(RUIFROK))
    blank = np.concatenate([glass(), *(np.full((1, 48, 48, 3), v, np.uint8) for v in (0, 10, 245, 255))])
    np.testing.assert_array_equal(normaliser.transform(blank), blank)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("colour", [(120, 120, 120), (90, 40, 140), (200, 60, 120), (35, 35, 35)])
def test_a_tile_of_one_colour_is_no_crash(method: str, colour: tuple[int, int, int]) -> None:
    tile = np.full((1, 48, 48, 3), colour, np.uint8)
    alone = fit_stain(method, stained(OTHER)).transform(tile)
    np.testing.assert_array_equal(alone, tile)  # one colour says nothing about two stains


@pytest.mark.parametrize("method", METHODS)
def test_black_background_stays_black(method: str) -> None:
    tiles = stained(RUIFROK)
    tiles[:, :10] = 0
    after = fit_stain(method, stained(OTHER)).for_section(tiles).transform(tiles)
    assert (after[:, :10] == 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_background_takes_no_part_in_the_fit(method: str) -> None:
    tissue = stained(OTHER)
    black = np.zeros((3, 48, 48, 3), np.uint8)
    alone = fit_stain(method, tissue).reference
    np.testing.assert_allclose(fit_stain(method, np.concatenate([tissue, glass(), black])).reference, alone, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("measured", [True, False])
def test_a_tile_does_not_depend_on_the_others(method: str, measured: bool) -> None:
    tiles = stained(RUIFROK, n=5)
    normaliser = fit_stain(method, stained(OTHER))
    if measured:
        normaliser = normaliser.for_section(tiles)
    together = normaliser.transform(tiles)
    for i in range(len(tiles)):
        assert normaliser.transform(tiles[i : i + 1]).tobytes() == together[i].tobytes()


@pytest.mark.parametrize("method", METHODS)
def test_measuring_a_section_changes_neither_the_reference_nor_the_tiles(method: str) -> None:
    tiles = stained(RUIFROK)
    kept = tiles.copy()
    normaliser = fit_stain(method, stained(OTHER))
    section = normaliser.for_section(tiles)
    section.transform(tiles)
    assert normaliser.source is None
    np.testing.assert_array_equal(section.reference, normaliser.reference)
    np.testing.assert_array_equal(tiles, kept)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("measured", [True, False])
def test_a_normaliser_survives_json(method: str, measured: bool) -> None:
    tiles = stained(RUIFROK)
    normaliser = fit_stain(method, stained(OTHER))
    if measured:
        normaliser = normaliser.for_section(tiles)
    again = StainNormaliser.from_dict(json.loads(json.dumps(normaliser.to_dict())))
    assert again.transform(tiles).tobytes() == normaliser.transform(tiles).tobytes()


@pytest.mark.parametrize(
    "fitted",
    [
        {},
        {"method": "macenko"},
        {"method": "macenko", "reference": "red", "source": None},
        {"method": "macenko", "reference": [[1, 2], [3, 4], [5, 6]], "source": None},
        {"method": "reinhard", "reference": [[1, 2], [3, float("nan")], [5, 6]], "source": None},
        {"method": "vahadane", "reference": [], "source": None},
    ],
)
def test_what_is_no_normaliser_is_refused(fitted: dict) -> None:
    with pytest.raises(ConfigError):
        StainNormaliser.from_dict(fitted)


def test_an_unknown_method_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean macenko"):
        fit_stain("mackenko", stained(OTHER))


@pytest.mark.parametrize(
    "tiles", [glass(), glass()[:0], np.zeros((2, 48, 48, 3), np.uint8)], ids=["glass", "none", "black"]
)
@pytest.mark.parametrize("method", METHODS)
def test_a_reference_without_tissue_is_refused(method: str, tiles: np.ndarray) -> None:
    with pytest.raises(InputError, match="hardly any stained tissue"):
        fit_stain(method, tiles)


@pytest.mark.parametrize("method", METHODS)
def test_grey_tissue_is_refused_with_the_name_of_its_section(method: str) -> None:
    grey = np.repeat(stained(OTHER)[..., 1:2], 3, axis=3)
    with pytest.raises(InputError, match=r"section 'B': (.|\n)*all tissue has one colour"):
        fit_stain(method, stained(OTHER)).for_section(grey, where="section 'B'")


@pytest.mark.parametrize("tiles", [stained(OTHER)[0], stained(OTHER).astype(np.float32), stained(OTHER)[..., :1]])
def test_tiles_of_another_kind_are_refused(tiles: np.ndarray) -> None:
    with pytest.raises(InputError, match="measured on tiles"):
        fit_stain("macenko", tiles)


@pytest.mark.parametrize("method", METHODS)
def test_a_real_slide_comes_close_to_a_real_reference(method: str, data_dir: Path) -> None:
    target = open_image(data_dir / "wsi/tiatoolbox_target_image.png").read(0, 0, 1000, 1000)[None]
    section = open_image(data_dir / "nuclei/monuseg/TCGA-HT-8564-01Z-00-DX1.tif").read(0, 0, 1000, 1000)[None]

    wanted, before = fit_stain(method, target).reference, fit_stain(method, section).reference
    moved = fit_stain(method, target).for_section(section).transform(section)
    after = fit_stain(method, moved).reference
    assert np.abs(after - wanted).sum() < np.abs(before - wanted).sum() / 3
