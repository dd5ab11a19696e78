"""Nothing of a user's is lost in a result's folder, and nothing that a received folder says is trusted."""

import json
import logging
import os
import shutil
from pathlib import Path

import pytest

from histoscribe.errors import ResultError
from histoscribe.store import arrays
from histoscribe.store.cohort import open_cohort, verify_cohort, write_beside, write_cohort_files
from histoscribe.store.files import canonical, files_below, fingerprint, sha256_file
from histoscribe.store.manifest import is_plain_name
from histoscribe.store.result import read_record, require_undamaged, verify_result, writing_result

OUTSIDE = ["../x", "../../x", "a/../../x", "/etc/x", "a//b", "./a", "a/.", "", ".", "..", "C:/x", "a\\..\\x", "a\0b"]
OUTSIDE += ["a" * 300, "/".join(["a"] * 2000)]
OURS = [".partial/a", ".ready/a", ".lock", "manifest.json", "kept-2026-01-01/a"]


def make_result(folder: Path, *, text: str = "one", names: tuple[str, ...] = ("words.txt", "figures/a.png")) -> None:
    def work(aside: Path) -> dict:
        for name in names:
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            (aside / name).write_text(text)
        return {}

    with writing_result(folder) as draft:
        draft.stage("words", text, work)
        draft.publish({"made_by": "test"})


def forge(files: dict[str, dict], **more: object) -> bytes:
    """A manifest as an attacker can write it: valid by its own hash."""
    files = {"run.json": {"size": 1, "sha256": "0" * 64}, **files}
    content = {name: facts.get("sha256") for name, facts in files.items() if name != "run.json"}
    manifest = {"version": 1, "files": files, "chunks": {}, "content_sha256": fingerprint(content), **more}
    return canonical(manifest | {"manifest_sha256": fingerprint(manifest)})


def listed(path: Path) -> dict:
    return {"size": path.stat().st_size, "sha256": sha256_file(path)}


def contents(folder: Path) -> dict[str, bytes | str]:
    paths = {name: folder / name for name in files_below(folder)}
    return {name: os.readlink(path) if path.is_symlink() else path.read_bytes() for name, path in paths.items()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's folder: a thesis beside the place of the result."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.docx").write_text("ten years")
    (tmp_path / "x").write_text("mine")
    return tmp_path


@pytest.mark.parametrize("name", [*OUTSIDE, *OURS])
def test_a_name_that_is_no_place_in_a_result_is_known(name):
    assert not is_plain_name(name)


@pytest.mark.parametrize("name", ["a", "a/b", "section.zarr/images/0/c/0/0/1", "nuclei zarr/é", ".hidden", "aa:b"])
def test_a_plain_name_is_known(name):
    assert is_plain_name(name)


@pytest.mark.parametrize("name", [*OUTSIDE, *OURS])
@pytest.mark.parametrize("where", ["manifest.json", ".ready/manifest.json"])
def test_a_forged_manifest_is_refused_by_readers_and_writers_and_nothing_changes(home, name, where):
    result = home / "received"
    result.mkdir()
    if where == ".ready/manifest.json":
        make_result(result)
        (result / ".ready").mkdir()
    (result / where).write_bytes(forge({name: listed(home / "x")}))
    before = contents(home)
    for call in (verify_result, read_record, make_result):
        with pytest.raises(ResultError):
            call(result)
    assert contents(home) == before


@pytest.mark.parametrize(
    "files",
    [
        {"a": {"size": -1, "sha256": "0" * 64}},
        {"a": {"size": "1", "sha256": "0" * 64}},
        {"a": {"size": 1, "sha256": "short"}},
        {"a": {}},
        {"a": None},
        {"a": {"size": 1, "sha256": "0" * 64}, "a/b": {"size": 1, "sha256": "0" * 64}},
    ],
)
def test_a_manifest_with_impossible_facts_is_refused(tmp_path, files):
    facts = {name: one or {} for name, one in files.items()}
    manifest = json.loads(forge(facts))
    manifest["files"] |= files
    del manifest["manifest_sha256"]
    (tmp_path / "manifest.json").write_bytes(canonical(manifest | {"manifest_sha256": fingerprint(manifest)}))
    with pytest.raises(ResultError, match="not written by histoscribe"):
        verify_result(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '"text"', "[" * 100_000, '{"manifest_sha256": NaN}', '{"manifest_sha256": "\\ud800"}']
)
def test_a_manifest_that_is_no_manifest_is_refused_in_words(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ResultError):
        verify_result(tmp_path)


