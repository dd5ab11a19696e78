"""The preflight names what does not fit, with its numbers, and lets pass what does."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage, sparse

from histoscribe.errors import InputError
from histoscribe.io import Request, read
from histoscribe.io.preflight import break_coordinates, preflight
from histoscribe.io.reading import Reading
from histoscribe.section import Lattice, Section
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.tissue import TissueMask, tissue_mask

WIDTH, HEIGHT, PITCH = 640, 520, 12.5  # pixels of 8 um: a pitch of 100 um
LATTICES = {"hex": Lattice("hex", 100.0, 55.0), "square": Lattice("square", 100.0, 55.0)}

# what a user may have done to right coordinates, and what the refusal must call it
DAMAGE = {
    "mirrored left to right": lambda xy: np.c_[WIDTH - xy[:, 0], xy[:, 1]],
    "mirrored top to bottom": lambda xy: np.c_[xy[:, 0], HEIGHT - xy[:, 1]],
    "turned by 180 degrees": lambda xy: np.c_[WIDTH - xy[:, 0], HEIGHT - xy[:, 1]],
    "x and y look swapped": lambda xy: xy[:, ::-1],
    "turned by 90 degrees anticlockwise": lambda xy: np.c_[xy[:, 1], WIDTH - xy[:, 0]],
    "turned by 90 degrees clockwise": lambda xy: np.c_[HEIGHT - xy[:, 1], xy[:, 0]],
    "turned by 180 degrees, with x and y swapped": lambda xy: np.c_[HEIGHT - xy[:, 1], WIDTH - xy[:, 0]],
}


def off_centre_blob():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (((x - 250) / 190) ** 2 + ((y - 210) / 120) ** 2 < 1) & ~((x > 300) & (y > 230))


def picture(tissue, seed=0):
    """H&E-like pixels on white glass, (h, w, 3) uint8."""
    rng = np.random.default_rng(seed)
    density = 0.25 + 0.5 * (ndimage.gaussian_filter(rng.normal(size=tissue.shape), 0.8) > 0.2)
    stained = 250 * np.exp(-density[..., None] * np.array([0.6, 1.0, 0.4]))
    return np.where(tissue[..., None], stained, 248).astype(np.uint8)


def lattice_points(kind, *, frame=(60, 50, 560, 460), pitch=PITCH):
    """Centres (n, 2), array rows and columns of a lattice that fills a frame (x, y, width, height)."""
    x0, y0, width, height = frame
    step = pitch * (np.sqrt(3) / 2 if kind == "hex" else 1.0)
    row, column = (part.ravel() for part in np.mgrid[: int(height / step), : int(width / pitch)])
    odd = row % 2 if kind == "hex" else 0 * row
    xy = np.stack([x0 + (column + odd / 2) * pitch, y0 + row * step], axis=1)
    return xy, row, 2 * column + odd if kind == "hex" else column


def reading_of(tissue, kind="hex", *, keep=None, off_tissue=True, arrays=True, counts=None, **options):
    """A reading of a picture, with spots where its tissue is, or where `keep(xy)` says."""
    xy, row, column = lattice_points(kind, **options)
    mask = TissueMask(tissue, 1.0)
    on = mask.fraction(xy, diameter_px=0.55 * PITCH) > 0.5
    chosen = on if keep is None else on & keep(xy)
    obs = (
        pd.DataFrame({"array_row": row[chosen], "array_col": column[chosen]})
        if arrays
        else pd.DataFrame(index=range(chosen.sum()))
    )
    obs.index = [f"spot{k}" for k in range(len(obs))]
    n = int(chosen.sum())
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(2, (n, 6)).astype(float)) if counts is None else counts
    spots = AnnData(counts, obs=obs)
    spots.obsm["spatial"] = xy[chosen]
    section = Section.from_anndata(
        spots,
        name="made",
        image=SlideImage(ArraySource([picture(tissue)]), mpp=8.0),
        platform="visium" if kind == "hex" else "st",
        lattice=LATTICES[kind],
    )
    return Reading(
        section=section,
        format="made",
        why="",
        files=(),
        mpp_by_source={"scalefactors spot diameter": 8.0},
        off_tissue_xy_px=xy[~chosen] if off_tissue else np.empty((0, 2)),
    )


@cache
def blob_reading(kind, *, off_tissue=True, arrays=True):
    return reading_of(off_centre_blob(), kind, off_tissue=off_tissue, arrays=arrays)


@cache
def blob_mask():
    return tissue_mask(blob_reading("hex").section.image)


def moved(reading, change):
    """The same reading with all its coordinates changed."""
    spots = reading.section.spots.copy()
    spots.obsm["spatial"] = np.ascontiguousarray(change(reading.section.xy_px), np.float64)
    off = reading.off_tissue_xy_px
    return replace(
        reading,
        section=replace(reading.section, spots=spots),
        off_tissue_xy_px=np.ascontiguousarray(change(off)) if len(off) else off,
    )


def finding(checked, name):
    found = [item for item in checked.findings if item.name == name]
    assert found, f"no finding {name!r} among {[item.name for item in checked.findings]}"
    return found[0]


def refusals(checked):
    return [item.message for item in checked.findings if item.level == "refused"]


@pytest.fixture(scope="module", params=["hex", "square"])
def good(request):
    return blob_reading(request.param)


def test_a_section_that_fits_has_nothing_to_complain_about(good):
    checked = preflight(good)
    # a pixel of 8 um gives a spot of 55 um seven pixels: that much is true
    assert [item.name for item in checked.findings if item.level != "ok"] == ["spot size"]
    checked.raise_if_refused()


@pytest.mark.parametrize("arrays", [True, False], ids=["array", "no array"])
@pytest.mark.parametrize("off_tissue", [True, False], ids=["off tissue listed", "not listed"])
@pytest.mark.parametrize("kind", LATTICES)
@pytest.mark.parametrize("name", DAMAGE)
def test_each_swap_mirror_and_turn_is_named(name, kind, off_tissue, arrays):
    checked = preflight(moved(blob_reading(kind, off_tissue=off_tissue, arrays=arrays), DAMAGE[name]), mask=blob_mask())
    orientation = finding(checked, "orientation")
    assert orientation.level == "refused"
    assert f"{name}: " in orientation.message
    assert orientation.fix


def test_following_the_fix_of_a_turn_fixes_it(good):
    broken = moved(good, DAMAGE["turned by 90 degrees clockwise"])
    assert "use x = y and y = image height - x" in finding(preflight(broken), "orientation").fix
    fixed = moved(broken, lambda xy: np.c_[xy[:, 1], HEIGHT - xy[:, 0]])
    assert not preflight(fixed).refused


def test_a_swap_is_reported_with_both_shares(good):
    message = finding(preflight(moved(good, DAMAGE["x and y look swapped"])), "orientation").message
    assert message.startswith("x and y look swapped: ")
    assert "100 % after exchanging them" in message


def test_a_turned_sign_of_one_axis_is_a_mirror(good):
    checked = preflight(moved(good, lambda xy: xy * (1, -1)))
    assert "mirrored top to bottom" in finding(checked, "orientation").message


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (10.0, "10 times too large"),
        (0.1, "10 times too small"),
        (8.0, "they are microns and not pixels"),
        (1 / 0.3, "they are full-resolution pixels and the image is the hires one"),
        (0.3, "they are hires pixels and the image is the full-resolution one, or they were scaled twice"),
        (1 / 0.09, "they are full-resolution pixels and the image is the lowres one"),
    ],
)
def test_each_scale_error_is_named(good, times, words):
    scaled = replace(moved(good, lambda xy: xy * times), scales={"hires": 0.3, "lowres": 0.09})
    orientation = finding(preflight(scaled), "orientation")
    assert orientation.level == "refused"
    assert words in orientation.message


def test_a_tenfold_disagreement_on_microns_per_pixel_is_refused(good):
    checked = preflight(replace(good, mpp_by_source={"tiff tags": 0.8, "spot pitch": 8.0}))
    pixels = finding(checked, "microns per pixel")
    assert pixels.level == "refused"
    assert "10 times less" in pixels.message


@pytest.mark.parametrize(("tags", "level"), [(8.3, "ok"), (9.5, "warning"), (4.0, "warning"), (0.9, "refused")])
def test_the_tolerance_of_microns_per_pixel(good, tags, level):
    checked = preflight(replace(good, mpp_by_source={"tiff tags": tags}))
    assert finding(checked, "microns per pixel").level == level


def test_stale_tags_are_refused_where_the_spots_do_not_sit_on_tissue(good):
    adrift = moved(good, lambda xy: np.add(xy, (150, 110)))
    checked = preflight(replace(adrift, mpp_by_source={"tiff tags": 2.0}))
    assert finding(checked, "microns per pixel").level == "refused"


def test_spots_outside_the_image_are_counted(good):
    n = good.section.spots.n_obs
    checked = preflight(moved(good, lambda xy: np.add(xy, (3000, 0))))
    inside = finding(checked, "spots inside the image")
    assert inside.level == "refused"
    assert f"{n:,} of {n:,} spots (100 %) lie outside the 640 x 520 px image" in inside.message


def test_a_blank_image_is_refused(good):
    blank = SlideImage(ArraySource([np.full((HEIGHT, WIDTH, 3), 250, np.uint8)]), mpp=8.0)
    assert "looks blank" in refusals(preflight(replace(good, section=replace(good.section, image=blank))))[0]


def test_an_image_of_another_section_is_refused(good):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    other = ((x - 560) / 60) ** 2 + ((y - 440) / 60) ** 2 < 1
    image = SlideImage(ArraySource([picture(other)]), mpp=8.0)
    checked = preflight(replace(good, section=replace(good.section, image=image)))
    message = finding(checked, "spots on tissue").message
    assert checked.refused
    assert "probably of another section" in message


@pytest.mark.parametrize(("mpp", "level"), [(40.0, "refused"), (16.0, "warning"), (1.0, "ok")])
def test_an_image_too_small_for_the_spots_is_named(good, mpp, level):
    coarse = replace(good.section, image=replace(good.section.image, mpp=mpp))
    assert finding(preflight(replace(good, section=coarse)), "spot size").level == level


def test_a_stretched_lattice_is_refused(good):
    checked = preflight(moved(good, lambda xy: xy * (1.0, 0.7)))
    assert "different scales" in finding(checked, "lattice").message
    assert finding(checked, "lattice").level == "refused"


def test_coordinates_joined_to_the_wrong_barcodes_are_refused(good):
    shuffled = np.random.default_rng(0).permutation(good.section.spots.n_obs)
    spots = good.section.spots.copy()
    spots.obsm["spatial"] = good.section.xy_px[shuffled]
    lattice = finding(preflight(replace(good, section=replace(good.section, spots=spots))), "lattice")
    assert lattice.level == "refused"
    assert "do not follow the array" in lattice.message


def test_two_lists_of_spots_that_overlap_are_reported(good):
    checked = preflight(replace(good, off_tissue_xy_px=good.section.xy_px.copy()))
    assert finding(checked, "spots off tissue").level == "warning"
    assert not checked.refused


def test_a_misplaced_section_is_a_warning_with_its_shift(good):
    checked = preflight(moved(good, lambda xy: np.add(xy, (22, -14))))
    shift = finding(checked, "shift")
    assert shift.level == "warning"
    assert (shift.evidence["shift_x_px"], shift.evidence["shift_y_px"]) == pytest.approx((-22, 14), abs=6)
    assert not checked.refused


@pytest.mark.parametrize(("side", "off_tissue"), [(560, True), (560, False)])
def test_a_symmetric_tissue_is_said_to_be_undecidable(side, off_tissue):
    y, x = np.mgrid[:side, :side]
    disc = (x - side / 2 + 0.5) ** 2 + (y - side / 2 + 0.5) ** 2 < 180**2
    reading = reading_of(disc, "square", off_tissue=off_tissue, frame=(30, 30, 500, 500))
    checked = preflight(reading)
    assert not checked.refused
    assert "does not determine" in finding(checked, "orientation").message


def test_the_array_settles_what_a_symmetric_tissue_cannot():
    everywhere = np.ones((HEIGHT, WIDTH), bool)
    reading = reading_of(everywhere, "hex", frame=(30, 30, 460, 460))
    assert finding(preflight(reading), "orientation").level == "ok"
    swapped = finding(preflight(moved(reading, DAMAGE["x and y look swapped"])), "orientation")
    assert swapped.level == "refused"
    assert "x and y look swapped: the array is mirrored" in swapped.message


def test_a_turned_slide_is_no_error():
    tissue = np.rot90(off_centre_blob())
    right = blob_reading("hex")
    turned = moved(right, lambda xy: np.c_[xy[:, 1], WIDTH - xy[:, 0]])  # as np.rot90 turns the picture
    image = SlideImage(ArraySource([picture(tissue)]), mpp=8.0)
    checked = preflight(replace(turned, section=replace(turned.section, image=image)))
    assert refusals(checked) == []


def test_a_picture_mirrored_on_purpose_with_its_spots_passes():
    tissue = off_centre_blob()[:, ::-1]
    right = moved(blob_reading("hex"), DAMAGE["mirrored left to right"])
    image = SlideImage(ArraySource([picture(tissue)]), mpp=8.0)
    assert refusals(preflight(replace(right, section=replace(right.section, image=image)))) == []


def test_spots_chosen_by_the_user_do_not_raise_an_alarm():
    def chosen(xy):
        return np.hypot(xy[:, 0] - 160, xy[:, 1] - 200) < 70

    assert refusals(preflight(reading_of(off_centre_blob(), "hex", keep=chosen, off_tissue=False))) == []


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000), kind=st.sampled_from(["hex", "square"]), off_tissue=st.booleans())
def test_a_correctly_placed_section_is_never_refused(seed, kind, off_tissue):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    hills = [
        np.exp(
            -(((x - rng.uniform(100, 540)) / rng.uniform(60, 220)) ** 2)
            - ((y - rng.uniform(80, 440)) / rng.uniform(60, 220)) ** 2
        )
        for _ in range(rng.integers(1, 5))
    ]
    tissue = sum(hills) > rng.uniform(0.2, 0.7)
    x0, y0 = rng.uniform(0, 120, 2)
    frame = (x0, y0, rng.uniform(250, WIDTH - x0), rng.uniform(250, HEIGHT - y0))
    mask = TissueMask(tissue, 1.0)
    on = mask.fraction(lattice_points(kind, frame=frame)[0], diameter_px=0.55 * PITCH) > 0.5
    assume(on.sum() >= 30)
    reading = reading_of(tissue, kind, off_tissue=off_tissue, frame=frame)
    jitter = rng.uniform(-0.5, 0.5, 2) * PITCH  # registration is never exact
    assert refusals(preflight(moved(reading, lambda xy: xy + jitter), mask=mask)) == []


def test_the_verdict_does_not_depend_on_the_order_of_the_spots(good):
    broken = moved(good, DAMAGE["mirrored left to right"])
    order = np.random.default_rng(0).permutation(broken.section.spots.n_obs)
    section = replace(broken.section, spots=broken.section.spots[order].copy())
    assert preflight(replace(broken, section=section)).to_dict() == preflight(broken).to_dict()


def with_counts(counts):
    n = blob_reading("square").section.spots.n_obs
    return preflight(reading_of(off_centre_blob(), "square", counts=sparse.csr_matrix(counts(n))), mask=blob_mask())


def test_missing_counts_are_reported():
    assert finding(with_counts(lambda n: np.zeros((n, 0))), "counts").level == "warning"


def test_counts_that_are_all_zero_are_refused():
    assert "Every count" in refusals(with_counts(lambda n: np.zeros((n, 3))))[0]


def test_normalised_counts_are_reported():
    counts = finding(with_counts(lambda n: np.random.default_rng(0).random((n, 3))), "counts")
    assert counts.level == "warning"
    assert "not whole numbers" in counts.message


def test_empty_spots_are_counted():
    empty = finding(with_counts(lambda n: np.eye(n, 4) * 3 + 0), "empty spots")
    assert empty.level == "warning"
    assert empty.evidence["empty_share"] > 0.9


def test_genes_without_information_are_refused_where_all_are_so():
    assert finding(with_counts(lambda n: np.full((n, 3), 2.0)), "constant genes").level == "refused"


def test_one_constant_gene_is_a_warning():
    counts = with_counts(lambda n: np.c_[np.full(n, 2.0), np.arange(n)])
    assert finding(counts, "constant genes").level == "warning"


@pytest.mark.parametrize(("n", "level"), [(3, "refused"), (20, "warning")])
def test_too_few_spots_are_reported(n, level):
    reading = blob_reading("square")
    few = replace(reading, section=replace(reading.section, spots=reading.section.spots[:n].copy()))
    assert finding(preflight(few), "number of spots").level == level


def test_spots_at_one_place_are_refused(good):
    checked = preflight(moved(good, lambda xy: np.round(xy / 100) * 100))
    assert finding(checked, "places").level == "refused"


@pytest.mark.parametrize(
    "change",
    [lambda xy: xy * 0, lambda xy: xy * 1e12, lambda xy: xy * -1e12, lambda xy: xy * (1, 0)],
    ids=["one place", "far away", "far below", "one line"],
)
@pytest.mark.parametrize("kind", LATTICES)
def test_senseless_coordinates_are_refused_and_not_stumbled_over(kind, change):
    with pytest.raises(InputError, match="the preflight refuses"):
        preflight(moved(blob_reading(kind), change), mask=blob_mask()).raise_if_refused()


def test_a_single_spot_is_refused():
    reading = blob_reading("square", off_tissue=False, arrays=False)
    one = replace(reading, section=replace(reading.section, spots=reading.section.spots[:1].copy()))
    assert "There are only 1 spots" in refusals(preflight(one, mask=blob_mask()))[0]


def test_barcodes_of_several_sections_are_reported(good):
    spots = good.section.spots.copy()
    spots.obs_names = ["".join("ACGT"[(k // 4**d) % 4] for d in range(12)) + f"-{k % 2 + 1}" for k in range(len(spots))]
    checked = preflight(replace(good, section=replace(good.section, spots=spots)))
    assert "several merged sections" in finding(checked, "barcodes").message


def test_a_section_without_image_is_checked_as_far_as_it_goes(good):
    checked = preflight(replace(good, section=replace(good.section, image=None)))
    assert finding(checked, "image").level == "warning"
    assert not checked.refused


@pytest.mark.parametrize(("how", "words"), [("swap", "x and y look swapped"), ("scale", "10 times too small")])
def test_the_demos_broken_coordinates_are_refused_by_name(good, how, words):
    # only the section is broken: the vendor's spots off tissue stay where they were
    checked = preflight(replace(good, section=break_coordinates(good.section, how)))
    with pytest.raises(InputError, match=words):
        checked.raise_if_refused()


def test_a_refusal_lists_every_reason_and_every_fix(good):
    broken = replace(moved(good, lambda xy: xy * 10), mpp_by_source={"tiff tags": 80.0})
    checked = preflight(broken)
    with pytest.raises(InputError) as caught:
        checked.raise_if_refused()
    assert all(message in str(caught.value) for message in refusals(checked))
    assert len(refusals(checked)) >= 3
    assert "multiply the coordinates by 0.1" in caught.value.fix


def test_findings_are_json(good):
    written = json.loads(json.dumps(preflight(good).to_dict(), allow_nan=False))
    assert written["refused"] is False
    assert {"name", "level", "message", "evidence", "fix"} == set(written["findings"][0])
    assert written["mpp_by_source"]["spot pitch"] == pytest.approx(8.0)


def test_many_bins_are_checked_quickly():
    import time

    side = 500
    y, x = np.mgrid[:side, :side]
    tissue = TissueMask(((x - 220) / 180) ** 2 + ((y - 260) / 200) ** 2 < 1, 4.0)
    xy = np.stack([x.ravel() * 4.0 + 2, y.ravel() * 4.0 + 2], axis=1)
    on = tissue.at(xy)
    obs = pd.DataFrame({"array_row": y.ravel()[on], "array_col": x.ravel()[on]}, index=np.arange(on.sum()).astype(str))
    spots = AnnData(sparse.random(on.sum(), 20, 0.2, format="csr", random_state=0), obs=obs)
    spots.obsm["spatial"] = xy[on]
    image = SlideImage(ArraySource([np.broadcast_to(np.uint8(0), (2000, 2000, 3))]), mpp=2.0)
    section = Section.from_anndata(spots, name="hd", image=image, lattice=Lattice("square", 8.0, 8.0))
    reading = Reading(section=section, format="made", why="", files=(), off_tissue_xy_px=xy[~on])
    start = time.perf_counter()
    preflight(reading, mask=tissue)
    # 113,000 bins take 0.6 s on one idle core: a quadratic step would take minutes
    assert time.perf_counter() - start < 10


REAL = {
    "cortex 151507": {"path": "visium/dlpfc/151507"},
    "cortex 151510": {"path": "visium/dlpfc/151510"},
    "cortex 151673": {"path": "visium/dlpfc/151673"},
    "cortex 151676": {"path": "visium/dlpfc/151676"},
    "breast": {"path": "visium/breast_block_a_section_1"},
    "mouse brain": {"path": "visium/mouse_brain_v1"},
    "mouse CytAssist": {"path": "visium/mouse_cytassist"},
    "all tissue": {"path": "visium/squidpy_crop/test_data.h5ad", "image": "visium/squidpy_crop/test_img.jpg"},
    "olfactory bulb, tiny": {"path": "st/xfuse_mob_tiny"},
    "olfactory bulb 1": {
        "spots": "st/mob_stutility/alignment_table_MOB1.tsv",
        "counts": "st/mob_stutility/MOB1.tsv.gz",
        "image": "st/mob_stutility/MOB1.jpg",
    },
    "olfactory bulb 3": {
        "spots": "st/mob_stutility/alignment_table_MOB3.tsv",
        "counts": "st/mob_stutility/MOB3.tsv.gz",
        "image": "st/mob_stutility/MOB3.jpg",
    },
    "HER2 on black": {
        "spots": "her2st/spots/A1_selection.tsv",
        "counts": "her2st/counts/A1.tsv.gz",
        "image": "her2st/images/A1_app2000.png",
        "scale": "2000/6954",
    },
    "HER2": {
        "spots": "her2st/spots/C3_selection.tsv",
        "counts": "her2st/counts/C3.tsv.gz",
        "image": "her2st/images/C3.jpg",
    },
}


@pytest.mark.parametrize("name", REAL)
def test_real_sections_pass_and_their_corruptions_do_not(name, data_dir):
    parts = {key: value if key == "scale" else data_dir / value for key, value in REAL[name].items()}
    reading = read(Request(section="real", **parts))
    mask = tissue_mask(reading.section.image)
    assert refusals(preflight(reading, mask=mask)) == []
    swapped = preflight(replace(reading, section=break_coordinates(reading.section, "swap")), mask=mask)
    assert "swapped" in finding(swapped, "orientation").message
    assert swapped.refused
    scaled = preflight(replace(reading, section=break_coordinates(reading.section, "scale")), mask=mask)
    assert "10 times too small" in finding(scaled, "orientation").message


def xenium(data_dir, columns):
    """Cells of a Xenium section, whose x_pixel is the row and y_pixel the column."""
    import anndata
    from PIL import Image

    folder = data_dir / "xenium/ncbi858"
    cells = anndata.read_h5ad(folder / "NCBI858.h5ad")
    cells.obsm["spatial"] = cells.obs[list(columns)].to_numpy(np.float64)
    image = SlideImage(ArraySource([np.asarray(Image.open(folder / "NCBI858.jpg").convert("RGB"))]), mpp=2.0)
    section = Section.from_anndata(cells, name="xenium", image=image)
    return preflight(Reading(section=section, format="made", why="", files=()))


def test_the_xenium_trap_is_a_swap(data_dir):
    checked = xenium(data_dir, ("x_pixel", "y_pixel"))
    message = finding(checked, "orientation").message
    assert message.startswith("x and y look swapped: ")
    assert checked.refused


def test_the_xenium_section_passes_when_its_columns_are_exchanged(data_dir):
    assert refusals(xenium(data_dir, ("y_pixel", "x_pixel"))) == []


def test_gene_names_that_a_spreadsheet_changed_are_named_with_the_likely_gene(good):
    spots = good.section.spots.copy()
    spots.var_names = ["1-Mar", "2-Sep", "DEC-1", "2.31E+13", "MARCO", "SEPP1"]
    found = finding(preflight(replace(good, section=replace(good.section, spots=spots))), "gene names")
    assert found.level == "warning"
    assert found.message.startswith("4 gene names")
    for words in ("1-Mar (MARCHF1)", "2-Sep (SEPTIN2)", "DEC-1 (DELEC1)", "2.31E+13 (a RIKEN gene)"):
        assert words in found.message
