"""Sample sheets are checked whole: every problem at once, with its line."""

import pytest

from histoscribe.errors import InputError
from histoscribe.io import read, read_samplesheet
from histoscribe.io.samplesheet import read_abundance_tables


@pytest.fixture
def sheet(tmp_path):
    """Write a sheet beside the folders `a` and `b` and an image."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "he.png").write_bytes(b"x")
    (tmp_path / "spots.csv").write_text("barcode,x,y\n")

    def write(text, encoding="utf-8"):
        path = tmp_path / "samplesheet.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


def problems(path):
    with pytest.raises(InputError) as caught:
        read_samplesheet(path)
    assert "samplesheet.csv" in str(caught.value)
    return str(caught.value)


def test_a_row_is_a_request_with_paths_relative_to_the_sheet(sheet, tmp_path):
    path = sheet(
        "section,patient,format,path,image,mpp,scale,bin_um\nA1,P1,visium,a,he.png,0.5,fullres,\nB1,,,b,,,1/3,16\n"
    )
    first, second = read_samplesheet(path)
    assert (first.section, first.patient, first.format, first.mpp, first.scale) == (
        "A1",
        "P1",
        "visium",
        0.5,
        "fullres",
    )
    assert (first.path, first.image) == (tmp_path / "a", tmp_path / "he.png")
    assert (second.patient, second.format, second.bin_um, second.scale) == (None, None, 16, "1/3")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_what_spreadsheets_write_is_read(sheet, encoding, separator):
    text = "Section,Path\r\nA1,a\r\n\r\nB1,b\r\n".replace(",", separator)
    assert [request.section for request in read_samplesheet(sheet(text, encoding))] == ["A1", "B1"]


def test_cells_left_out_at_the_end_of_a_row_are_empty(sheet):
    assert read_samplesheet(sheet("section,path,image,mpp\nA1,a\n"))[0].image is None


def test_commas_at_the_ends_of_lines_mean_nothing(sheet):
    found = read_samplesheet(sheet("section,path,mpp,,\nA1,a,0.5,,\nB1,b,,,\n"))
    assert [(one.section, one.mpp) for one in found] == [("A1", 0.5), ("B1", None)]
    assert "5 fields" in problems(sheet("section,path,,,\nA1,a,,,lost\n"))


def test_nf_cores_word_for_a_section_is_understood(sheet, tmp_path):
    path = sheet("sample,path,abundance\nA1,a,spots.csv\n")
    assert read_samplesheet(path)[0].section == "A1"
    assert read_abundance_tables(path) == {"A1": tmp_path / "spots.csv"}
    assert "unknown column 'sample'" in problems(sheet("section,sample,path\nA1,x,a\n"))


@pytest.mark.parametrize(("text", "mpp"), [("0,69", 0.69), ("0,691", 0.691), ("12,5", 12.5)])
def test_a_decimal_comma_is_read_where_it_can_be_no_other(text, mpp, sheet):
    assert read_samplesheet(sheet(f"section;path;mpp\nA1;a;{text}\n"))[0].mpp == mpp
    assert "'1,000' is not a number" in problems(sheet("section;path;mpp\nA1;a;1,000\n"))


def test_loose_files_need_no_path(sheet, tmp_path):
    request = read_samplesheet(sheet("section,spots,image\nA1,spots.csv,he.png\n"))[0]
    assert (request.path, request.spots) == (None, tmp_path / "spots.csv")


def test_all_problems_are_reported_at_once_with_their_lines(sheet):
    text = (
        "section,format,path,mpp,bin_um,scale\n"
        "A1,visum,a,,,\n"
        "../x,visium,b,abc,,\n"
        "C1,,nowhere,-1,5.5,third\n"
        "a1,,a,,,\n"
        ",,a,,,\n"
        "D1,,,,,\n"
    )
    message = problems(sheet(text))
    for part in (
        "line 2: unknown format 'visum'; did you mean",
        "line 3: section '../x'",
        "line 3: mpp 'abc' is not a number",
        "line 4: mpp '-1' is not a positive number",
        "line 4: bin_um '5.5' is no whole number of microns",
        "line 4: the scale 'third' is not understood",
        "lines 2, 5: the section name 'a1' stands more than once",
        "line 6: the section has no name",
        "line 7: give a path, or spots",
    ):
        assert part in message
    assert "9 problems" in message


def test_a_missing_file_is_said_when_its_section_has_its_turn(sheet, tmp_path):
    requests = read_samplesheet(sheet("section,path\nA1,nowhere\nB1,a\n"))
    assert [request.path for request in requests] == [tmp_path / "nowhere", tmp_path / "a"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("section,path\n", "no row below the header"),
        ("sectoin,path\nA,a\n", "did you mean section"),
        ("section,path,path\nA,a,a\n", "'path' stands more than once"),
        ("path\na\n", "'section' is missing"),
        ("section,patient\nA,P\n", "'path'"),
        ("section,path\nA,a,b,c\n", "line 2: 4 fields"),
    ],
)
def test_a_sheet_that_is_none(sheet, text, words):
    assert words in problems(sheet(text))


@pytest.mark.parametrize("name", ["../x", "a/b", "/etc", "..", "C:\\x", "a b", "x" * 101])
def test_a_name_that_could_leave_the_result_folder_is_refused(sheet, name):
    assert "section" in problems(sheet(f"section,path\n{name},a\n"))


def test_a_sheet_that_is_no_utf_8_is_named(sheet):
    assert "not UTF-8" in problems(sheet("section,path\nMüller,a\n", "latin-1"))


def test_a_sheet_of_real_layouts_reads(sheet, make, tmp_path):
    make.write_visium(tmp_path / "run")
    requests = read_samplesheet(sheet("section,patient,path\nV1,P1,run\n"))
    section = read(requests[0]).section
    assert (section.name, section.patient, section.spots.n_obs) == ("V1", "P1", 90)


def test_tables_of_cell_types_are_listed_by_section_relative_to_the_sheet(sheet, tmp_path):
    path = sheet("section,path,abundance\nA1,a,types/A1.tsv\nB1,b,\n")
    assert read_abundance_tables(path) == {"A1": tmp_path / "types" / "A1.tsv"}


@pytest.mark.parametrize(("cell", "allowed"), [("", False), ("no", False), ("Yes", True)])
def test_a_damaged_picture_is_allowed_by_a_cell(tmp_path, cell, allowed):
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"section,path,allow_damaged\nA1,a,{cell}\n")
    assert read_samplesheet(sheet)[0].allow_damaged is allowed


def test_a_cell_that_is_neither_yes_nor_no_is_refused(tmp_path):
    (tmp_path / "sheet.csv").write_text("section,path,allow_damaged\nA1,a,maybe\n")
    with pytest.raises(InputError, match="allow_damaged 'maybe' is neither yes nor no"):
        read_samplesheet(tmp_path / "sheet.csv")


@pytest.mark.parametrize("names", [("P1", "p1"), ("1", "01"), ("P-07", "p_7"), ("Ann B", "ann  b")])
def test_patients_that_differ_only_in_spelling_are_refused(sheet, names):
    with pytest.raises(InputError, match="differ only in spelling"):
        read_samplesheet(sheet(f"section,patient,path\nA,{names[0]},a\nB,{names[1]},b\n"))


@pytest.mark.parametrize("names", [("P1", "P10"), ("P1", "P11"), ("1.1", "11"), ("A", "B"), ("P1", "P1")])
def test_patients_that_differ_are_two(sheet, names):
    path = sheet(f"section,patient,path\nA,{names[0]},a\nB,{names[1]},b\n")
    assert [one.patient for one in read_samplesheet(path)] == list(names)
