from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from histoscribe.errors import ConfigError, InputError
from histoscribe.maps.grid import make_grid, tissue_cells
from histoscribe.maps.problem import chosen_genes, counted, footprints_of, learning_genes, model_grid
from histoscribe.section import Section
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.tissue import TissueMask, tissue_mask

COUNTS = sparse.csr_matrix(np.array([[1.0, 9.0, 0.0], [2.0, 8.0, 3.0]]))
NAMES = ["ERBB2", "CD74", "Erbb3"]


def image(side=200, mpp=1.0, value=255):
    return SlideImage(ArraySource([np.full((side, side, 3), value, np.uint8)]), mpp=mpp)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("all", NAMES),
        ("top:2", ["CD74", "ERBB2"]),
        ("CD74, ERBB2", ["CD74", "ERBB2"]),
        (["ERBB2", "ERBB2"], ["ERBB2"]),
    ],
)
def test_genes_are_chosen_by_name_abundance_or_all(asked, found):
    assert chosen_genes(asked, NAMES, COUNTS) == found


@pytest.mark.parametrize(("asked", "meant"), [("erbb2", "ERBB2"), ("ERBB4", "ERBB2"), ("CD47", "CD74")])
def test_an_absent_gene_is_refused_with_the_nearest_names(asked, meant):
    with pytest.raises(InputError, match=f"{asked}: did you mean .*{meant}"):
        chosen_genes(asked, NAMES, COUNTS)


@pytest.mark.parametrize("asked", ["", " , ", "top:", "top:0", "top:x", []])
def test_nothing_or_no_number_is_refused(asked):
    with pytest.raises(ConfigError):
        chosen_genes(asked, NAMES, COUNTS)


def test_genes_asked_for_stand_first_among_those_learnt_from():
    assert learning_genes(["Erbb3"], NAMES, COUNTS).tolist() == [2, 0, 1]


def test_a_section_without_counts_is_refused(section):
    bare = Section.from_anndata(section.spots[:, []].copy(), name="bare", image=section.image)
    with pytest.raises(InputError, match="no counts"):
        counted(bare)


def test_a_picture_without_tissue_is_refused():
    blank = image()
    with pytest.raises(InputError, match="no tissue was found"):
        tissue_cells(make_grid(blank, um=10.0), tissue_mask(blank), where="section 'blank'")


@pytest.mark.parametrize("um", [0.0, -1.0, np.nan, 1e6])
def test_cells_that_cannot_be_are_refused(um):
    with pytest.raises(ConfigError, match="positive size"):
        make_grid(image(), um=um)


def test_a_raster_too_large_to_hold_is_refused():
    with pytest.raises(ConfigError, match="too large"):
        make_grid(image(side=2000), um=0.1)


@pytest.mark.parametrize(("mpp", "um", "model_um"), [(0.5, 2.0, 8.0), (0.5, 16.0, 16.0), (4.0, 8.0, 12.0)])
def test_a_model_works_on_cells_that_the_picture_can_fill(mpp, um, model_um):
    assert model_grid(image(side=500, mpp=mpp), um=um).um == model_um


def test_the_bins_of_visium_hd_are_squares(section):
    assert footprints_of(section).shape == "disc"
    assert footprints_of(replace(section, platform="visium_hd")).shape == "square"


def test_spots_on_glass_are_mapped_all_the_same(section):
    from histoscribe.maps.problem import map_cells

    grid = make_grid(section.image, um=16.0)
    empty = TissueMask(np.zeros((10, 10), bool), 160.0)
    empty.mask[0, 0] = True
    cells, footprint = map_cells(section, grid, empty)
    assert np.asarray(footprint.sum(axis=1)).ravel() == pytest.approx(np.ones(section.spots.n_obs))
    assert len(cells) < grid.size
