"""Visium folders of every Space Ranger version and layout give the same section."""

import gzip
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from histoscribe.errors import ConfigError, InputError
from histoscribe.io import Request, detect, read
from histoscribe.io.preflight import preflight
from histoscribe.phantom import make_phantom, write_spaceranger
from histoscribe.section import Lattice

LIST = "tissue_positions_list"


def test_counts_places_and_lattice_are_read(visium):
    reading = read(visium.path)
    section = reading.section
    assert (section.name, section.platform, section.lattice) == ("run", "visium", Lattice("hex", 100.0, 55.0))
    assert section.spots.obs_names.tolist() == visium.barcodes
    assert section.spots.shape == (90, 6)
    assert section.spots.var["gene_ids"].tolist() == [f"ENS{k:04d}" for k in range(6)]
    assert section.spots.obs["array_row"].min() == 1
    assert len(reading.off_tissue_xy_px) == 10


def test_counts_stay_with_their_barcode(visium, make):
    shuffled = visium.barcodes[::-1]
    make.write_10x_h5(visium.matrix, shuffled, make.counts_of(shuffled))
    spots = read(visium.path).section.spots
    expected = make.counts_of(shuffled).toarray()[::-1]
    assert spots.obs_names.tolist() == visium.barcodes
    np.testing.assert_array_equal(spots.X.toarray(), expected)


def test_x_is_the_column_and_y_the_row(visium):
    spots = read(visium.path, scale="hires").section.spots
    second = spots.obsm["spatial"][spots.obs_names.get_loc("AC0204-1")]
    # array row 2, column 4: 40 + 4 * 10 across and 40 + 2 * 17.32 down, times 0.5
    np.testing.assert_allclose(second, [40.0, (40 + 2 * 10 * np.sqrt(3)) / 2])


@pytest.mark.parametrize(("scale", "side", "mpp"), [("hires", 140, 10.0), ("lowres", 70, 20.0)])
def test_the_picture_asked_for_is_opened_and_spots_are_scaled_to_it(visium, scale, side, mpp):
    reading = read(visium.path, scale=scale)
    assert reading.section.image.width == side
    assert reading.image_scale == {"hires": 0.5, "lowres": 0.25}[scale]
    # 100 um are 20 full-resolution pixels
    assert reading.section.mpp == pytest.approx(mpp, rel=1e-6)
    assert reading.mpp_by_source["scalefactors spot diameter"] == pytest.approx(mpp, rel=1e-6)


def test_hires_is_preferred_to_lowres_and_said(visium):
    reading = read(visium.path)
    assert reading.section.image.path.name == "tissue_hires_image.png"
    assert any("tissue_hires_image.png" in note for note in reading.notes)


@pytest.mark.parametrize("place", ["path", "outs"])
@pytest.mark.parametrize("given", ["path", "outs"])
def test_a_full_resolution_image_in_the_run_folder_or_in_outs_is_preferred(visium, make, place, given):
    made = make.picture(getattr(visium, place) / "he.tif")
    reading = read(getattr(visium, given))
    assert reading.section.image.path == made
    assert reading.image_scale == 1.0
    assert reading.section.mpp == pytest.approx(5.0)


@pytest.mark.parametrize("others", [True, False])
def test_a_picture_of_any_name_beside_the_positions_is_found(visium, make, others):
    if not others:
        for name in ("hires", "lowres"):
            (visium.spatial / f"tissue_{name}_image.png").unlink()
    made = make.picture(visium.spatial / "oi.png")
    reading = read(visium.path)
    assert reading.section.image.path == made
    assert reading.image_scale == 1.0
    assert any("oi.png, full resolution" in note for note in reading.notes)


def test_a_picture_beside_the_positions_that_does_not_hold_the_spots_is_none_of_theirs(visium, make):
    for name in ("hires", "lowres"):
        (visium.spatial / f"tissue_{name}_image.png").unlink()
    make.picture(visium.spatial / "oi.png", 0.5)
    reading = read(visium.path)
    assert reading.section.image is None
    assert any("oi.png" in note and "spots lie outside" in note for note in reading.notes)


