"""The result folder: stages are committed whole, results are published whole, and damage is found."""

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from histoscribe.errors import ResultError
from histoscribe.store import arrays
from histoscribe.store.files import files_below
from histoscribe.store.result import read_record, verify_result, writing_result


def make_result(folder: Path, *, text: str = "one", key: str = "k1", calls: list[str] | None = None) -> dict:
    """A result of two stages: an array of three chunks, and two text files."""

    def numbers(aside: Path) -> dict:
        (calls if calls is not None else []).append("numbers")
        arrays.write(aside / "numbers.zarr", np.arange(300.0).reshape(100, 3), chunk_rows=40)
        return {"rows": 100}

    def words(aside: Path) -> dict:
        (calls if calls is not None else []).append("words")
        (aside / "words.txt").write_text(text)
        (aside / "more").mkdir()
        (aside / "more" / "b.txt").write_text(text * 3)
        return {}

    with writing_result(folder) as draft:
        draft.stage("numbers", "fixed", numbers)
        draft.stage("words", key, words)
        return draft.publish({"made_by": "test"})


def test_a_published_result_is_whole_and_leaves_no_working_files(tmp_path):
    make_result(tmp_path / "r")
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == [
        "manifest.json",
        "more",
        "numbers.zarr",
        "run.json",
        "words.txt",
    ]
    check = verify_result(tmp_path / "r")
    assert check.ok
    assert check.n_files == 7  # 3 chunks, zarr.json, 2 texts, run.json
    assert read_record(tmp_path / "r")["made_by"] == "test"


def test_the_same_work_gives_the_same_content_digest(tmp_path):
    assert make_result(tmp_path / "a")["content_sha256"] == make_result(tmp_path / "b")["content_sha256"]
    assert make_result(tmp_path / "a")["content_sha256"] != make_result(tmp_path / "c", text="two")["content_sha256"]


def test_a_stage_with_the_same_key_is_not_done_again(tmp_path):
    calls: list[str] = []
    make_result(tmp_path / "r", calls=calls)
    make_result(tmp_path / "r", text="two", key="k2", calls=calls)
    assert calls == ["numbers", "words", "words"]
    assert (tmp_path / "r" / "words.txt").read_text() == "two"
    assert verify_result(tmp_path / "r").ok


def test_a_damaged_stage_is_not_taken_over(tmp_path):
    calls: list[str] = []
    make_result(tmp_path / "r", calls=calls)
    flip_bit(tmp_path / "r" / "numbers.zarr" / "c" / "1" / "0", 77)
    make_result(tmp_path / "r", calls=calls)
    assert calls == ["numbers", "words", "numbers"]
    assert verify_result(tmp_path / "r").ok


def test_a_failing_stage_leaves_the_older_result_untouched(tmp_path):
    before = make_result(tmp_path / "r")

    def fail(aside: Path) -> dict:
        (aside / "half.txt").write_text("half")
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"), writing_result(tmp_path / "r") as draft:
        draft.stage("words", "k9", fail)
    assert verify_result(tmp_path / "r").ok
    assert read_manifest_digest(tmp_path / "r") == before["content_sha256"]
    assert not list((tmp_path / "r").rglob("half.txt"))


def test_a_failing_first_stage_leaves_no_folder_at_all(tmp_path):
    with pytest.raises(ValueError, match="x"), writing_result(tmp_path / "r") as draft:
        draft.stage("a", "k", lambda aside: (_ for _ in ()).throw(ValueError("x")))
    assert not (tmp_path / "r").exists()


def test_a_resumable_stage_finds_what_it_had_written(tmp_path):
    def work(aside: Path) -> dict:
        seen = (aside / "part").exists()
        (aside / "part").write_text("x")
        if not seen:
            raise KeyboardInterrupt
        return {"seen": seen}

    with pytest.raises(KeyboardInterrupt), writing_result(tmp_path / "r") as draft:
        draft.stage("a", "k", work, resumable=True)
    with writing_result(tmp_path / "r") as draft:
        assert draft.stage("a", "k", work, resumable=True).facts == {"seen": True}


def test_what_a_killed_process_was_writing_aside_is_not_in_the_result(tmp_path):
    def work(aside: Path) -> dict:
        (aside / "array.zarr").mkdir(exist_ok=True)
        (aside / "section.partial").mkdir(exist_ok=True)  # a folder of the user's naming is nobody's half
        (aside / "section.partial" / "kept").write_text("whole")
        (aside / "array.zarr" / "chunk").write_text("whole")
        if not killed:
            return {}
        (aside / "array.zarr" / "zarr.0123.partial").write_text("ha")  # as zarr names it
        (aside / ".facts.json.new").write_text("ha")
        raise KeyboardInterrupt

    killed = True
    with pytest.raises(KeyboardInterrupt), writing_result(tmp_path / "r") as draft:
        draft.stage("a", "k", work, resumable=True)
    killed = False
    with writing_result(tmp_path / "r") as draft:
        draft.stage("a", "k", work, resumable=True)
        draft.publish({})
    assert files_below(tmp_path / "r") == ["array.zarr/chunk", "manifest.json", "run.json", "section.partial/kept"]


