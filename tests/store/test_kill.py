"""A process may end between any two operations on the disk: the folder stays usable, and no result is half of one."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from histoscribe.store import arrays
from histoscribe.store.files import files_below
from histoscribe.store.manifest import read_manifest
from histoscribe.store.result import verify_result, writing_result

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are killed in copies of this one")


def make(folder: Path, text: str, *, more: str | None = None) -> None:
    """Write a result of two stages; with `more` of a third, and without it one of an older result is set aside."""

    def words(aside: Path) -> dict:
        for name in ("a.txt", "more/b.txt", "more/c.txt"):
            (aside / name).parent.mkdir(exist_ok=True)
            (aside / name).write_text(text)
        return {}

    with writing_result(folder) as draft:
        draft.stage("same", "key", lambda aside: {"n": (aside / "same.txt").write_text("same")})
        draft.stage("words", text, words)
        if more is not None:
            draft.stage("more", "key", lambda aside: {"n": (aside / "more.txt").write_text(more)})
        elif "more" in draft.older:
            draft.set_aside.add("more")
        draft.publish({})


def killed_at(operation: int, work) -> bool:
    """Do the work in a copy of this process that ends, as by kill -9, before the nth operation; whether it ended so."""
    child = os.fork()
    if child == 0:
        count = 0

        def dying(real):
            def call(*arguments, **named):
                nonlocal count
                count += 1
                if count == operation:
                    os._exit(9)
                return real(*arguments, **named)

            return call

        for owner, names in ((os, ("rename", "replace", "unlink", "rmdir", "mkdir", "link", "fsync")),):
            for name in names:
                setattr(owner, name, dying(getattr(owner, name)))
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def digest(folder: Path) -> str:
    return read_manifest(folder)["content_sha256"]


@pytest.mark.parametrize("older", [False, True])
def test_a_process_that_ends_at_any_operation_loses_nothing(tmp_path, older):
    make(tmp_path / "old", "old")
    make(tmp_path / "new", "new")
    before, after = digest(tmp_path / "old"), digest(tmp_path / "new")
    operation, alive = 1, True
    while alive:
        result = tmp_path / f"r{operation}"
        if older:
            shutil.copytree(tmp_path / "old", result)
        alive = killed_at(operation, lambda result=result: make(result, "new"))
        if older or (result / "manifest.json").is_file():
            assert verify_result(result).ok, operation
        if older and not (result / ".ready").is_dir():
            assert digest(result) in (before, after), operation
        make(result, "new")
        assert digest(result) == after, operation
        assert files_below(result) == files_below(tmp_path / "new"), operation
        shutil.rmtree(result)
        operation += 1
    assert operation > 20


def test_an_array_that_was_being_made_is_made_again(tmp_path):
    operation = 1
    while killed_at(operation, lambda: arrays.write(tmp_path / "a.zarr", np.arange(4.0), chunk_rows=2)):
        if (tmp_path / "a.zarr").is_dir():
            assert arrays.open_array(tmp_path / "a.zarr").shape == (4,)
            arrays.discard(tmp_path / "a.zarr")
        arrays.write(tmp_path / "a.zarr", np.arange(4.0), chunk_rows=2)
        assert files_below(tmp_path) == ["a.zarr/c/0", "a.zarr/c/1", "a.zarr/zarr.json"]
        arrays.discard(tmp_path / "a.zarr")
        operation += 1
    assert operation > 3


def test_a_stage_that_is_set_aside_is_never_lost(tmp_path):
    make(tmp_path / "old", "old", more="hours of work")
    operation, alive = 1, True
    while alive:
        result = tmp_path / f"r{operation}"
        shutil.copytree(tmp_path / "old", result)
        alive = killed_at(operation, lambda result=result: make(result, "new"))
        make(result, "new")
        assert "more.txt" not in read_manifest(result)["files"], operation
        (kept,) = result.glob("kept-*/more.txt")
        assert kept.read_text() == "hours of work", operation
        shutil.rmtree(result)
        operation += 1
    assert operation > 20