def test_a_picture_of_another_size_beside_the_run_is_not_taken_for_the_full_resolution(visium, make):
    make.picture(visium.path / "poster.jpg", 1.0, (300, 300))
    reading = read(visium.path)
    assert reading.section.image.path.name == "tissue_hires_image.png"
    assert any("poster.jpg" in note and "300 x 300" in note for note in reading.notes)


def test_two_possible_full_resolution_images_are_named_and_neither_is_guessed(visium, make):
    make.picture(visium.path / "a.tif")
    make.picture(visium.path / "b.tif")
    reading = read(visium.path)
    assert reading.section.image.path.name == "tissue_hires_image.png"
    assert any("a.tif" in note and "b.tif" in note for note in reading.notes)


@pytest.mark.parametrize("factor", [1.0, 0.5, 0.25])
def test_the_frame_of_a_given_image_is_found_by_its_size(visium, make, tmp_path, factor):
    reading = read(visium.path, image=make.picture(tmp_path / "mine.png", factor))
    assert reading.image_scale == factor


def test_the_frame_of_a_given_image_is_found_by_the_spots_where_no_other_picture_gives_it(visium, make, tmp_path):
    for name in ("hires", "lowres"):
        (visium.spatial / f"tissue_{name}_image.png").unlink()
    reading = read(visium.path, image=make.picture(tmp_path / "mine.png", 0.5))
    assert reading.image_scale == 0.5


@pytest.mark.parametrize("scale", ["0.4", "112/280"])
def test_a_factor_or_two_widths_state_the_frame_of_any_picture(visium, make, tmp_path, scale):
    reading = read(visium.path, image=make.picture(tmp_path / "mine.png", 0.4), scale=scale)
    assert reading.image_scale == pytest.approx(0.4)
    assert reading.section.mpp == pytest.approx(12.5)


def test_an_unknown_scale_is_refused(visium, make, tmp_path):
    with pytest.raises(ConfigError, match="hiresolution"):
        read(visium.path, image=make.picture(tmp_path / "mine.png"), scale="hiresolution")


def test_space_ranger_1_positions_without_header(visium):
    expected = read(visium.path).section
    table = pd.read_csv(visium.positions)
    visium.positions.unlink()
    table.to_csv(visium.spatial / f"{LIST}.csv", index=False, header=False)
    assert_same(read(visium.path).section, expected)


def test_space_ranger_positions_as_parquet(visium):
    expected = read(visium.path).section
    table = pd.read_csv(visium.positions)
    visium.positions.unlink()
    table.to_parquet(visium.spatial / "tissue_positions.parquet", index=False)
    assert_same(read(visium.path).section, expected)


def test_positions_with_byte_order_mark_windows_line_ends_and_gzip(visium):
    expected = read(visium.path).section
    text = b"\xef\xbb\xbf" + visium.positions.read_bytes().replace(b"\n", b"\r\n")
    visium.positions.unlink()
    (visium.spatial / "tissue_positions.csv.gz").write_bytes(gzip.compress(text))
    assert_same(read(visium.path).section, expected)


@pytest.mark.parametrize("zipped", [True, False])
def test_matrix_market_folder(visium, make, zipped):
    expected = read(visium.path).section
    visium.matrix.unlink()
    make.write_mtx(
        visium.outs / "filtered_feature_bc_matrix", visium.barcodes, make.counts_of(visium.barcodes), zipped=zipped
    )
    assert_same(read(visium.path).section, expected)


def test_a_raw_matrix_is_read_where_there_is_no_filtered_one_and_said(visium, make):
    every = make.positions()["barcode"].tolist()
    visium.matrix.unlink()
    make.write_10x_h5(visium.outs / "raw_feature_bc_matrix.h5", every, make.counts_of(every))
    reading = read(visium.path)
    assert reading.section.spots.obs_names.tolist() == visium.barcodes
    assert any("raw_feature_bc_matrix.h5" in note for note in reading.notes)