def test_stages_that_an_interrupted_run_left_are_not_of_a_result_without_them(tmp_path):
    def words(aside: Path) -> dict:
        (aside / "words.txt").write_text("words")
        return {}

    with writing_result(tmp_path / "r") as draft:  # ends before it is published
        draft.stage("numbers", "k", lambda aside: {"n": (aside / "numbers.txt").write_text("1")})
    with writing_result(tmp_path / "r") as draft:
        draft.stage("words", "k", words)
        draft.publish({})
    assert files_below(tmp_path / "r") == ["manifest.json", "run.json", "words.txt"]
    assert list(read_record(tmp_path / "r")["stages"]) == ["words"]


def test_a_resumable_stage_with_another_key_starts_anew(tmp_path):
    def interrupted(aside: Path) -> dict:
        (aside / "part").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), writing_result(tmp_path / "r") as draft:
        draft.stage("a", "k1", interrupted, resumable=True)
    with writing_result(tmp_path / "r") as draft:
        done = draft.stage("a", "k2", lambda aside: {"seen": (aside / "part").exists()}, resumable=True)
    assert done.facts == {"seen": False}


@pytest.mark.parametrize("moved", range(6))
def test_a_publication_cut_short_verifies_as_it_is_and_the_next_writer_ends_it(tmp_path, moved):
    older, newer = tmp_path / "r", tmp_path / "new"
    make_result(older)
    digest = make_result(newer, text="two", key="k2")["content_sha256"]
    ready = older / ".ready"
    shutil.copytree(newer, ready)
    for entry in [e for e in sorted(ready.iterdir()) if e.name != "manifest.json"][:moved]:
        target = older / entry.name
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        entry.replace(target)
    before = contents(older)
    check = verify_result(older)
    assert check.ok
    assert check.unfinished
    assert check.strangers == ()
    with pytest.raises(ResultError, match="cut short"):
        read_record(older)
    assert contents(older) == before
    with writing_result(older):
        pass
    assert verify_result(older).ok
    assert read_manifest_digest(older) == digest
    assert not ready.exists()


def test_entries_that_the_new_result_lacks_are_removed(tmp_path):
    make_result(tmp_path / "r")
    with writing_result(tmp_path / "r") as draft:
        draft.stage("numbers", "other", lambda aside: {"n": (aside / "n.txt").write_text("n")})
        draft.publish({})
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == ["manifest.json", "n.txt", "run.json"]


def test_two_writers_one_wins_and_the_other_says_so(tmp_path):
    with (
        writing_result(tmp_path / "r"),
        pytest.raises(ResultError, match="another run is writing"),
        writing_result(tmp_path / "r"),
    ):
        pass


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.docx").write_text("x")
    with pytest.raises(ResultError, match=r"holds something else(.|\n)*thesis\.docx"), writing_result(tmp_path):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.docx"]


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResultError, match="file"), writing_result(tmp_path / "file" / "r"):
        pass


def test_verify_says_where_there_is_no_result(tmp_path):
    with pytest.raises(ResultError, match="not a complete histoscribe result"):
        verify_result(tmp_path / "none")


def test_a_folder_of_results_sends_to_one_of_them(tmp_path):
    make_result(tmp_path / "cohort" / "A")
    with pytest.raises(ResultError, match="holds results of several sections") as refused:
        verify_result(tmp_path / "cohort")
    assert str(tmp_path / "cohort" / "A") in refused.value.fix


def test_unknown_files_are_named_but_are_no_damage(tmp_path):
    make_result(tmp_path / "r")
    (tmp_path / "r" / "notes.txt").write_text("mine")
    check = verify_result(tmp_path / "r")
    assert check.ok
    assert check.strangers == ("notes.txt",)


def flip_bit(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    replace_file(path, bytes(data))


def replace_file(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def damage(result: Path, kind: str, rng: random.Random) -> str:
    files = [p for p in result.rglob("*") if p.is_file()]
    path = rng.choice(files)
    if kind == "flip":
        flip_bit(path, rng.randrange(path.stat().st_size * 8))
    elif kind == "delete":
        path.unlink()
    else:
        os.truncate(path, rng.randrange(path.stat().st_size))
    return path.relative_to(result).as_posix()


@pytest.mark.parametrize("kind", ["flip", "delete", "truncate"])
def test_verify_finds_each_of_200_damages_anywhere(tmp_path, kind):
    make_result(tmp_path / "whole")
    rng = random.Random(7)
    missed = []
    for _ in range(200):
        shutil.copytree(tmp_path / "whole", tmp_path / "hurt")
        name = damage(tmp_path / "hurt", kind, rng)
        try:
            found = verify_result(tmp_path / "hurt").damages
        except ResultError:  # the manifest itself
            found = (name,)
        if not found:
            missed.append(name)
        shutil.rmtree(tmp_path / "hurt")
    assert missed == []


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


def read_manifest_digest(folder: Path) -> str:
    from histoscribe.store.manifest import read_manifest

    return read_manifest(folder)["content_sha256"]
