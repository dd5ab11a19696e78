"""A picture at any scale is placed; one that is turned, mirrored, cropped or of other tissue is refused."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from histoscribe.errors import InputError
from histoscribe.io import Request, read
from histoscribe.io.preflight import preflight
from histoscribe.io.same_picture import SAME_PICTURE, agreement
from histoscribe.phantom import make_phantom, write_spaceranger, write_visium_hd
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.open import open_image

SCALES = (0.1, 0.25, 0.6, 0.7, 0.8, 0.9, 1.1, 1.25, 1.5)
TURNS = {
    "turned by 180 degrees": lambda pixels: pixels[::-1, ::-1],
    "mirrored left to right": lambda pixels: pixels[:, ::-1],
    "mirrored top to bottom": lambda pixels: pixels[::-1],
    "turned by 90 degrees anticlockwise": lambda pixels: np.rot90(pixels),
    "turned by 90 degrees clockwise": lambda pixels: np.rot90(pixels, 3),
    "with x and y swapped": lambda pixels: pixels.transpose(1, 0, 2),
    "turned by 180 degrees, with x and y swapped": lambda pixels: np.rot90(pixels, 2).transpose(1, 0, 2),
}


def whole(path):
    image = open_image(path)
    return image.read(0, 0, image.width, image.height)


def scaled(pixels, factor):
    height, width = pixels.shape[:2]
    return np.asarray(Image.fromarray(pixels).resize((round(width * factor), round(height * factor)), Image.LANCZOS))


class Section:
    """A section on disk, its full-resolution pixels, and how it is read with a picture that a user gives."""

    def __init__(self, folder, path, pixels):
        self.folder, self.path, self.pixels = folder, path, pixels

    def read(self, pixels, **more):
        given = self.folder / "given.tif"
        tifffile.imwrite(given, np.ascontiguousarray(pixels), photometric="rgb")
        return read(Request(path=self.path, image=given, **more))


def visium(folder, **shape):
    outs = write_spaceranger(make_phantom(5, size_um=1200.0, mpp=1.0, n_genes=40, **shape), folder / "s")
    (picture,) = outs.parent.glob("*.tif")
    pixels = whole(picture)
    picture.unlink()
    return Section(folder, outs, pixels)


def visium_hd(folder):
    phantom = make_phantom(5, kind="visium_hd", size_um=640.0, mpp=1.0, n_genes=40, n_domains=2)
    path = write_visium_hd(phantom, folder / "s")
    (picture,) = (folder / "s").rglob("*.tif")
    pixels = whole(picture)
    picture.unlink()
    return Section(folder, path, pixels)


def h5ad(folder):
    made = visium(folder)
    reading = read(Request(path=made.path))  # from the hires picture
    small = reading.section.image
    spots = reading.section.spots.copy()
    factor = reading.image_scale
    spots.obsm["spatial"] = spots.obsm["spatial"] / factor
    spots.uns["spatial"] = {
        "s": {
            "images": {"hires": small.read(0, 0, small.width, small.height)},
            "scalefactors": {"tissue_hires_scalef": factor, "spot_diameter_fullres": 55.0},
        }
    }
    spots.write_h5ad(folder / "s.h5ad")
    return Section(folder, folder / "s.h5ad", made.pixels)


def spatial_data(folder):
    import warnings

    import geopandas as gpd
    from anndata import AnnData
    from shapely import Point
    from spatialdata import SpatialData
    from spatialdata.models import Image2DModel, ShapesModel, TableModel
    from spatialdata.transformations import Identity, Scale

    made = visium(folder)
    reading = read(Request(path=made.path))  # from the hires picture
    spots, small, factor = reading.section.spots, reading.section.image, reading.image_scale
    places = spots.obsm["spatial"] / factor
    frame = gpd.GeoDataFrame({"geometry": [Point(*place) for place in places], "radius": 27.5})
    obs = spots.obs[["array_row", "array_col"]].assign(region="s", spot_id=range(spots.n_obs))
    obs["region"] = obs["region"].astype("category")
    table = TableModel.parse(
        AnnData(X=spots.X, obs=obs, var=spots.var[[]]), region="s", region_key="region", instance_key="spot_id"
    )
    pixels = np.moveaxis(small.read(0, 0, small.width, small.height), 2, 0)
    back = {"s": Scale([1 / factor] * 2, axes=("x", "y"))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        SpatialData(
            images={"s_hires_image": Image2DModel.parse(pixels, transformations=back)},
            shapes={"s": ShapesModel.parse(frame, transformations={"s": Identity()})},
            tables={"table": table},
        ).write(folder / "s.zarr")
    return Section(folder, folder / "s.zarr", made.pixels)


KINDS = {"visium": visium, "visium_hd": visium_hd, "h5ad": h5ad, "spatialdata": spatial_data}


@pytest.fixture(scope="module", params=KINDS)
def section(request, tmp_path_factory):
    return KINDS[request.param](tmp_path_factory.mktemp(request.param))


def same(found):
    return next(finding for finding in found.findings if finding.name == SAME_PICTURE)


def test_the_vendors_own_picture_agrees(section):
    reading = section.read(section.pixels)
    found = preflight(reading)
    assert reading.image_scale == 1.0
    assert not found.refused
    assert same(found).level == "ok"


@pytest.mark.parametrize("factor", SCALES)
def test_a_picture_at_another_scale_is_placed_and_said(section, factor):
    true = section.read(section.pixels)
    reading = section.read(scaled(section.pixels, factor))
    np.testing.assert_allclose(reading.section.xy_px, true.section.xy_px * factor, atol=2.0)
    assert reading.section.mpp == pytest.approx(true.section.mpp / factor, rel=0.01)
    assert any("times" in note or "by its size" in note for note in reading.notes)
    assert same(preflight(reading)).level == "ok"


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_picture_is_refused_by_name(section, turn):
    found = same(preflight(section.read(TURNS[turn](section.pixels))))
    assert found.level == "refused"
    assert f"the picture is {turn}" in found.message


def test_other_tissue_is_refused(section):
    height, width = section.pixels.shape[:2]
    other = make_phantom(6, size_um=(width, height), mpp=1.0, n_domains=2).image.read(0, 0, width, height)
    found = same(preflight(section.read(other)))
    assert found.level == "refused"
    assert "other tissue" in found.message


def test_a_part_cut_out_of_the_picture_is_refused(section):
    height, width = section.pixels.shape[:2]
    with pytest.raises(InputError, match="not the whole full-resolution image"):
        section.read(section.pixels[:, : int(0.9 * width)])
    part = section.pixels[: int(0.8 * height), : int(0.8 * width)]
    found = same(preflight(section.read(part)))
    assert found.level == "refused"
    assert "cut out" in found.message


def test_a_long_picture_turned_by_a_quarter_is_refused_when_it_is_read(tmp_path):
    made = visium(tmp_path / "long")
    long = made.pixels[:, :900]
    for path in (made.path / "spatial").glob("tissue_*_image.png"):
        small = np.asarray(Image.open(path))
        Image.fromarray(small[:, : small.shape[1] * 900 // 1200]).save(path)
    assert not any("turned" in note for note in made.read(long).notes)
    with pytest.raises(InputError, match="turned by 90 degrees"):
        made.read(np.rot90(long))


def test_what_the_user_states_decides_where_spots_lie(section):
    width = int(0.9 * section.pixels.shape[1])
    reading = section.read(section.pixels[:, :width], scale="fullres")
    assert reading.image_scale == 1.0
    assert not any(finding.name == SAME_PICTURE for finding in preflight(reading).findings)


def test_pictures_of_one_brightness_agree_with_nothing():
    flat = SlideImage(ArraySource([np.full((60, 60, 3), 200, np.uint8)]))
    assert set(agreement(flat, flat).values()) == {0.0}
