import io
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest

from histoscribe.errors import ConfigError
from histoscribe.report.layout import house_style
from histoscribe.report.maps import write_maps_page
from histoscribe.report.maps_contents import GeneMap, MapsContents, Redrawn
from histoscribe.report.maps_figures import composite_rgb, draw_gene


def contents(genes=2, spots=5, maps=None):
    rng = np.random.default_rng(0)
    rasters = rng.gamma(1.0, 1.0, (genes, 30, 40)).astype(np.float32)
    rasters[:, :3] = np.nan
    made = [GeneMap(f"G/{k}<", raster, raster if spots else None, np.ones(spots)) for k, raster in enumerate(rasters)]
    given = {
        "section": "S",
        "picture": np.full((60, 80, 3), 230, np.uint8),
        "picture_um": 8.0,
        "raster_um": 16.0,
        "genes": tuple(maps or made),
        "xy_um": rng.uniform(100, 400, (spots, 2)),
        "diameter_um": 55.0,
    }
    return MapsContents(**given)


def test_the_page_holds_every_figure_and_escapes_names(tmp_path):
    files = write_maps_page(tmp_path, contents())
    assert {"composite.png", "map_G_0_.png", "map_G_1_.png", "report.html"} == {file.name for file in files}
    page = (tmp_path / "report.html").read_text()
    assert page.count("<img") == 3
    assert "G/0<" not in page


def test_the_picture_that_is_reconstructed_stands_beside_the_true_one(tmp_path):
    picture = np.full((60, 80, 3), 200, np.uint8)
    redrawn = Redrawn(truth=picture, made=picture // 2, um_per_px=8.0, ssim=0.734)
    files = write_maps_page(tmp_path, replace(contents(), redrawn=redrawn))
    assert "reconstruction.png" in {file.name for file in files}
    assert "reconstruct, SSIM 0.73" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("spots", [5, 0])
def test_nothing_is_cut_off_at_the_border_of_a_flat_sections_figure(spots):
    raster = np.ones((20, 100), np.float32)
    flat = replace(
        contents(genes=1, spots=spots),
        picture=np.full((40, 200, 3), 230, np.uint8),
        genes=(GeneMap("A", raster, raster if spots else None, np.ones(spots)),),
    )
    with house_style():
        figure = draw_gene(flat, flat.genes[0])
    pixels = np.asarray(PIL.Image.open(io.BytesIO(figure.png)).convert("L"))
    assert pixels.min() < 100
    assert min(edge.min() for edge in (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:])) == 255


def test_the_same_contents_give_the_same_bytes(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        write_maps_page(tmp_path / name, contents())
    assert (tmp_path / "a/report.html").read_bytes() == (tmp_path / "b/report.html").read_bytes()


def test_a_slide_without_spots_is_drawn(tmp_path):
    assert write_maps_page(tmp_path, contents(spots=0))


def test_a_gene_brightens_its_own_places_in_its_own_colour():
    raster = np.zeros((30, 40), np.float32)
    raster[10:20, 10:20] = 1
    one = contents(genes=1)
    shown = MapsContents(
        **{name: getattr(one, name) for name in ("section", "picture", "picture_um", "raster_um", "xy_um")},
        genes=(GeneMap("A", raster, None, np.empty(0)),),
        diameter_um=55.0,
    )
    rgb = composite_rgb(shown).astype(int)
    assert rgb[30, 30, 0] > rgb[5, 5, 0] + 100  # magenta: much red, little green
    assert rgb[30, 30, 0] > rgb[30, 30, 1] + 50


def test_rasters_of_other_shapes_are_refused():
    one = contents(genes=1).genes[0]
    other = GeneMap("B", np.zeros((4, 4), np.float32), None, np.empty(0))
    with pytest.raises(ConfigError, match="do not fit each other"):
        contents(maps=(one, other))
