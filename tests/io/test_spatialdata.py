"""SpatialData stores of histoscribe and of other programs."""

import json
import warnings

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from shapely import Point

from histoscribe.errors import InputError
from histoscribe.io import read, sections_in

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def foreign(make, tmp_path):
    """Write a store with the elements that spatialdata-io makes of a Visium run; `leave` and `add` change it."""
    from spatialdata import SpatialData
    from spatialdata.models import Image2DModel, ShapesModel, TableModel
    from spatialdata.transformations import Identity, Scale

    table = make.positions()
    table = table[table["in_tissue"] == 1]

    def write(images=("full", "hires"), regions=("ds",), systems=("ds",), channels=None):
        factors = {"full": 1.0, "hires": 0.5}
        pictures, shapes, tables = {}, {}, {}
        for name in images:
            width, height = int(280 * factors[name]), int(240 * factors[name])
            n_channels = 3 if channels is None else len(channels)
            pixels = np.random.default_rng(0).integers(0, 255, (n_channels, height, width), np.uint8)
            back = Scale([1 / factors[name]] * 2, axes=("x", "y"))
            ways = dict.fromkeys(systems, back)
            pictures[f"ds_{name}_image"] = Image2DModel.parse(pixels, transformations=ways, c_coords=channels)
        for region in regions:
            points = [
                Point(x, y) for x, y in zip(table["pxl_col_in_fullres"], table["pxl_row_in_fullres"], strict=True)
            ]
            frame = gpd.GeoDataFrame({"geometry": points, "radius": 5.0}, index=np.arange(len(table)) + 7)
            shapes[region] = ShapesModel.parse(frame, transformations={"ds": Identity()})
            obs = table.set_index("barcode")[["in_tissue", "array_row", "array_col"]].iloc[::-1].copy()
            obs["region"], obs["spot_id"] = pd.Categorical([region] * len(obs)), np.arange(len(obs))[::-1] + 7
            counts = AnnData(X=make.counts_of(list(obs.index)).astype(np.float32), obs=obs)
            tables[f"table_{region}"] = TableModel.parse(
                counts, region=region, region_key="region", instance_key="spot_id"
            )
        path = tmp_path / "other.zarr"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            SpatialData(images=pictures, shapes=shapes, tables=tables).write(path)
        return path

    return write


def test_our_own_store_gives_the_section_back(visium, tmp_path):
    expected = read(visium.path, patient="P1").section
    path = tmp_path / "own.zarr"
    expected.to_spatialdata().write(path)
    reading = read(path)
    section = reading.section
    assert (reading.format, section.name, section.patient, section.lattice) == (
        "spatialdata",
        "run",
        "P1",
        expected.lattice,
    )
    np.testing.assert_allclose(section.xy_px, expected.xy_px)
    np.testing.assert_array_equal(section.spots.X.toarray(), expected.spots.X.toarray())
    np.testing.assert_array_equal(section.image.read(3, 5, 20, 10), expected.image.read(3, 5, 20, 10))
    assert section.mpp == pytest.approx(expected.mpp)


