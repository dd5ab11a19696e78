"""An anonymous reading holds no name of a file or folder, whatever they are called and whatever the reader reports."""

import shutil

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st_

from histoscribe.errors import InputError
from histoscribe.io import Request, read
from histoscribe.io.aliases import _WORDS, Aliases, file_alias, section_alias, without_folders
from histoscribe.run.requests import ReadOptions, requests_of, written_reason

NAME = "SMITH_JOHN"


def said(reading) -> str:
    """All that a record of this reading may hold."""
    names = [reading.name_of(path) for path in reading.files]
    return " ".join([reading.section.name, reading.why, *reading.notes, *names])


@pytest.fixture
def named(visium, tmp_path):
    """A Space Ranger folder called after a patient, with a picture called so beside it that is passed over."""
    folder = tmp_path / "all" / NAME
    shutil.copytree(visium.path, folder)
    shutil.copy(next(folder.rglob("*hires*")), folder / f"{NAME}.png")
    return folder


def test_a_folder_gives_its_name_to_nothing(named):
    assert NAME in said(read(named))
    assert NAME not in said(read(named, anonymous=True))


def test_the_section_is_called_after_the_bytes_of_its_input(named, tmp_path):
    name = read(named, anonymous=True).section.name
    assert name.startswith("section-")
    other = tmp_path / "elsewhere" / "DOE_JANE"
    shutil.copytree(named, other)
    (other / f"{NAME}.png").rename(other / "DOE_JANE.png")
    assert read(other, anonymous=True).section.name == name


def test_a_name_that_is_given_is_kept(named):
    assert read(named, anonymous=True, section="S1").section.name == "S1"


def test_nothing_but_names_changes(named):
    plain, hidden = read(named), read(named, anonymous=True)
    assert hidden.files == plain.files
    assert len(hidden.notes) == len(plain.notes)
    np.testing.assert_array_equal(hidden.section.xy_px, plain.section.xy_px)
    assert hidden.mpp_by_source == plain.mpp_by_source


def test_sections_named_after_files_of_a_folder_get_numbers(st, tmp_path):
    folder = tmp_path / "all"
    folder.mkdir()
    for key in (f"{NAME}_1", f"{NAME}_2"):
        for path, kind in ((st.spots, "selection.tsv"), (st.counts, "stdata.tsv"), (st.image, "HE.png")):
            shutil.copy(path, folder / f"{key}_{kind}")
    assert [one.section for one in requests_of(folder)] == [f"{NAME}_1", f"{NAME}_2"]
    readings = [read(request) for request in requests_of(folder, ReadOptions(anonymous=True))]
    assert [one.section.name[-2:] for one in readings] == ["-1", "-2"]
    assert all(NAME not in said(one) for one in readings)


