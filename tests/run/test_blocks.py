"""What a section is asked for where the user leaves it open."""

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from histoscribe.errors import ConfigError
from histoscribe.phantom import make_phantom, write_visium_hd
from histoscribe.run.section.blocks import chosen_tile_um
from histoscribe.run.section.settings import RunConfig
from histoscribe.run.verbs import run_sections
from histoscribe.section import Lattice, Section


def section_of(diameter_um):
    spots = AnnData(sparse.csr_matrix(np.ones((4, 3), np.float32)))
    spots.obsm["spatial"] = np.array([[0.0, 0], [10, 0], [0, 10], [10, 10]])
    lattice = None if diameter_um is None else Lattice("square", 2 * diameter_um, diameter_um)
    return Section(name="s", spots=spots, image=None, platform="visium_hd", lattice=lattice)


@pytest.mark.parametrize(("diameter_um", "side"), [(8.0, 48), (16.0, 48), (55.0, 112), (100.0, 112), (None, 112)])
def test_small_bins_are_described_by_a_smaller_tile(diameter_um, side):
    assert chosen_tile_um(section_of(diameter_um), None) == side


def test_a_tile_that_is_asked_for_is_used():
    assert chosen_tile_um(section_of(8.0), 80.0) == 80.0


def test_a_run_maps_no_small_bins_and_says_what_does(tmp_path):
    phantom = make_phantom(0, kind="visium_hd", size_um=400, n_domains=2, n_genes=40)
    outs = write_visium_hd(phantom, tmp_path / "hd")
    with pytest.raises(ConfigError, match="histoscribe map sums"):
        run_sections(outs, out=tmp_path / "r", config=RunConfig(encoder="morphology", maps="top:2"))
    assert not (tmp_path / "r").exists()