@pytest.mark.parametrize(("scale", "factor"), [(None, 1.0), ("fullres", 1.0), ("hires", 0.5)])
def test_spots_are_brought_into_the_pixels_of_the_chosen_image(foreign, make, scale, factor):
    reading = read(foreign(), scale=scale)
    section = reading.section
    table = make.positions().set_index("barcode")
    expected = table.loc[section.spots.obs_names, ["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy() * factor
    np.testing.assert_allclose(section.xy_px, expected)
    assert section.image.width == 280 * factor
    assert section.mpp == pytest.approx(5.0 / factor)


def test_a_store_without_pictures_has_spots_only(foreign):
    assert read(foreign(images=())).section.image is None


def test_several_tables_are_listed_and_one_can_be_named(foreign):
    path = foreign(regions=("ds", "other"))
    with pytest.raises(InputError, match="which table") as caught:
        read(path)
    assert "table_other" in str(caught.value)
    assert read(path, section="other").section.spots.n_obs == 90


def test_bins_of_8_um_are_the_default_among_several_sizes(foreign):
    path = foreign(regions=("ds_square_008um", "ds_square_016um"))
    assert read(path).section.lattice.pitch_um == 8
    assert read(path, bin_um=16).section.lattice.pitch_um == 16


def test_an_image_in_another_coordinate_system_is_refused(foreign):
    with pytest.raises(InputError, match="does not say how the shapes"):
        read(foreign(systems=("elsewhere",)))


def test_pickled_objects_are_refused_before_they_are_opened(foreign):
    path = foreign(images=())
    metadata = path / "tables" / "table_ds" / "X" / ".zarray"
    metadata.write_text(json.dumps({"zarr_format": 2, "filters": [{"id": "pickle", "protocol": 4}]}))
    with pytest.raises(InputError, match="pickled") as caught:
        read(path)
    assert ".zarray" in str(caught.value)


@pytest.mark.parametrize("part", ["zarr.json", "shapes/ds/shapes.parquet", "tables/table_ds/X/data/c/0"])
def test_a_store_with_a_part_cut_short_is_refused(foreign, part):
    path = foreign()
    whole = (path / part).read_bytes()
    (path / part).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"other\.zarr"):
        read(path, format="spatialdata")


def test_a_table_that_names_shapes_which_do_not_exist_is_refused(foreign):
    path = foreign()
    shapes = path / "shapes" / "ds" / "shapes.parquet"
    gpd.read_parquet(shapes).iloc[:50].to_parquet(shapes)
    with pytest.raises(InputError, match="name shapes that do not exist"):
        read(path)


def test_the_picture_of_a_sample_is_known_by_its_whole_name(foreign):
    import spatialdata

    path = foreign(images=("full",))
    sdata = spatialdata.read_zarr(path)
    for name in ("ds2_full_image", "ds_b_full_image"):
        sdata.images[name] = sdata.images["ds_full_image"]
        sdata.write_element(name)
    assert any("'ds_full_image'" in note for note in read(path).notes)


@pytest.mark.parametrize(
    ("channels", "order"),
    [
        (["r", "g", "b"], (0, 1, 2)),
        (["b", "g", "r"], (2, 1, 0)),
        (["Green", "Blue", "Red"], (2, 0, 1)),
        (["alpha", "red", "green", "blue"], (1, 2, 3)),
        (None, (0, 1, 2)),
    ],
)
def test_colours_are_taken_by_their_names(foreign, channels, order):
    n = 3 if channels is None else len(channels)
    expected = np.random.default_rng(0).integers(0, 255, (n, 240, 280), np.uint8)[list(order)]
    image = read(foreign(channels=channels)).section.image
    np.testing.assert_array_equal(image.read(0, 0, 280, 240), np.moveaxis(expected, 0, 2))


@pytest.mark.parametrize(
    "channels",
    [["DAPI", "CD3", "PanCK"], ["dye 1", "dye 2", "dye 3", "dye 4", "dye 5"], ["r", "g", "DAPI"], ["r", "g"]],
)
def test_channels_of_other_stains_are_refused_by_name(foreign, channels):
    path = foreign(channels=channels)
    with pytest.raises(InputError, match="no H&E") as caught:
        read(path)
    assert channels[-1].lower() in str(caught.value)


def changed(path, **elements):
    """Add pictures to a store, each of the same pixels with transformations of its own."""
    import spatialdata
    from spatialdata.models import Image2DModel

    sdata = spatialdata.read_zarr(path)
    for name, (ways, channels) in elements.items():
        pixels = np.random.default_rng(1).integers(0, 255, (3, 240, 280), np.uint8)
        sdata.images[name] = Image2DModel.parse(pixels, transformations=ways, c_coords=channels)
        sdata.write_element(name)
    return path


def test_of_several_pictures_the_one_under_the_spots_and_in_colours_is_taken(foreign):
    from spatialdata.transformations import Identity, Translation

    beside = Translation([9000, 0], axes=("x", "y"))
    path = changed(
        foreign(images=()),
        morphology=({"ds": Identity()}, ["DAPI", "CD3", "PanCK"]),
        slide_two=({"ds": beside}, None),
        slide_three=({"elsewhere": Identity()}, None),
        he=({"ds": Identity()}, None),
    )
    notes = read(path).notes
    assert "image: 'he' of the store" in notes
    assert sum("was passed over" in note for note in notes) == 3
    changed(path, he_again=({"ds": Identity()}, None))
    with pytest.raises(InputError, match="images that could be it: he, he_again"):
        read(path)


def test_a_picture_named_after_another_sample_is_not_taken(foreign):
    from spatialdata.transformations import Identity

    path = changed(foreign(images=(), regions=("ds", "other")), other_full_image=({"ds": Identity()}, None))
    assert sections_in(path) == ["ds", "other"]
    reading = read(path, section="ds")
    assert reading.section.image is None
    assert any("pictures of other samples only" in note for note in reading.notes)
    assert read(path, section="other").section.image is not None


@pytest.mark.parametrize("kind", ["category", str, float])
def test_places_on_the_array_are_read_whatever_their_type(foreign, kind):
    import spatialdata

    path = foreign(images=())
    sdata = spatialdata.read_zarr(path)
    table = sdata.tables["table_ds"]
    for name in ("array_row", "array_col"):
        table.obs[name] = table.obs[name].astype(str).astype(kind)
    sdata.delete_element_from_disk("table_ds")
    sdata.write_element("table_ds")
    assert read(path).mpp_by_source["spot pitch"] == pytest.approx(5.0)


def test_shapes_without_a_place_are_refused_as_such(foreign):
    path = foreign(images=())
    shapes = path / "shapes" / "ds" / "shapes.parquet"
    frame = gpd.read_parquet(shapes)
    frame.geometry.iloc[3] = Point(np.nan, 5.0)
    frame.to_parquet(shapes)
    with pytest.raises(InputError, match="spots have no finite coordinates"):
        read(path)