def test_libraries_of_a_file_get_numbers(make, tmp_path):
    table = make.positions().set_index("barcode")
    adata = AnnData(make.counts_of(list(table.index)).astype(np.float32), obs=table[["array_row", "array_col"]])
    adata.obsm["spatial"] = table[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(float)
    adata.obs["library_id"] = [f"{NAME}_1"] * 50 + [f"{NAME}_2"] * 50
    adata.uns["spatial"] = {f"{NAME}_{k}": {"images": {}, "scalefactors": {}} for k in (1, 2)}
    adata.write_h5ad(tmp_path / f"{NAME}.h5ad")
    readings = [read(request) for request in requests_of(tmp_path / f"{NAME}.h5ad", ReadOptions(anonymous=True))]
    assert len({one.section.name for one in readings}) == 2
    assert all(NAME not in said(one) for one in readings)
    assert all(NAME not in repr(one.section.spots) for one in readings)


def test_our_own_store_does_not_hand_on_the_name_it_was_given(named, tmp_path):
    path = tmp_path / "section.zarr"
    read(named).section.to_spatialdata().write(path)
    reading = read(path, anonymous=True)
    assert NAME not in said(reading)


def test_a_hash_is_of_the_bytes_and_not_of_the_name(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"x")
    (tmp_path / "b.ome.TIF").write_bytes(b"x")
    assert file_alias(tmp_path / "a.tif", "S") == file_alias(tmp_path / "b.ome.TIF", "S") == "S-2d711642.tif"
    assert section_alias([tmp_path / "a.tif"]) == "section-2d711642"


def test_an_ending_that_is_a_name_is_not_kept(tmp_path):
    (tmp_path / "x.SMITH").write_bytes(b"x")
    (tmp_path / "SMITH.tsv.gz").write_bytes(b"x")
    assert file_alias(tmp_path / "x.SMITH", "S") == "S-2d711642"
    assert file_alias(tmp_path / "SMITH.tsv.gz", "S") == "S-2d711642.tsv.gz"


def test_what_is_missing_or_a_folder_has_a_stand_in_too(tmp_path):
    assert file_alias(tmp_path, "S") == "S-folder"
    assert file_alias(tmp_path / "SMITH.svs", "S") == "S-file.svs"


def test_a_refusal_names_no_file_and_no_folder(tmp_path):
    root = tmp_path / NAME
    (root / "JONES").mkdir(parents=True)
    request = Request(path=root / NAME / f"{NAME}.h5ad", section="S1", anonymous=True)
    with pytest.raises(InputError) as caught:
        read(request)
    assert NAME in str(caught.value)
    reason = written_reason(str(caught.value), request)
    assert NAME not in reason
    assert "JONES" not in reason
    assert str(tmp_path) not in reason
    assert "there is no such file" in reason


def test_an_ordinary_refusal_names_the_file_but_no_folder_of_this_computer(tmp_path):
    request = Request(path=tmp_path / "S1" / "spots.h5ad")
    with pytest.raises(InputError) as caught:
        read(request)
    reason = written_reason(str(caught.value), request)
    assert reason.startswith("spots.h5ad: there is no such file")
    assert str(tmp_path) not in reason


_LETTERS = st_.characters(categories=("Lu", "Ll", "Nd"), include_characters=" _-.+()[]")


@settings(deadline=None, max_examples=60)
@given(name=st_.text(_LETTERS, min_size=4, max_size=20).filter(lambda text: text.strip(". ")))
def test_no_name_outlives_its_replacement(name, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    path = folder / f"{name}.tif"
    path.write_bytes(b"x")
    (folder / name).mkdir()
    request = Request(path=folder / name, image=path, anonymous=True)
    text = Aliases("S1", request).text(f"image: {name}.tif, fullres frame; {path} holds {name}/ and {name}, too")
    assert f"{name}.tif" not in text
    assert str(folder) not in text
    # words that name nobody stay
    if name.lower() not in _WORDS | {"frame", "holds"}:
        assert name not in text.replace("S1-2d711642.tif", "").replace("S1-folder", "")


@pytest.mark.parametrize("note", ["there is no image", "5 spots without counts were left out", "table 'spots'"])
def test_sentences_outlive_files_with_ordinary_names(note, tmp_path):
    folder = tmp_path / "image"
    folder.mkdir()
    for name in ("5", "spots", "counts", "image", "table"):
        (folder / name).mkdir()
    assert Aliases("S1", Request(path=folder)).text(note) == note


def test_folders_are_taken_off_paths_alone(tmp_path):
    path = tmp_path / "all" / "a.h5ad"
    assert (
        without_folders(f"{path}: damaged; {path.parent} holds: a.h5ad", path) == "a.h5ad: damaged; all holds: a.h5ad"
    )
    assert without_folders("a/b and 3/4", path) == "a/b and 3/4"


def test_labels_and_tables_are_untouched(named):
    plain, hidden = read(named).section.spots, read(named, anonymous=True).section.spots
    pd.testing.assert_frame_equal(plain.obs, hidden.obs)