@pytest.mark.parametrize(
    "manifest",
    [
        {"files": ["thesis"]},
        {"files": {"thesis": {}, "../x": {}}},
        {"files": {"thesis/chapter.docx": {"size": 9, "sha256": "0" * 64}}},
        {"name": "a browser extension"},
        ["thesis"],
    ],
)
def test_a_users_folder_with_a_manifest_of_its_own_is_refused_before_any_work(home, manifest):
    (home / "manifest.json").write_text(json.dumps(manifest))
    before = contents(home)
    with pytest.raises(ResultError, match="not of histoscribe"):
        make_result(home)
    assert contents(home) == before


@pytest.mark.parametrize("own", [".partial", ".ready", ".lock"])
def test_a_users_folder_with_a_hidden_name_that_we_use_is_refused(home, own):
    if own == ".lock":
        (home / own).write_text("mine")
    else:
        (home / own).mkdir()
        (home / own / "photo.jpg").write_text("mine")
    before = contents(home)
    with pytest.raises(ResultError):
        make_result(home)
    assert contents(home) == before


@pytest.mark.parametrize("own", [".partial", ".ready", ".lock", "manifest.json", "."])
def test_a_link_in_place_of_what_we_write_is_refused_and_not_followed(home, own):
    target = home / ("x" if own in (".lock", "manifest.json") else "thesis")
    result = home / "received"
    if own == ".":
        result.symlink_to(target)
    else:
        result.mkdir()
        (result / own).symlink_to(target)
    before = contents(home)
    with pytest.raises(ResultError):
        make_result(result)
    assert contents(home) == before


@pytest.mark.parametrize("files", [{"../x": None}, {"/etc/x": None}, {"deep/../../x": None}])
def test_planted_stages_name_nothing_outside(home, files):
    partial = home / "received" / ".partial"
    partial.mkdir(parents=True)
    stages = {"words": {"key": "one", "facts": {}, "made_of": {}, "files": dict.fromkeys(files, listed(home / "x"))}}
    record = {"version": 3, "stages": stages, "sha256": fingerprint(stages)}
    (partial / "stages.json").write_bytes(canonical(record))
    before = contents(home)
    with pytest.raises(ResultError, match="not left by histoscribe"):
        make_result(home / "received")
    assert contents(home) == before


def test_a_folder_that_is_a_link_to_itself_is_refused(home):
    (home / "r").symlink_to("r")
    with pytest.raises(ResultError, match="a link"):
        make_result(home / "r")


def test_a_planted_stage_is_not_published(home):
    partial = home / "received" / ".partial"
    (partial / "figures").mkdir(parents=True)
    (partial / "figures" / "planted.png").write_text("not mine")
    files = {"figures/planted.png": listed(partial / "figures" / "planted.png")}
    stages = {"planted": {"key": "any", "facts": {}, "made_of": {}, "files": files}}
    (partial / "stages.json").write_bytes(canonical({"version": 3, "stages": stages, "sha256": fingerprint(stages)}))
    make_result(home / "received")
    assert verify_result(home / "received").ok
    assert not (home / "received" / "figures" / "planted.png").exists()


def test_a_stage_is_not_taken_over_from_a_record_that_another_manifest_belongs_to(tmp_path):
    make_result(tmp_path / "r")
    files = json.loads((tmp_path / "r" / "manifest.json").read_text())["files"]
    (tmp_path / "r" / "manifest.json").write_bytes(forge({"run.json": files["run.json"]}))
    for name in ("words.txt", "figures"):
        (tmp_path / "r" / name).rename(tmp_path / name)
    make_result(tmp_path / "r")
    assert (tmp_path / "r" / "words.txt").read_text() == "one"


def test_a_link_inside_a_planted_draft_is_refused(home):
    partial = home / "received" / ".partial"
    partial.mkdir(parents=True)
    (partial / "stages.json").write_bytes(canonical({"version": 3, "stages": {}, "sha256": fingerprint({})}))
    (partial / "figures").symlink_to(home / "thesis")
    before = contents(home)
    with pytest.raises(ResultError, match="not left by histoscribe"):
        make_result(home / "received")
    assert contents(home) == before


