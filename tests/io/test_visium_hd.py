"""Visium HD bins are chosen by their size and placed as Visium spots are."""

import shutil

import numpy as np
import pytest

from histoscribe.errors import ConfigError
from histoscribe.io import detect, read, read_samplesheet
from histoscribe.section import Lattice


@pytest.mark.parametrize(("bin_um", "spots"), [(None, 380), (8, 380), (16, 90)])
def test_bins_of_8_um_unless_another_size_is_asked_for(visium_hd, bin_um, spots):
    section = read(visium_hd, bin_um=bin_um).section
    side = float(bin_um or 8)
    assert section.spots.n_obs == spots
    assert section.lattice == Lattice("square", side, side)


def test_three_sources_agree_on_microns_per_pixel(visium_hd):
    sources = read(visium_hd).mpp_by_source
    assert set(sources) == {"spot pitch", "scalefactors microns_per_pixel", "scalefactors spot diameter"}
    # 0.5 um per full-resolution pixel, seen in a picture of half its size
    np.testing.assert_allclose(list(sources.values()), 1.0, rtol=1e-6)


def test_places_are_scaled_to_the_picture(visium_hd):
    section = read(visium_hd, bin_um=16).section
    first = section.xy_px[section.spots.obs_names.get_loc("s_016um_00001_00000-1")]
    np.testing.assert_allclose(first, [(350 - 16) / 2, (10 + 48) / 2])


def test_a_full_resolution_image_of_the_request_is_used(visium_hd, make, tmp_path):
    reading = read(visium_hd, image=make.picture(tmp_path / "he.tif", 1.0, (360, 360)))
    assert reading.image_scale == 1.0
    assert reading.section.mpp == pytest.approx(0.5)


def test_a_picture_of_the_run_serves_bins_that_have_none(visium_hd):
    source = visium_hd / "outs" / "binned_outputs" / "square_008um" / "spatial" / "tissue_hires_image.png"
    (visium_hd / "outs" / "spatial").mkdir()
    shutil.move(source, visium_hd / "outs" / "spatial")
    assert read(visium_hd).image_scale == 0.5


@pytest.mark.parametrize("inner", ["outs", "outs/binned_outputs", "outs/binned_outputs/square_016um"])
def test_the_folder_may_be_given_at_any_depth(visium_hd, inner):
    reading = read(visium_hd / inner, bin_um=16)
    assert (reading.section.name, reading.section.spots.n_obs) == ("hd_run", 90)


def test_the_only_size_present_is_taken_and_said(visium_hd):
    shutil.rmtree(visium_hd / "outs" / "binned_outputs" / "square_008um")
    reading = read(visium_hd)
    assert reading.section.lattice.pitch_um == 16
    assert any("16 um" in note for note in reading.notes)


def test_a_size_that_is_not_there_is_refused_with_those_that_are(visium_hd):
    with pytest.raises(ConfigError, match="no bins of 2 um") as caught:
        read(visium_hd, bin_um=2)
    assert "8, 16" in str(caught.value)


def test_a_folder_of_bins_is_no_plain_visium(visium_hd):
    assert detect(visium_hd / "outs" / "binned_outputs" / "square_008um").format == "visium_hd"


@pytest.mark.parametrize("bin_um", [4, 24])
def test_bins_of_any_size_that_is_there_are_read(visium_hd, tmp_path, bin_um):
    base = visium_hd / "outs" / "binned_outputs"
    (base / "square_016um").rename(base / f"square_{bin_um:03d}um")
    factors = base / f"square_{bin_um:03d}um" / "spatial" / "scalefactors_json.json"
    factors.write_text(factors.read_text().replace("16.0", f"{bin_um}.0"))
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"section,path,bin_um\nA,{visium_hd},{bin_um}\n")
    (request,) = read_samplesheet(sheet)
    assert read(request).section.lattice.pitch_um == bin_um
