"""Killed at any moment, a run continues from where it was and ends with the bytes of an undisturbed one."""

import json
import random
import shutil
import time
from itertools import pairwise
from pathlib import Path

import pytest

from histoscribe.encoders import EmbedSettings
from histoscribe.store.manifest import read_manifest
from histoscribe.store.result import verify_result


@pytest.fixture(scope="module")
def forker(forking):
    with forking("forker.py") as made:
        yield made


@pytest.fixture(scope="module")
def undisturbed(forker, vendor, tmp_path_factory):
    """Digest and duration of a run that nobody disturbs, and an older result with another number of domains."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert forker.run(vendor, folder / "older", 2, folder / "older.log") == 0
    begin = time.monotonic()
    assert forker.run(vendor, folder / "r", 3, folder / "log") == 0
    return {"digest": content(folder / "r"), "seconds": time.monotonic() - begin, "older": folder / "older"}


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(20))
def test_a_killed_run_ends_like_an_undisturbed_one(forker, vendor, undisturbed, tmp_path, moment):
    seconds = random.Random(moment).uniform(0.02, 1.0) * undisturbed["seconds"]
    out, log = tmp_path / "r", tmp_path / "log"
    forker.run(vendor, out, 3, log, kill_after=seconds)
    assert forker.run(vendor, out, 3, log) == 0
    assert verify_result(out).ok
    assert content(out) == undisturbed["digest"]
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    assert spots_done_twice(log) <= EmbedSettings().chunk_tiles


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(5))
def test_an_older_result_survives_a_killed_run(forker, vendor, undisturbed, tmp_path, moment):
    seconds = random.Random(100 + moment).uniform(0.02, 0.9) * undisturbed["seconds"]
    shutil.copytree(undisturbed["older"], tmp_path / "r")
    before = content(tmp_path / "r")
    forker.run(vendor, tmp_path / "r", 3, tmp_path / "log", kill_after=seconds)
    assert verify_result(tmp_path / "r").ok
    assert content(tmp_path / "r") in {before, undisturbed["digest"]}


def content(result: Path) -> str:
    return read_manifest(result)["content_sha256"]


def spots_done_twice(log: Path) -> int:
    """Most spots that a process embedded again: how far behind the last word of the killed one it began."""
    events = [json.loads(line) for line in log.read_text().splitlines()]
    reached = [event["done"] for event in events if event["event"] == "progress" and event["stage"] == "embed"]
    return max((earlier - later for earlier, later in pairwise(reached)), default=0)