def test_a_waiting_draft_whose_files_are_not_as_listed_is_not_put_in_place(home):
    result = home / "r"
    make_result(result)
    shutil.copytree(result, home / "copy")
    (home / "copy").rename(result / ".ready")
    (result / ".ready" / "words.txt").write_text("other")
    before = contents(home)
    with pytest.raises(ResultError, match="not left by histoscribe, or is damaged"):
        make_result(result)
    assert contents(home) == before


def test_a_users_file_in_a_folder_of_an_older_result_stays(tmp_path):
    make_result(tmp_path / "r")
    (tmp_path / "r" / "figures" / "mine.txt").write_text("mine")
    (tmp_path / "r" / "notes.txt").write_text("mine")
    make_result(tmp_path / "r", text="two")
    assert (tmp_path / "r" / "figures" / "mine.txt").read_text() == "mine"
    assert (tmp_path / "r" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "r" / "figures" / "a.png").read_text() == "two"
    assert verify_result(tmp_path / "r").strangers == ("figures/mine.txt", "notes.txt")


def test_a_result_file_that_a_user_changed_is_moved_aside_and_named(tmp_path, caplog):
    make_result(tmp_path / "r")
    (tmp_path / "r" / "words.txt").unlink()
    (tmp_path / "r" / "words.txt").write_text("with my corrections")
    with caplog.at_level(logging.WARNING):
        make_result(tmp_path / "r", text="two")
    (kept,) = (tmp_path / "r").glob("kept-*")
    assert (kept / "words.txt").read_text() == "with my corrections"
    assert (tmp_path / "r" / "words.txt").read_text() == "two"
    assert f"{kept.name} and not deleted: words.txt" in caplog.text
    assert verify_result(tmp_path / "r").strangers == (f"{kept.name}/",)


def test_a_changed_file_that_the_new_result_lacks_is_moved_aside_too(tmp_path):
    make_result(tmp_path / "r")
    (tmp_path / "r" / "figures" / "a.png").unlink()
    (tmp_path / "r" / "figures" / "a.png").write_text("mine")
    make_result(tmp_path / "r", text="two", names=("words.txt",))
    (kept,) = (tmp_path / "r").glob("kept-*")
    assert contents(kept) == {"figures/a.png": b"mine"}


def test_two_runs_of_one_day_keep_both(tmp_path):
    make_result(tmp_path / "r")
    for text in ("two", "three"):
        (tmp_path / "r" / "words.txt").unlink()
        (tmp_path / "r" / "words.txt").write_text(f"mine before {text}")
        make_result(tmp_path / "r", text=text)
    kept = {path.read_text() for path in (tmp_path / "r").glob("kept-*/words.txt")}
    assert kept == {"mine before two", "mine before three"}


@pytest.mark.parametrize("kind", ["link", "file", "folder"])
def test_what_is_in_the_way_of_a_new_file_is_moved_aside(home, kind):
    result = home / "r"
    make_result(result, names=("words.txt",))
    if kind == "link":
        (result / "figures").symlink_to(home / "thesis")
    elif kind == "file":
        (result / "figures").write_text("mine")
    else:
        (result / "figures" / "a.png").mkdir(parents=True)
        (result / "figures" / "a.png" / "mine.txt").write_text("mine")
    make_result(result, text="two")
    assert contents(home / "thesis") == {"chapter.docx": b"ten years"}
    assert (result / "figures" / "a.png").read_text() == "two"
    assert not (result / "figures").is_symlink()
    (kept,) = result.glob("kept-*")
    expected = {
        "link": {"figures": str(home / "thesis")},
        "file": {"figures": b"mine"},
        "folder": {"figures/a.png/mine.txt": b"mine"},
    }
    assert contents(kept) == expected[kind]
    assert verify_result(result).ok


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
@pytest.mark.parametrize("name", ["run.json", "words.txt", "manifest.json"])
def test_a_pipe_in_place_of_a_file_is_never_waited_for(tmp_path, name):
    make_result(tmp_path / "r")
    (tmp_path / "r" / name).unlink()
    os.mkfifo(tmp_path / "r" / name)
    if name == "manifest.json":
        with pytest.raises(ResultError):
            make_result(tmp_path / "r")
        return
    with pytest.raises(ResultError, match="damaged"):
        require_undamaged(tmp_path / "r", "the result")
    make_result(tmp_path / "r")
    assert verify_result(tmp_path / "r").ok