def test_the_filtered_matrix_is_preferred_to_the_raw_one(visium, make):
    every = make.positions()["barcode"].tolist()
    make.write_10x_h5(visium.outs / "raw_feature_bc_matrix.h5", every, make.counts_of(every))
    assert visium.matrix in read(visium.path).files


def test_without_a_matrix_the_section_has_spots_and_no_genes(visium):
    visium.matrix.unlink()
    section = read(visium.path).section
    assert section.spots.shape == (90, 0)
    assert not section.has_counts


@pytest.mark.parametrize("given", ["run", "outs", "spatial"])
def test_run_folder_outs_and_spatial_are_the_same_section(visium, given):
    path = {"run": visium.path, "outs": visium.outs, "spatial": visium.spatial}[given]
    reading = read(path)
    assert reading.section.name == "run"
    assert reading.section.spots.n_obs == 90


def test_flat_folder_with_prefixed_names(visium, tmp_path):
    flat = tmp_path / "GSM1"
    flat.mkdir()
    for file in (*visium.spatial.iterdir(), visium.matrix):
        shutil.copy(file, flat / f"GSM1_A_{file.name}")
    section = read(flat).section
    assert section.spots.shape == (90, 6)
    assert section.image.width == 140


def test_flat_folder_whose_positions_are_named_txt(visium, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    pd.read_csv(visium.positions).to_csv(flat / f"{LIST}.txt", index=False, header=False)
    shutil.copy(visium.factors, flat)
    shutil.copy(visium.spatial / "tissue_lowres_image.png", flat)
    assert read(flat).image_scale == 0.25


def test_loose_space_ranger_files_are_read_as_visium(visium, make, tmp_path):
    request = Request(
        section="S", spots=visium.positions, counts=visium.matrix, image=make.picture(tmp_path / "he.png")
    )
    reading = read(request)
    assert (reading.format, reading.image_scale, reading.section.spots.shape) == ("visium", 1.0, (90, 6))


def test_spots_on_tissue_without_counts_are_left_out_and_counted(visium, make):
    make.write_10x_h5(visium.matrix, visium.barcodes[:80], make.counts_of(visium.barcodes[:80]))
    reading = read(visium.path)
    assert reading.section.spots.n_obs == 80
    assert "10 spots on tissue without counts were left out" in reading.notes


def test_features_that_are_not_genes_are_left_out_and_counted(visium, make):
    kinds = ["Gene Expression"] * 4 + ["Antibody Capture"] * 2
    make.write_10x_h5(visium.matrix, visium.barcodes, make.counts_of(visium.barcodes), kinds=kinds)
    reading = read(visium.path)
    assert reading.section.spots.n_vars == 4
    assert any("2 features of type Antibody Capture" in note for note in reading.notes)


def test_gene_names_that_repeat_are_numbered_and_markup_stays_data(visium, make):
    names = ["A", "A", "A-1", "A", "<script>alert(1)</script>", "B"]
    make.write_10x_h5(visium.matrix, visium.barcodes, make.counts_of(visium.barcodes), names=names)
    reading = read(visium.path)
    assert reading.section.spots.var_names.tolist() == ["A", "A-2", "A-1", "A-3", "<script>alert(1)</script>", "B"]
    assert any("stand more than once" in note for note in reading.notes)


@pytest.mark.parametrize("nominal_um", [55, 65, 70])
def test_every_nominal_spot_diameter_confirms_the_pitch(visium, nominal_um):
    factors = json.loads(visium.factors.read_text()) | {"spot_diameter_fullres": nominal_um / 5}
    visium.factors.write_text(json.dumps(factors))
    sources = read(visium.path).mpp_by_source
    assert sources["scalefactors spot diameter"] == pytest.approx(sources["spot pitch"], rel=1e-6)


def test_a_tenfold_error_of_the_spot_diameter_stays_visible(visium):
    factors = json.loads(visium.factors.read_text()) | {"spot_diameter_fullres": 130.0}
    visium.factors.write_text(json.dumps(factors))
    sources = read(visium.path).mpp_by_source
    assert sources["spot pitch"] / sources["scalefactors spot diameter"] > 8


def test_microns_per_pixel_given_by_the_user_come_first(visium):
    reading = read(visium.path, mpp=9.0)
    assert reading.section.mpp == 9.0
    assert next(iter(reading.mpp_by_source)) == "given"
    assert reading.mpp_by_source["spot pitch"] == pytest.approx(10.0)


def test_every_file_that_was_read_is_listed(visium):
    names = {file.name for file in read(visium.path).files}
    assert names == {
        "tissue_positions.csv",
        "scalefactors_json.json",
        "filtered_feature_bc_matrix.h5",
        "tissue_hires_image.png",
    }


def test_an_11_mm_slide_has_the_same_pitch(visium):
    table = pd.read_csv(visium.positions)
    table["array_row"] += 100
    table["array_col"] += 150
    table.to_csv(visium.positions, index=False)
    assert read(visium.path).section.mpp == pytest.approx(10.0)


def test_detection_says_what_it_saw(visium):
    found = detect(visium.path)
    assert found.format == "visium"
    assert "tissue_positions.csv" in found.why


def assert_same(section, expected):
    assert section.spots.obs_names.equals(expected.spots.obs_names)
    np.testing.assert_array_equal(section.spots.X.toarray(), expected.spots.X.toarray())
    np.testing.assert_allclose(section.xy_px, expected.xy_px)
    assert section.spots.var_names.tolist() == expected.spots.var_names.tolist()


def of_another_section(outs, *, share, seed=0):
    """Call some spots with counts off tissue, and as many others on it, as the positions of another section do."""
    path = next((outs / "spatial").glob("tissue_positions*"))
    table = pd.read_csv(path)
    rng = np.random.default_rng(seed)
    on, off = (np.flatnonzero(table["in_tissue"] == value) for value in (1, 0))
    n = min(round(share * len(on)), len(off))
    table.loc[rng.choice(on, n, replace=False), "in_tissue"] = 0
    table.loc[rng.choice(off, n, replace=False), "in_tissue"] = 1
    table.to_csv(path, index=False)


@pytest.mark.parametrize(("share", "level"), [(0.0, "ok"), (0.04, "warning"), (0.15, "refused"), (0.3, "refused")])
def test_counts_of_another_section_are_refused(share, level, tmp_path):
    outs = write_spaceranger(make_phantom(5, size_um=1500.0, mpp=2.0, n_genes=40), tmp_path / "s")
    of_another_section(outs, share=share)
    (found,) = [one for one in preflight(read(outs)).findings if one.name == "counts and positions"]
    assert found.level == level
    assert ("different sections" in found.message) == (level == "refused")


def test_spots_that_a_user_left_out_of_the_counts_are_no_other_section(tmp_path):
    outs = write_spaceranger(make_phantom(5, size_um=1500.0, mpp=2.0, n_genes=40), tmp_path / "s")
    (path,) = (outs / "spatial").glob("tissue_positions*")
    table = pd.read_csv(path)
    off = np.flatnonzero(table["in_tissue"] == 0)[:20]
    table.loc[off, "in_tissue"] = 1
    table.to_csv(path, index=False)
    (found,) = [one for one in preflight(read(outs)).findings if one.name == "counts and positions"]
    assert found.level == "warning"


@pytest.mark.parametrize("ending", ["", "-2", "-17"])
def test_barcodes_that_end_differently_are_joined_and_said(visium, make, ending):
    expected = read(visium.path).section.spots.X.toarray()
    other = [barcode.removesuffix("-1") + ending for barcode in visium.barcodes]
    make.write_10x_h5(visium.matrix, other, make.counts_of(other))
    reading = read(visium.path)
    assert reading.section.spots.obs_names.tolist() == visium.barcodes
    np.testing.assert_array_equal(reading.section.spots.X.toarray(), expected)
    assert any("end differently" in note for note in reading.notes)


def test_barcodes_of_several_sections_are_not_joined_by_their_stems(visium, make):
    stems = [barcode.removesuffix("-1") for barcode in visium.barcodes[:45]]
    twice = [*(f"{stem}-2" for stem in stems), *(f"{stem}-3" for stem in stems)]
    make.write_10x_h5(visium.matrix, twice, make.counts_of(twice))
    with pytest.raises(InputError, match="have no position"):
        read(visium.path)


def test_files_of_macos_beside_the_real_ones_are_passed_over(visium):
    expected = read(visium.path)
    for path in [*visium.outs.iterdir(), *visium.spatial.iterdir()]:
        path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07")
    reading = read(visium.path)
    assert reading.files == expected.files
    assert reading.notes == expected.notes


def test_compressed_pictures_are_named(visium):
    for name in ("hires", "lowres"):
        path = visium.spatial / f"tissue_{name}_image.png"
        path.with_name(f"GSM1_{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert not any("compressed" in note for note in read(visium.path).notes)
    (visium.spatial / "tissue_hires_image.png").unlink()
    (note,) = [note for note in read(visium.path).notes if "compressed" in note]
    assert "GSM1_tissue_hires_image.png.gz" in note


@pytest.mark.parametrize("kind", ["tissue_positions_list.csv", "tissue_positions.parquet"])
def test_two_tables_of_positions_must_be_alike(visium, kind):
    table = pd.read_csv(visium.positions)
    other = visium.spatial / kind

    def write(changed):
        changed.to_parquet(other) if kind.endswith("t") else changed.to_csv(other, index=False, header=False)

    write(table)
    assert read(visium.path).section.spots.n_obs == 90
    table["pxl_row_in_fullres"] += 0.4  # rounded
    write(table)
    assert read(visium.path).section.spots.n_obs == 90
    table.loc[3, "pxl_row_in_fullres"] += 50
    table.loc[40, "in_tissue"] = 0
    write(table)
    with pytest.raises(InputError, match="different tables of positions(.|\n)*2 spots at other places"):  # noqa: RUF043
        read(visium.path)
    assert read(visium.path, spots=visium.positions).section.spots.n_obs == 90


def test_a_matrix_that_is_gzipped_as_a_whole_is_read(visium):
    expected = read(visium.path).section.spots.X.sum()
    packed = visium.matrix.with_name(visium.matrix.name + ".gz")
    packed.write_bytes(gzip.compress(visium.matrix.read_bytes()))
    assert read(visium.path).section.spots.X.sum() == expected
    visium.matrix.unlink()
    reading = read(visium.path)
    assert reading.section.spots.X.sum() == expected
    assert packed in reading.files
    packed.write_bytes(gzip.compress(b"no matrix"))
    with pytest.raises(InputError, match=packed.name):
        read(visium.path)


@pytest.mark.parametrize("name", ["GSM1_spatial.tar.gz", "x.zip", "matrix.tgz"])
def test_archives_are_named(visium, name, tmp_path):
    (visium.outs / name).write_bytes(b"x")
    assert any(f"{name} lies beside the section and was not read" in note for note in read(visium.path).notes)
    alone = tmp_path / "geo"
    alone.mkdir()
    (alone / name).write_bytes(b"x")
    with pytest.raises(InputError, match=f"holds archives(.|\n)*{name}"):
        read(alone)
    with pytest.raises(InputError, match="this is an archive"):
        read(alone / name)


def test_cells_of_space_ranger_4_are_named(visium, tmp_path):
    cells = tmp_path / "run4" / "outs" / "segmented_outputs"
    (cells / "spatial").mkdir(parents=True)
    (cells / "spatial" / "scalefactors_json.json").write_text("{}")
    for path in (cells, cells.parent, cells.parent.parent):
        with pytest.raises(InputError, match="segmented cells of Space Ranger 4"):
            read(path)
    (visium.outs / "segmented_outputs").mkdir()
    assert any("segmented_outputs lies beside the section" in note for note in read(visium.path).notes)
