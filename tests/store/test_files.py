"""Single files: replaced in one step; a full or read-only disk is named with a fix."""

import errno

import pytest

from histoscribe.errors import ResultError
from histoscribe.store import files


def test_the_canonical_form_does_not_depend_on_the_order_of_keys():
    assert files.fingerprint({"a": 1, "b": [1.5, "ü"]}) == files.fingerprint({"b": [1.5, "ü"], "a": 1})


def test_what_is_written_is_read_back(tmp_path):
    files.write_json(tmp_path / "x.json", {"b": 1, "a": None})
    assert files.read_json(tmp_path / "x.json") == {"a": None, "b": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_an_unreadable_record_is_named(tmp_path):
    (tmp_path / "x.json").write_text('{"a": ')
    with pytest.raises(ResultError, match=r"x\.json: unreadable"):
        files.read_json(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "may not write"),
        (errno.EDQUOT, "quota"),
    ],
)
def test_errors_of_the_disk_become_a_sentence(tmp_path, number, words):
    with pytest.raises(ResultError, match=f"{words}(.|\n)*--out"), files.writing_to(tmp_path):
        raise OSError(number, "as the system says it", str(tmp_path / "x"))


def test_an_error_about_another_place_is_not_blamed_on_the_result(tmp_path):
    with pytest.raises(PermissionError), files.writing_to(tmp_path / "result"):
        raise PermissionError(errno.EACCES, "no", "/elsewhere/input.tif")


def test_other_errors_pass_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError), files.writing_to(tmp_path):
        (tmp_path / "none").read_bytes()