def test_an_older_result_whose_figures_became_a_link_loses_nothing(home):
    result = home / "r"
    make_result(result)
    (result / "figures").rename(home / "thesis" / "figures")
    (result / "figures").symlink_to(home / "thesis" / "figures")
    assert [damage.path for damage in verify_result(result).damages] == ["figures/a.png"]
    make_result(result, text="two")
    assert (home / "thesis" / "figures" / "a.png").read_text() == "one"
    assert verify_result(result).ok


def test_verify_names_hidden_strangers_and_links(home):
    make_result(home / "r")
    (home / "r" / ".hidden").write_text("x")
    (home / "r" / "figures" / ".DS_Store").write_text("x")
    (home / "r" / "linked").symlink_to(home / "thesis")
    assert verify_result(home / "r").strangers == (".hidden", "figures/.DS_Store", "linked")


def test_verify_takes_no_link_for_a_file_of_the_result(home):
    make_result(home / "r", names=("words.txt",))
    (home / "r" / "words.txt").rename(home / "thesis" / "words.txt")
    (home / "r" / "words.txt").symlink_to(home / "thesis" / "words.txt")
    assert [damage.problem for damage in verify_result(home / "r").damages] == ["not a plain file"]


def test_a_folder_removed_during_the_work_is_reported(tmp_path):
    def work(aside: Path) -> dict:
        shutil.rmtree(tmp_path / "r")
        (aside / "late.txt").write_text("late")
        return {}

    with pytest.raises(ResultError, match="was removed or renamed"), writing_result(tmp_path / "r") as draft:
        draft.stage("late", "k", work)
    assert not (tmp_path / "r").exists()


def test_a_missing_file_that_is_not_of_the_result_stays_an_error_of_its_own(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"), writing_result(tmp_path / "r") as draft:
        draft.stage("a", "k", lambda aside: {"text": (tmp_path / "nowhere").read_text()})


def test_an_arrays_folder_is_replaced_only_where_nothing_else_lies_in_it(tmp_path):
    arrays.write(tmp_path / "a.zarr", [1.0, 2.0], chunk_rows=2)
    (tmp_path / "a.zarr" / "mine.txt").write_text("mine")
    with pytest.raises(ResultError, match="something else"):
        arrays.discard(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / "mine.txt").unlink()
    arrays.discard(tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()


def test_a_cohorts_own_files_are_replaced_and_a_users_are_moved_aside(tmp_path):
    (tmp_path / "summary.csv").write_text("mine")
    open_cohort(tmp_path, ["A", "B"], files=["summary.csv"])
    write_cohort_files(tmp_path, {"summary.csv": b"first"})
    (kept,) = tmp_path.glob("kept-*")
    assert (kept / "summary.csv").read_text() == "mine"
    write_cohort_files(tmp_path, {"summary.csv": b"second"})
    assert [path.name for path in tmp_path.glob("kept-*")] == [kept.name]
    assert verify_cohort(tmp_path).ok
    (tmp_path / "summary.csv").write_text("changed")
    assert [damage.path for damage in verify_cohort(tmp_path).damages] == ["summary.csv"]


@pytest.mark.parametrize("name", ["summary.csv", "Summary.CSV", "cohort.json", "manifest.json", "..", "a/b", ".lock"])
def test_a_section_with_the_name_of_a_file_beside_it_is_refused_before_the_work(tmp_path, name):
    with pytest.raises(ResultError, match="cannot have this name"):
        open_cohort(tmp_path / "out", ["A", name], files=["summary.csv"])
    assert not (tmp_path / "out").exists()


def test_a_cohort_is_not_written_over_a_single_result(tmp_path):
    make_result(tmp_path / "r")
    with pytest.raises(ResultError, match="single section"):
        open_cohort(tmp_path / "r", ["A"], files=[])


def test_a_file_that_was_asked_for_moves_another_aside(tmp_path):
    (tmp_path / "score.json").write_text("mine")
    write_beside(tmp_path / "score.json", b"scores")
    write_beside(tmp_path / "score.json", b"scores")
    (kept,) = tmp_path.glob("kept-*")
    assert (kept / "score.json").read_text() == "mine"
    assert (tmp_path / "score.json").read_bytes() == b"scores"
