"""Blocks are made section by section, named, and blind to labels and to the scanner's colours."""

import numpy as np
import pytest
from scipy import sparse

from histoscribe.errors import ConfigError, InputError
from histoscribe.predict.context import Context, appearance, feature_blocks, standardised


def line(n):
    """A row of spots, each the neighbour of the next."""
    ones = np.ones(n - 1)
    return sparse.diags([ones, ones], [-1, 1]).tocsr()


@pytest.fixture
def section():
    random = np.random.default_rng(0)
    embeddings = {("image", 112.0): random.normal(size=(6, 3)), ("image", 224.0): random.normal(size=(6, 4))}
    return embeddings, line(6), np.column_stack([np.arange(6) * 100.0, np.zeros(6)])


def made(section, **options):
    embeddings, graph, xy_um = section
    return feature_blocks(embeddings, graph=graph, xy_um=xy_um, context=Context(tile_um=(112.0, 224.0), **options))


def test_blocks_are_named_after_encoder_and_tile(section):
    assert set(made(section)) == {
        "image@112",
        "image@224",
        "neighbours:image@112",
        "neighbours:image@224",
        "position",
    }
    assert set(made(section, neighbours=False, position=False)) == {"image@112", "image@224"}


def test_a_scanner_that_scales_and_shifts_the_features_changes_nothing(section):
    embeddings, graph, xy_um = section
    other = {key: 3.0 * value + 7.0 for key, value in embeddings.items()}
    for name, block in made((other, graph, xy_um)).items():
        np.testing.assert_allclose(block, made(section)[name], atol=1e-5)


def test_neighbours_are_the_mean_of_the_lattice_neighbours(section):
    blocks = made(section, standardise="none")
    own = blocks["image@112"]
    np.testing.assert_allclose(blocks["neighbours:image@112"][2], (own[1] + own[3]) / 2, rtol=1e-6)


def test_position_is_in_millimetres_from_the_middle(section):
    np.testing.assert_allclose(made(section)["position"][:, 0], np.arange(6) * 0.1 - 0.25, atol=1e-6)


def test_appearance_leaves_the_position_out(section):
    assert "position" not in appearance(made(section))


def test_constant_columns_become_zero():
    assert (standardised(np.full((5, 2), 0.1)) == 0).all()


def test_one_spot_alone_has_finite_blocks():
    blocks = feature_blocks(
        {("image", 112.0): np.ones((1, 2))},
        graph=sparse.csr_matrix((1, 1)),
        xy_um=np.zeros((1, 2)),
        context=Context(tile_um=(112.0,)),
    )
    assert all(np.isfinite(block).all() for block in blocks.values())


def test_a_size_that_was_not_embedded_is_named(section):
    embeddings, graph, xy_um = section
    with pytest.raises(InputError, match="image@448"):
        feature_blocks(embeddings, graph=graph, xy_um=xy_um)


def test_missing_values_are_refused(section):
    embeddings, graph, xy_um = section
    embeddings["image", 112.0][3, 1] = np.nan
    with pytest.raises(InputError, match="missing or infinite"):
        made((embeddings, graph, xy_um))


@pytest.mark.parametrize("sides", [(), (0.0,), (112.0, 112.0)])
def test_impossible_tile_sizes_are_refused(sides):
    with pytest.raises(ConfigError):
        Context(tile_um=sides)
