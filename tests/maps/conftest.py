"""A small section with known expression, and what a mapper learns from it."""

from dataclasses import replace

import numpy as np
import pytest
from anndata import AnnData

from histoscribe.maps.cells import read_cell_features, write_cell_features
from histoscribe.phantom import make_phantom
from histoscribe.run.maps.settings import MapSettings
from histoscribe.run.maps.stages import map_problem
from histoscribe.section import Lattice, Section
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.tissue import tissue_mask


@pytest.fixture(scope="session")
def phantom():
    return make_phantom(5, size_um=1600.0, mpp=1.0, n_domains=3, n_genes=60)


@pytest.fixture(scope="session")
def section(phantom) -> Section:
    height, width = phantom.shape
    image = SlideImage(ArraySource([phantom.image.read(0, 0, width, height)]), mpp=phantom.mpp)
    spots = phantom.spots()
    plain = AnnData(spots.X, obs=spots.obs[["array_row", "array_col"]], var=spots.var[[]])
    plain.obsm["spatial"] = spots.obsm["spatial"]
    return Section.from_anndata(
        plain, name="small", image=image, platform="visium", lattice=Lattice("hex", 100.0, 55.0)
    )


@pytest.fixture(scope="session")
def mask(section):
    return tissue_mask(section.image)


@pytest.fixture(scope="session")
def problem(section, mask, tmp_path_factory):
    """Problem of all genes on cells of 16 um, with colours and nuclei as features."""
    from histoscribe.maps.problem import model_grid

    grid = model_grid(section.image, um=16.0)
    made, _ = map_problem(section, mask, MapSettings(genes="all", um=16.0), grid=grid)
    folder = tmp_path_factory.mktemp("features")
    write_cell_features(section.image, grid, made.cells, folder, encoder=None)
    return replace(made, features=read_cell_features(folder, made.cells))


@pytest.fixture(scope="session")
def fitted(problem):
    from histoscribe.maps.dense import DenseMapper

    return DenseMapper(rank=6).fit(problem)


@pytest.fixture
def rng():
    return np.random.default_rng(0)
