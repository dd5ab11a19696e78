from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from histoscribe.errors import ConfigError, InputError, ResultError
from histoscribe.maps.problem import footprints_of
from histoscribe.maps.read import Maps, read_maps
from histoscribe.maps.refine import refined
from histoscribe.maps.store import StoredMap, write_map
from histoscribe.store.result import writing_result


@pytest.fixture(scope="session")
def stored(section, problem, fitted):
    shape = footprints_of(section)
    return StoredMap(
        section="small",
        grid=problem.grid,
        cells=problem.cells,
        factors=fitted,
        genes=problem.genes,
        xy_px=section.xy_px,
        counts=problem.counts,
        library=problem.library,
        diameter_um=shape.diameter_um,
        shape=shape.shape,
        pitch_um=shape.pitch_um,
    )


@pytest.fixture(scope="session")
def folder(stored, tmp_path_factory):
    path = tmp_path_factory.mktemp("map")

    def write(to: Path) -> dict:
        (to / "maps").mkdir()
        write_map(to / "maps", stored)
        return {}

    with writing_result(path) as draft:
        draft.stage("maps", "key", write)
        draft.publish({})
    return path


@pytest.fixture(scope="session")
def maps(folder) -> Maps:
    return read_maps(folder)


def test_a_raster_has_coordinates_in_microns_and_nan_off_tissue(maps):
    raster = maps.gene(maps.genes[0])
    assert raster.dtype == np.float32
    assert raster.dims == ("y", "x")
    assert raster.x.to_numpy()[:2] == pytest.approx([8.0, 24.0])
    assert np.isnan(raster.to_numpy()).sum() == maps.grid.size - len(maps.stored.cells)


def test_sums_under_spots_are_the_measured_counts_within_one_percent(maps):
    for name in maps.genes[::9]:
        counts = maps.stored.counts[:, [maps.genes.index(name)]].toarray()[:, 0]
        assert maps.spot_sums(name) == pytest.approx(counts, rel=0.01, abs=0.01)


def test_the_sum_of_the_raster_over_a_footprint_is_the_same(maps, section):
    from histoscribe.maps.footprint import footprint_areas

    name = maps.genes[3]
    area = footprint_areas(section.xy_px, maps.grid, diameter_um=55.0)
    sums = area @ np.nan_to_num(maps.gene(name).to_numpy()).ravel().astype(float)
    assert sums == pytest.approx(maps.stored.counts[:, [3]].toarray()[:, 0], rel=0.01, abs=0.01)


def test_at_a_spot_the_map_gives_what_the_spot_measured(maps, section, problem):
    found = maps.at(section.xy_px, maps.genes[2], unit="log")
    assert found == pytest.approx(problem.log_values()[:, 2], abs=0.02)


def test_several_genes_are_returned_side_by_side(maps, section):
    both = maps.at(section.xy_px[:4], list(maps.genes[:2]))
    assert both.shape == (4, 2)
    assert both[:, 1] == pytest.approx(maps.at(section.xy_px[:4], maps.genes[1]))


def test_bins_of_another_size_can_be_asked(maps, section):
    found = maps.at(section.xy_px[:5], maps.genes[0], square_um=8.0)
    assert np.isfinite(found).all()


def test_an_interval_holds_the_map_and_is_not_negative(maps, section):
    ends = maps.interval(section.xy_px, maps.genes[0])
    middle = maps.at(section.xy_px, maps.genes[0], unit="log", balanced=False)
    assert ((ends[:, 0] <= middle) & (middle <= ends[:, 1])).mean() > 0.95
    assert ends.min() >= 0


def test_an_absent_gene_is_refused_with_the_nearest_names(maps):
    with pytest.raises(InputError, match="did you mean GENE"):
        maps.gene("GENE0000")


def test_an_unknown_unit_is_refused(maps):
    with pytest.raises(ConfigError, match="no such unit"):
        maps.gene(maps.genes[0], unit="tpm")


def test_a_place_off_the_picture_is_refused(maps):
    with pytest.raises(InputError, match="off the picture"):
        maps.at(np.array([[-50.0, 3.0]]), maps.genes[0])


def test_bins_as_anndata_carry_places_in_pixels_and_factors(maps):
    bins = maps.to_anndata(maps.genes[:2])
    assert bins.shape == (len(maps.stored.cells), 2)
    row, column = bins.obs["array_row"].iloc[7], bins.obs["array_col"].iloc[7]
    assert bins.obsm["spatial"][7] == pytest.approx([(column + 0.5) * 16, (row + 0.5) * 16])
    assert bins.obsm["X_factors"].shape[1] == 6


def test_a_map_without_spots_is_given_per_10k(stored):
    from dataclasses import replace

    t = len(stored.genes)
    alone = Maps(replace(stored, xy_px=np.empty((0, 2)), counts=sparse.csr_matrix((0, t)), library=np.empty(0)))
    assert alone.gene(stored.genes[0]).attrs["unit"] == "counts per 10,000 molecules"
    with pytest.raises(ConfigError, match="no such unit"):
        alone.gene(stored.genes[0], unit="counts")


def test_a_folder_without_a_map_is_refused(tmp_path):
    with pytest.raises(ResultError, match="not a complete histoscribe result"):
        read_maps(tmp_path)


@pytest.mark.parametrize("name", ["factors", "loadings", "cells", "molecules"])
def test_a_damaged_or_missing_part_is_noticed(folder, tmp_path, name):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    next(path for path in sorted((copy / "maps" / f"{name}.zarr" / "c").rglob("*")) if path.is_file()).unlink()
    with pytest.raises(ResultError, match="the map is damaged"):
        read_maps(copy)


def test_on_finer_cells_the_factors_are_those_of_the_coarser(stored, problem):
    from histoscribe.maps.grid import Grid

    fine = Grid(problem.grid.rows * 2, problem.grid.columns * 2, 8.0, 1.0)
    row, column = np.divmod(problem.cells, problem.grid.columns)
    wanted = (2 * row) * fine.columns + 2 * column
    found = refined(stored.factors, problem.grid, problem.cells, fine, np.sort(wanted))
    assert np.corrcoef(found.factors[:, 0], stored.factors.factors[np.argsort(wanted), 0])[0, 1] > 0.9
