"""A picture at any scale is placed, a turned or cut one where that is asked for; other tissue is refused."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from histoscribe.io import Request, read
from histoscribe.io.preflight import preflight
from histoscribe.io.same_picture import SAME_PICTURE
from histoscribe.phantom import make_phantom, write_spaceranger, write_visium_hd
from histoscribe.run.check_page import page_of, panels_of
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.open import open_image
from histoscribe.slide.registration import register
from histoscribe.slide.turns import EIGHT

SCALES = (0.1, 0.25, 0.6, 0.7, 0.8, 0.9, 1.1, 1.25, 1.5)


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


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """One section alone, for what does not depend on the format."""
    return visium(tmp_path_factory.mktemp("one"))


def same(found):
    return next(finding for finding in found.findings if finding.name == SAME_PICTURE)


def test_the_vendors_own_picture_agrees(section):
    reading = section.read(section.pixels)
    found = preflight(reading)
    assert reading.image_scale == 1.0
    assert not found.refused
    assert same(found).level == "ok"


@pytest.mark.parametrize("factor", SCALES)
def test_a_picture_at_any_scale_is_placed_and_said(one, factor):
    assert_scaled(one, factor)


def test_a_picture_at_another_scale_is_placed_in_every_format(section):
    assert_scaled(section, 0.7)


def assert_scaled(section, factor):
    true = section.read(section.pixels)
    reading = section.read(scaled(section.pixels, factor))
    np.testing.assert_allclose(reading.section.xy_px, true.section.xy_px * factor, atol=2.0)
    assert reading.section.mpp == pytest.approx(true.section.mpp / factor, rel=0.01)
    assert any("times" in note or "by its size" in note for note in reading.notes)
    assert same(preflight(reading)).level == "ok"


@pytest.mark.parametrize("turn", EIGHT[1:], ids=lambda turn: turn.name)
def test_a_turned_picture_is_refused_by_name(one, turn):
    assert_refused(one, turn)


def test_a_turned_picture_is_refused_in_every_format(section):
    assert_refused(section, EIGHT[3])


def assert_refused(section, turn):
    found = same(preflight(section.read(turn.pixels(section.pixels))))
    assert found.level == "refused"
    assert f"the picture is {turn.name}" in found.message
    assert "--align" in found.fix


def test_other_tissue_is_refused(section):
    height, width = section.pixels.shape[:2]
    other = make_phantom(6, size_um=(width, height), mpp=1.0, n_domains=2).image.read(0, 0, width, height)
    found = same(preflight(section.read(other)))
    assert found.level == "refused"
    assert "other tissue" in found.message


def vendor_xy(section):
    """Spots in the vendor's full-resolution pixels, by barcode."""
    reading = section.read(section.pixels)
    return dict(zip(reading.section.spots.obs_names, reading.section.xy_px, strict=True))


def assert_placed(reading, vendor, true, *, within):
    """Every spot is where `true` puts its place in the vendor's pixels, and none that belongs inside is lost."""
    spots = reading.section.spots
    wanted = true(np.array([vendor[name] for name in spots.obs_names]))
    assert np.abs(reading.section.xy_px - wanted).max() < within
    everywhere, (height, width) = true(np.array(list(vendor.values()))), reading.section.image.shape
    clearly = ((everywhere > within) & (everywhere < (width - within, height - within))).all(axis=1)
    assert set(np.array(list(vendor))[clearly]) <= set(spots.obs_names)


@pytest.mark.parametrize("turn", EIGHT[1:], ids=lambda turn: turn.name)
def test_a_turned_picture_gets_its_spots_where_that_is_asked_for(one, turn):
    section = one
    height, width = section.pixels.shape[:2]
    vendor = vendor_xy(section)
    reading = section.read(turn.pixels(section.pixels), align=True)
    assert_placed(reading, vendor, lambda xy: turn.points(xy, (width, height)), within=2.0)
    assert any(turn.name in note for note in reading.notes)
    found = preflight(reading)
    assert not found.refused
    assert turn.name in same(found).message


@pytest.mark.parametrize(("scale", "turn"), [(1.0, EIGHT[0]), (0.5, EIGHT[3])])
def test_a_part_cut_out_of_the_picture_is_refused_with_the_setting_that_places_the_spots(one, scale, turn):
    assert_part(one, scale, turn)


def test_a_part_is_placed_in_every_format(section):
    assert_part(section, 0.7, EIGHT[4])


def assert_part(section, scale, turn):
    left, top, width, height = (int(share * section.pixels.shape[1]) for share in (0.21, 0.12, 0.62, 0.7))
    part = scaled(section.pixels[top : top + height, left : left + width], scale)
    size = part.shape[1], part.shape[0]
    vendor = vendor_xy(section)
    refused = preflight(section.read(turn.pixels(part)))
    assert same(refused).level == "refused"
    assert "--align" in same(refused).fix
    assert "the part of" in same(refused).message

    reading = section.read(turn.pixels(part), align=True)

    def true(xy):
        return turn.points((xy - (left, top)) * np.array(size) / (width, height), size)

    assert_placed(reading, vendor, true, within=3.0 * scale)
    assert same(preflight(reading)).level == "ok"
    assert reading.section.mpp == pytest.approx(section.read(section.pixels).section.mpp / scale, rel=0.01)


def test_other_tissue_is_refused_though_alignment_is_asked_for(one):
    section = one
    height, width = section.pixels.shape[:2]
    other = make_phantom(6, size_um=(width, height), mpp=1.0, n_domains=2).image.read(0, 0, width, height)
    reading = section.read(other[: int(0.8 * height)], align=True)
    assert reading.registration is None
    assert same(preflight(reading)).level == "refused"


def test_a_picture_that_is_right_is_not_moved_by_asking_for_alignment(one):
    section = one
    reading = section.read(section.pixels, align=True)
    assert reading.registration is None
    np.testing.assert_array_equal(reading.section.xy_px, section.read(section.pixels).section.xy_px)


def test_without_the_vendors_picture_sameness_is_said_to_be_open(one):
    section = one
    found = preflight(replace(section.read(section.pixels), thumbnail=None))
    assert same(found).level == "open"
    assert not found.refused


def test_what_the_user_states_decides_where_spots_lie(section):
    width = int(0.9 * section.pixels.shape[1])
    reading = section.read(section.pixels[:, :width], scale="fullres")
    assert reading.image_scale == 1.0
    assert not any(finding.name == SAME_PICTURE for finding in preflight(reading).findings)


def test_pictures_of_one_brightness_agree_with_nothing():
    flat = SlideImage(ArraySource([np.full((60, 60, 3), 200, np.uint8)]))
    assert register(flat, flat).score == 0.0


def test_the_page_of_a_check_shows_the_picture_before_and_after_beside_the_vendors(one):
    found = one.read(EIGHT[3].pixels(one.pixels))
    panels = panels_of(found)
    assert [panel.title.split()[0] for panel in panels] == ["the", "the", "with"]
    vendors, given, mended = (panel.xy / panel.picture.shape[1::-1] for panel in panels)
    np.testing.assert_allclose(given, vendors, atol=0.01)
    np.testing.assert_allclose(mended, 1 - vendors, atol=0.01)
    page = page_of([(found, preflight(found))])
    assert page.count("<img") == 1
    assert "turned by 180 degrees" in page
