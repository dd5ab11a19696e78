"""Legacy ST sections: named files of a study, loose files, 1k and 2k arrays, pictures made smaller."""

import gzip

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from histoscribe.errors import InputError
from histoscribe.io import Request, detect, read, sections_in
from histoscribe.io.st_names import fitting_names
from histoscribe.section import Lattice


def request(st, **changes):
    return Request(**{"section": "S1", "spots": st.spots, "counts": st.counts, "image": st.image} | changes)


def test_selected_spots_with_their_counts(st):
    reading = read(request(st))
    section = reading.section
    assert (reading.format, section.platform, section.lattice) == ("st", "st", Lattice("square", 200.0, 100.0))
    assert section.spots.shape == (28, 6)
    assert len(reading.off_tissue_xy_px) == 2
    assert section.mpp == pytest.approx(5.0)


def test_counts_are_joined_on_the_name_not_the_row(st):
    spots = read(request(st)).section.spots
    table = pd.read_csv(st.counts, sep="\t", index_col=0)
    np.testing.assert_array_equal(spots.X.toarray(), table.loc[spots.obs_names].to_numpy())


def test_pixel_x_is_the_column(st):
    spots = read(request(st)).section.spots
    np.testing.assert_allclose(spots.obsm["spatial"][spots.obs_names.get_loc("6x12")], [100.5, 110.25])
    assert spots.obs.loc["6x12", ["array_row", "array_col"]].tolist() == [12, 6]


@pytest.mark.parametrize("scale", ["0.5", "110/220", 0.5])
def test_a_picture_made_smaller_needs_its_factor(st, make, tmp_path, scale):
    small = make.picture(tmp_path / "small.png", 0.5, (220, 280))
    reading = read(request(st, image=small), scale=scale)
    assert reading.image_scale == 0.5
    assert reading.section.mpp == pytest.approx(10.0)
    np.testing.assert_allclose(reading.section.xy_px[0], [60.5 / 2, 30.25 / 2])


def test_without_the_factor_the_note_says_that_the_spots_do_not_fit(st, make, tmp_path):
    small = make.picture(tmp_path / "small.png", 0.5, (220, 280))
    assert any("fit the image in no known frame" in note for note in read(request(st, image=small)).notes)


def test_selected_spots_without_counts_are_left_out_and_counted(st):
    table = pd.read_csv(st.counts, sep="\t", index_col=0).drop(index=["6x12", "5x12"])
    table.to_csv(st.counts, sep="\t")
    reading = read(request(st))
    assert reading.section.spots.n_obs == 26
    assert "2 selected spots without counts were left out" in reading.notes


def test_counts_without_a_spot_are_left_out_and_counted(st):
    table = pd.read_csv(st.spots, sep="\t")
    table[table["x"] != 8].to_csv(st.spots, sep="\t", index=False)
    assert "6 rows of counts that have no spot were left out" in read(request(st)).notes


def test_a_table_without_the_column_selected_keeps_every_spot(st):
    pd.read_csv(st.spots, sep="\t").drop(columns="selected").to_csv(st.spots, sep="\t", index=False)
    assert read(request(st)).section.spots.n_obs == 30


def test_a_header_without_its_first_field_is_understood(st):
    text = gzip.decompress(st.counts.read_bytes()).decode()
    assert text.startswith("\t")
    st.counts.write_bytes(gzip.compress(text[1:].encode()))
    assert read(request(st)).section.spots.n_vars == 6


def test_spots_on_every_other_grid_point_are_a_turned_square_lattice(st, tmp_path):
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(10, 22), np.arange(30, 40)))
    x, y = x[(x + y) % 2 == 0], y[(x + y) % 2 == 0]
    table = pd.DataFrame({"x": x, "y": y, "pixel_x": x * 25.0, "pixel_y": y * 25.0})
    path = tmp_path / "alignment_table_M.tsv"
    table.to_csv(path, sep="\t", index=False)
    section = read(Request(spots=path)).section
    # neighbours stand one step along both axes, 100 um each
    assert section.lattice.pitch_um == pytest.approx(141.42, abs=0.01)
    assert read(Request(spots=path)).mpp_by_source["spot pitch"] == pytest.approx(4.0)
    steps = section.spots.obs[["array_row", "array_col"]].to_numpy()
    xy = section.xy_px
    near = np.isclose(np.linalg.norm(xy - xy[20], axis=1), 25 * np.sqrt(2))
    assert (np.abs(steps[near] - steps[20]).sum(axis=1) == 1).all()


def test_files_of_a_study_folder_are_found_by_the_name_of_the_section(st):
    root = st.spots.parent.parent
    reading = read(root, section="S1")
    assert {file.name for file in reading.files} == {"S1_selection.tsv", "S1.tsv.gz", "S1_he.png"}
    assert detect(root).format == "st"


def test_a_folder_of_several_sections_asks_for_one_and_lists_them(st):
    root = st.spots.parent.parent
    (st.spots.parent / "S2_selection.tsv").write_bytes(st.spots.read_bytes())
    assert sections_in(root) == ["S1", "S2"]
    with pytest.raises(InputError, match="several sections") as caught:
        read(root)
    assert "S1, S2" in str(caught.value)


def test_a_section_without_picture_and_counts_is_a_section(st):
    section = read(Request(spots=st.spots)).section
    assert section.image is None
    assert section.spots.shape == (28, 0)


def renamed(st, change):
    table = pd.read_csv(st.counts, sep="\t", index_col=0)
    table.index = [change(*name.split("x")) for name in table.index]
    table.to_csv(st.counts, sep="\t")
    return table


@pytest.mark.parametrize("sign", ["x", "X", "×", "_"])
def test_rows_named_the_other_way_round_are_read_so_and_said(st, sign):
    expected = read(request(st)).section.spots
    renamed(st, lambda x, y: f"{y}{sign}{x}")
    reading = read(request(st))
    np.testing.assert_array_equal(reading.section.spots.X.toarray(), expected.X.toarray())
    assert reading.section.spots.obs_names.tolist() == expected.obs_names.tolist()
    assert any("named row x column and were read so: 28 of 30 rows meet" in note for note in reading.notes)


def test_names_with_the_fractions_of_an_alignment_meet_their_spots(st):
    renamed(st, lambda x, y: f"{x}.04x{int(y) - 1}.97")
    assert read(request(st)).section.spots.shape == (28, 6)


def test_where_both_ways_meet_the_picture_decides():
    """A square array full of spots: every name is one both ways round."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(8), np.arange(8)))
    barcodes = pd.Index([f"{a}x{b}" for a, b in zip(x, y, strict=True)])
    dark = x * 20.0  # darker to the right
    total = x[:, None] * 10 + 1
    for swapped in (False, True):
        names = [f"{b}x{a}" if swapped else f"{a}x{b}" for a, b in zip(x, y, strict=True)]
        counts = AnnData(X=sparse.csr_matrix(total.astype(np.float32)), obs=pd.DataFrame(index=names))
        found, notes = fitting_names(barcodes, np.ones(64, bool), counts, lambda: dark)
        assert found.equals(barcodes)
        assert any("row x column" in note for note in notes) == swapped
        _, notes = fitting_names(barcodes, np.ones(64, bool), counts, lambda: np.ones(64))
        assert "is not known, and was assumed" in notes[0]
        _, notes = fitting_names(barcodes, np.ones(64, bool), counts, None)
        assert "is not known" in notes[0]
