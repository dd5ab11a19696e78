"""Damaged and contradictory files: one refusal each, which names the file and what is wrong with it."""

import gzip
import json
import pickle
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from histoscribe.errors import ConfigError, InputError
from histoscribe.io import Request, detect, read


def cut(path):
    """Keep the first half of a file."""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def edit(path, change):
    """Apply `change` to a table of text and write it back."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False, sep="\t" if path.suffix == ".tsv" else ",")
    changed = change(table)
    (table if changed is None else changed).to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def cell(row, column, value):
    def change(table):
        table.loc[row, column] = value

    return change


def h5_edit(path, name, values):
    with h5py.File(path, "r+") as file:
        del file[name]
        if values is not None:
            file[name] = values
    return path


def replace_text(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def remove(path):
    path.unlink()
    return path.parent


def add_mtx(run, make, name, change):
    run.matrix.unlink()
    folder = make.write_mtx(
        run.outs / "filtered_feature_bc_matrix", run.barcodes, make.counts_of(run.barcodes), zipped=False
    )
    return change(folder / name)


def matrix_of(run, make, barcodes=None, values=None):
    barcodes = run.barcodes if barcodes is None else barcodes
    matrix = make.counts_of(barcodes)
    if values is not None:
        matrix = matrix.astype(np.float32)
        matrix.data[3] = values
    return make.write_10x_h5(run.matrix, barcodes, matrix)


# name: what is done to a sound run, returning the file that must be named; what the message must say
VISIUM = {
    "positions empty": (lambda r, m: replace_text(r.positions, ""), "empty"),
    "positions with header only": (lambda r, m: edit(r.positions, lambda t: t.iloc[:0]), "no rows"),
    "positions cut within a line": (lambda r, m: replace_text(r.positions, r.positions.read_bytes()[:-9]), "fields"),
    "positions missing": (lambda r, m: remove(r.positions), "positions is missing"),
    "positions not UTF-8": (lambda r, m: replace_text(r.positions, r.positions.read_bytes() + b"\xe9"), "not UTF-8"),
    "positions in UTF-16": (lambda r, m: replace_text(r.positions, r.positions.read_text().encode("utf-16")), "UTF-16"),
    "positions an Excel file": (lambda r, m: replace_text(r.positions, b"PK\x03\x04" + bytes(100)), "Excel"),
    "positions a pickle": (lambda r, m: replace_text(r.positions, pickle.dumps({"a": 1})), "pickle"),
    "positions lack a column": (lambda r, m: edit(r.positions, lambda t: t.drop(columns="array_row")), "array_row"),
    "positions with a column twice": (
        lambda r, m: replace_text(r.positions, r.positions.read_text().replace("array_row", "array_col", 1)),
        "array_row",
    ),
    "positions with a doubled barcode": (lambda r, m: edit(r.positions, cell(30, "barcode", "AC0204-1")), "not unique"),
    "positions with an empty barcode": (lambda r, m: edit(r.positions, cell(30, "barcode", "")), "empty name"),
    "coordinates not a number": (lambda r, m: edit(r.positions, cell(30, "pxl_col_in_fullres", "left")), "'left'"),
    "coordinates NaN": (lambda r, m: edit(r.positions, cell(30, "pxl_row_in_fullres", "NaN")), "line 32"),
    "coordinates infinite": (lambda r, m: edit(r.positions, cell(30, "pxl_row_in_fullres", "inf")), "finite"),
    "coordinates empty": (lambda r, m: edit(r.positions, cell(30, "pxl_row_in_fullres", "")), "finite"),
    "coordinates negative": (lambda r, m: edit(r.positions, cell(30, "pxl_row_in_fullres", "-4")), "negative"),
    "array row no whole number": (lambda r, m: edit(r.positions, cell(30, "array_row", "1.5")), "whole"),
    "array row negative": (lambda r, m: edit(r.positions, cell(30, "array_row", "-1")), "negative"),
    "in_tissue is neither 0 nor 1": (lambda r, m: edit(r.positions, cell(30, "in_tissue", "7")), "0 and 1"),
    "no spot on tissue": (lambda r, m: edit(r.positions, lambda t: t.assign(in_tissue="0")), "no spot lies on tissue"),
    "scale factors cut": (lambda r, m: cut(r.factors), "JSON is damaged"),
    "scale factors a list": (lambda r, m: replace_text(r.factors, "[1, 2]"), "object"),
    "scale factor zero": (lambda r, m: replace_text(r.factors, '{"tissue_hires_scalef": 0}'), "tissue_hires_scalef"),
    "scale factor text": (lambda r, m: replace_text(r.factors, '{"tissue_hires_scalef": "a"}'), "positive number"),
    "scale factors lack the picture's": (lambda r, m: replace_text(r.factors, "{}").parent, "tissue_hires_scalef"),
    "scale factors missing": (lambda r, m: remove(r.factors), "scale factor"),
    "matrix empty": (lambda r, m: replace_text(r.matrix, ""), "damaged"),
    "matrix cut": (lambda r, m: cut(r.matrix), "damaged, cut short"),
    "matrix no HDF5": (lambda r, m: replace_text(r.matrix, "gene,count"), "damaged"),
    "matrix another HDF5": (lambda r, m: h5_edit(r.matrix, "matrix", None), "not a 10x"),
    "matrix without features": (lambda r, m: h5_edit(r.matrix, "matrix/features", None), "features"),
    "matrix with indices beyond its genes": (
        lambda r, m: h5_edit(r.matrix, "matrix/indices", np.full(m.counts_of(r.barcodes).nnz, 99)),
        "contradict",
    ),
    "matrix with falling column starts": (
        lambda r, m: h5_edit(r.matrix, "matrix/indptr", np.arange(91)[::-1].copy()),
        "contradict",
    ),
    "matrix with fewer barcodes": (
        lambda r, m: h5_edit(r.matrix, "matrix/barcodes", np.array(r.barcodes[:50], "S")),
        "does not fit its own names",
    ),
    "matrix with an impossible shape": (lambda r, m: h5_edit(r.matrix, "matrix/shape", np.array([6])), "two sides"),
    "matrix with a doubled barcode": (lambda r, m: matrix_of(r, m, [*r.barcodes[:-1], r.barcodes[0]]), "not unique"),
    "matrix with an unknown barcode": (lambda r, m: matrix_of(r, m, [*r.barcodes[:-1], "TTTT-1"]), "no position"),
    "matrix of another section": (lambda r, m: matrix_of(r, m, [f"{b}x" for b in r.barcodes]), "90 of 90"),
    "counts negative": (lambda r, m: matrix_of(r, m, values=-2), "negative"),
    "counts are logarithms": (lambda r, m: matrix_of(r, m, values=0.69), "whole numbers"),
    "counts NaN": (lambda r, m: matrix_of(r, m, values=np.nan), "finite"),
    "two matrices": (lambda r, m: shutil.copy(r.matrix, r.outs / f"B_{r.matrix.name}").parent, "several matrices"),
    "two hires pictures": (
        lambda r, m: m.picture(r.spatial / "B_tissue_hires_image.png", 0.5).parent,
        "several hires pictures",
    ),
    "two tables of positions": (
        lambda r, m: shutil.copy(r.positions, r.spatial / "B_tissue_positions.csv").parent,
        "several tables of positions",
    ),
    "mtx cut": (lambda r, m: add_mtx(r, m, "matrix.mtx", cut), "damaged or cut short"),
    "mtx no Matrix Market": (
        lambda r, m: add_mtx(r, m, "matrix.mtx", lambda p: replace_text(p, "nothing\n")),
        "damaged",
    ),
    "mtx with too few barcodes": (
        lambda r, m: add_mtx(r, m, "barcodes.tsv", cut).parent / "matrix.mtx",
        "does not fit",
    ),
    "mtx without features": (lambda r, m: add_mtx(r, m, "features.tsv", remove), "no features.tsv"),
    "mtx with empty barcodes": (lambda r, m: add_mtx(r, m, "barcodes.tsv", lambda p: replace_text(p, "")), "empty"),
    "hires picture empty": (lambda r, m: replace_text(r.spatial / "tissue_hires_image.png", ""), "empty"),
    "hires picture no picture": (lambda r, m: replace_text(r.spatial / "tissue_hires_image.png", "text"), "image"),
}


@pytest.mark.parametrize("case", VISIUM)
def test_visium(visium, make, case):
    damage, words = VISIUM[case]
    at_fault = damage(visium, make)
    with pytest.raises(InputError) as caught:
        read(visium.path)
    assert at_fault.name in str(caught.value)
    assert words in str(caught.value)


def test_a_gzip_cut_short(visium):
    path = visium.spatial / "tissue_positions.csv.gz"
    path.write_bytes(gzip.compress(visium.positions.read_bytes())[:-20])
    visium.positions.unlink()
    with pytest.raises(InputError, match="gzip file is damaged") as caught:
        read(visium.path)
    assert path.name in str(caught.value)


def test_a_parquet_cut_short(visium_hd):
    path = cut(visium_hd / "outs/binned_outputs/square_008um/spatial/tissue_positions.parquet")
    with pytest.raises(InputError, match="Parquet file is damaged") as caught:
        read(visium_hd)
    assert str(path) in str(caught.value)


def test_scale_factors_of_other_bins(visium_hd):
    outputs = visium_hd / "outs/binned_outputs"
    shutil.copy(outputs / "square_016um/spatial/scalefactors_json.json", outputs / "square_008um/spatial")
    with pytest.raises(InputError, match="of other bins") as caught:
        read(visium_hd)
    assert "square_008um" in str(caught.value)


def test_hd_matrix_of_another_bin_size(visium_hd):
    outputs = visium_hd / "outs/binned_outputs"
    shutil.copy(outputs / "square_016um/filtered_feature_bc_matrix.h5", outputs / "square_008um")
    with pytest.raises(InputError, match="have no position"):
        read(visium_hd)


def zipped(change):
    """Change the text of a gzipped table."""

    def damage(files):
        text = gzip.decompress(files.counts.read_bytes()).decode()
        files.counts.write_bytes(gzip.compress(change(text).encode()))
        return files.counts

    return damage


def transposed(text):
    """Genes in rows, spots in columns."""
    rows = [line.split("\t") for line in text.splitlines()]
    return "\n".join("\t".join(row) for row in zip(*rows, strict=True))


ST = {
    "no pixel columns": (lambda s: edit(s.spots, lambda t: t.drop(columns="pixel_y")), "pixel_y"),
    "lattice positions no whole numbers": (lambda s: edit(s.spots, cell(3, "x", "7.02")), "whole numbers"),
    "a lattice position twice": (lambda s: edit(s.spots, cell(3, "x", "4")), "not unique"),
    "pixels not a number": (lambda s: edit(s.spots, cell(3, "pixel_x", "?")), "'?'"),
    "pixels negative": (lambda s: edit(s.spots, cell(3, "pixel_x", "-1")), "negative"),
    "selected neither 0 nor 1": (lambda s: edit(s.spots, cell(3, "selected", "2")), "selected"),
    "nothing selected": (lambda s: edit(s.spots, lambda t: t.assign(selected="0")), "no spot is selected"),
    "counts of another section": (zipped(lambda text: text.replace("x", "x9")), "other spots"),
    "counts transposed": (zipped(transposed), "transpose it"),
    "counts with a word": (zipped(lambda text: text.replace("\t2", "\ttwo", 1)), "'two'"),
    "counts with a gap": (zipped(lambda text: text.replace("\t2", "\t", 1)), "not all numbers"),
    "counts negative": (zipped(lambda text: text.replace("\t2", "\t-2", 1)), "negative"),
    "counts are logarithms": (zipped(lambda text: text.replace("\t2", "\t0.69", 1)), "whole numbers"),
    "counts with a short line": (zipped(lambda text: text[: text.rindex("\t")] + "\n"), "cut short"),
    "counts with a doubled spot": (zipped(lambda text: text.replace("4x12", "4x13")), "not unique"),
    "counts with a header only": (zipped(lambda text: text.split("\n")[0] + "\n"), "no rows"),
    "counts cut": (lambda s: cut(s.counts), "damaged or cut short"),
}


@pytest.mark.parametrize("case", ST)
def test_st(st, case):
    damage, words = ST[case]
    at_fault = damage(st)
    with pytest.raises(InputError) as caught:
        read(Request(section="S1", format="st", spots=st.spots, counts=st.counts, image=st.image))
    assert at_fault.name in str(caught.value)
    assert words in str(caught.value)


def test_two_pictures_of_one_section(st, make):
    make.picture(st.image.parent / "S1_fluorescence.png")
    with pytest.raises(InputError, match="several pictures") as caught:
        read(st.spots.parent.parent)
    assert "S1_fluorescence.png" in str(caught.value)


def test_legacy_st_has_no_hires_picture(st):
    with pytest.raises(ConfigError, match="no hires picture"):
        read(Request(spots=st.spots, image=st.image, scale="hires"))


GENERIC = {
    "no column x": (lambda f: edit(f.spots, lambda t: t.drop(columns="x")), "column 'x'"),
    "no barcodes": (lambda f: edit(f.spots, lambda t: t.drop(columns="barcode")), "column 'barcode'"),
    "a doubled barcode": (lambda f: edit(f.spots, cell(1, "barcode", "spot0")), "not unique"),
    "a negative place": (lambda f: edit(f.spots, cell(1, "y", "-3")), "negative"),
    "a missing place": (lambda f: edit(f.spots, cell(1, "y", "")), "line 3"),
    "counts of an unknown spot": (
        lambda f: replace_text(f.counts, f.counts.read_text().replace("spot3", "spot99")),
        "unknown",
    ),
    "counts with an annotation among the genes": (
        lambda f: edit(f.counts, lambda t: t.assign(remark="tumour")),
        "'remark'",
    ),
    "counts without genes": (lambda f: edit(f.counts, lambda t: t.iloc[:, :1]), "one column only"),
    "a table of binary data": (lambda f: replace_text(f.spots, b"x,y\x00\x01"), "not a text table"),
}


@pytest.mark.parametrize("case", GENERIC)
def test_generic(loose, case):
    damage, words = GENERIC[case]
    at_fault = damage(loose)
    with pytest.raises(InputError) as caught:
        read(Request(spots=loose.spots, counts=loose.counts, image=loose.image, mpp=0.5))
    assert at_fault.name in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("field", ["spots", "counts", "image"])
def test_a_loose_file_that_is_not_there(loose, field):
    files = {"spots": loose.spots, "counts": loose.counts, "image": loose.image}
    files[field] = loose.spots.parent / "nowhere" / "lost.csv"
    with pytest.raises(InputError, match=r"lost\.csv: there is no such file") as caught:
        read(Request(**files, mpp=0.5))
    assert "he.png" in str(caught.value)


def small_h5ad(path, **changes):
    adata = AnnData(
        X=np.ones((4, 2), np.float32), obs=pd.DataFrame(index=list("abcd")), obsm={"spatial": np.ones((4, 2))}
    )
    for name, value in changes.items():
        if value is None:
            del adata.obsm[name]
        elif name == "spatial":
            adata.obsm[name] = value
        else:
            adata.obs[name] = value
    adata.write_h5ad(path)
    return path


H5AD = {
    "no coordinates": ({"spatial": None}, "no coordinates"),
    "coordinates NaN": ({"spatial": np.full((4, 2), np.nan)}, "finite"),
    "coordinates with one axis": ({"spatial": np.ones((4, 1))}, "wrong shape"),
    "nothing on tissue": ({"in_tissue": 0}, "no spot lies on tissue"),
}


@pytest.mark.parametrize("case", H5AD)
def test_h5ad(tmp_path, case):
    changes, words = H5AD[case]
    with pytest.raises(InputError, match=words) as caught:
        read(small_h5ad(tmp_path / "a.h5ad", **changes))
    assert "a.h5ad" in str(caught.value)


@pytest.mark.parametrize("damage", [cut, lambda path: replace_text(path, ""), lambda path: h5_edit(path, "obs", None)])
def test_h5ad_damaged(tmp_path, damage):
    path = small_h5ad(tmp_path / "a.h5ad")
    damage(path)
    with pytest.raises(InputError, match=r"a\.h5ad: the h5ad file is damaged"):
        read(path)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (np.full((40, 40, 3), 7.0), "outside 0 to 1"),
        (np.zeros((40, 40, 2)), "wrong shape"),
        (np.full((40, 40, 3), np.nan), "no colours"),
    ],
)
def test_h5ad_with_a_picture_that_is_none(tmp_path, picture, words):
    path = tmp_path / "a.h5ad"
    adata = AnnData(X=np.ones((4, 2), np.float32), obsm={"spatial": np.ones((4, 2))})
    adata.uns["spatial"] = {"lib": {"images": {"hires": picture}, "scalefactors": {"tissue_hires_scalef": 0.5}}}
    adata.write_h5ad(path)
    with pytest.raises(InputError, match=words) as caught:
        read(path, mpp=1.0)
    assert "a.h5ad" in str(caught.value)


def spots_with(path, field, value):
    with h5py.File(path, "r+") as file:
        table = file["spots/Train/S_1"][:]
        table[field][5] = value
        file["spots/Train/S_1"][:] = table
    return path


CHALLENGE = {
    "an abundance NaN": (lambda p: spots_with(p, "C3", np.nan), "'C3'"),
    "a negative place": (lambda p: spots_with(p, "x", -4), "negative"),
    "a picture beyond 1": (lambda p: h5_edit(p, "images/Train/S_1", np.full((40, 40, 3), 200, np.float32)), "0 to 1"),
    "a flat picture": (lambda p: h5_edit(p, "images/Train/S_1", np.ones((40, 40), np.float32)), "no picture"),
    "spots without fields": (lambda p: h5_edit(p, "spots/Train/S_1", np.ones((5, 2))), "no table of spots"),
    "a slide without spots": (lambda p: h5_edit(p, "spots/Train/S_1", None), "do not match"),
    "an empty file": (lambda p: replace_text(p, ""), "damaged"),
    "a file cut short": (cut, "damaged"),
}


@pytest.mark.parametrize("case", CHALLENGE)
def test_challenge(challenge, case):
    damage, words = CHALLENGE[case]
    at_fault = damage(challenge)
    with pytest.raises(InputError) as caught:
        read(challenge, section="S_1", format="challenge_h5")
    assert at_fault.name in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("format", ["visium", "visium_hd", "st", "challenge_h5", "anndata", "spatialdata", "generic"])
def test_a_forced_format_that_does_not_match(tmp_path, format):
    folder = tmp_path / "holiday"
    folder.mkdir()
    (folder / "beach.txt").write_text("sand")
    with pytest.raises(InputError) as caught:
        read(folder, format=format)
    assert "holiday" in str(caught.value)


@pytest.mark.parametrize("name", ["a.pkl", "a.npy", "a.rds"])
def test_objects_of_other_programs_are_never_opened(tmp_path, name):
    path = replace_text(tmp_path / name, pickle.dumps(print))
    with pytest.raises(InputError, match="are not read") as caught:
        detect(path)
    assert name in str(caught.value)


def test_a_matrix_alone_is_refused_for_lack_of_coordinates(visium):
    with pytest.raises(InputError, match="10x matrix holds no coordinates"):
        detect(visium.matrix)


def test_a_folder_of_nothing_lists_what_it_holds(tmp_path):
    (tmp_path / "notes.docx").write_text("x")
    with pytest.raises(InputError, match="no section of a known format") as caught:
        read(tmp_path)
    assert "notes.docx" in str(caught.value)


def test_a_path_that_is_not_there_lists_what_is(tmp_path):
    (tmp_path / "sample_A").mkdir()
    with pytest.raises(InputError, match="no such file") as caught:
        read(tmp_path / "sample_B")
    assert "sample_A/" in str(caught.value)


def test_a_folder_of_two_formats_asks_which(visium, st):
    shutil.copy(st.spots, visium.path / st.spots.name)
    with pytest.raises(InputError, match="several formats") as caught:
        read(visium.path)
    assert "visium" in str(caught.value)
    assert read(visium.path, format="visium").format == "visium"


def test_an_unknown_option_names_the_nearest(visium):
    with pytest.raises(ConfigError, match="'bin_size'"):
        read(visium.path, bin_size=8)


@pytest.mark.parametrize("mpp", [0.0, -1.0, float("nan")])
def test_microns_per_pixel_must_be_positive(visium, mpp):
    with pytest.raises(ConfigError, match="positive"):
        read(visium.path, mpp=mpp)


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "x" * 101])
def test_a_section_is_never_named_out_of_its_folder(visium, name):
    with pytest.raises(InputError, match="section's name"):
        read(visium.path, section=name)


def test_scale_factors_are_not_needed_where_image_and_scale_are_given(visium, make, tmp_path):
    visium.factors.unlink()
    assert read(visium.path, image=make.picture(tmp_path / "he.png"), scale="fullres").image_scale == 1.0
    with pytest.raises(ConfigError, match="no scale factor of that name"):
        read(visium.path, image=make.picture(tmp_path / "he.png"), scale="lowres")


def test_json_that_is_no_utf_8(visium):
    visium.factors.write_bytes(json.dumps({"a": 1}).encode() + b"\xff")
    with pytest.raises(InputError, match=r"scalefactors_json\.json: the text is not UTF-8"):
        read(visium.path)


def test_parquet_names_that_are_no_utf_8(visium):
    path = visium.spatial / "tissue_positions.parquet"
    pd.read_csv(visium.positions).to_parquet(path, index=False, compression=None)
    visium.positions.unlink()
    path.write_bytes(path.read_bytes().replace(b"AC0204-1", b"AC\xff\xfe04-1"))
    with pytest.raises(InputError, match=r"tissue_positions\.parquet"):
        read(visium.path)


def test_h5ad_with_an_element_of_an_unknown_kind(tmp_path):
    path = small_h5ad(tmp_path / "a.h5ad")
    with h5py.File(path, "r+") as file:
        file["obsm/spatial"].attrs["encoding-type"] = "hologram"
    with pytest.raises(InputError, match=r"a\.h5ad: the h5ad file is damaged"):
        read(path)
