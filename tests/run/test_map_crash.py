"""Killed at any moment, maps are made again with the bytes of an undisturbed call, and older maps stay as they were."""

import random
import shutil
import time
from pathlib import Path

import pytest

from histoscribe.store.manifest import read_manifest
from histoscribe.store.result import verify_result

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def forker(forking):
    with forking("map_forker.py") as made:
        yield made


@pytest.fixture(scope="module")
def vendor(tmp_path_factory) -> Path:
    """SpaceRanger folder of a phantom of few spots, which is learnt quickly: what is tested is the folder."""
    from histoscribe.phantom import make_phantom, write_spaceranger

    folder = tmp_path_factory.mktemp("phantom") / "section"
    write_spaceranger(make_phantom(3, size_um=900.0, mpp=1.0, n_domains=2, n_genes=40), folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(forker, vendor, tmp_path_factory):
    """Digest and duration of a call that nobody disturbs, and older maps of other genes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert forker.run(vendor, folder / "older", "top:1") == 0
    begin = time.monotonic()
    assert forker.run(vendor, folder / "r", "top:2") == 0
    return {"digest": content(folder / "r"), "seconds": time.monotonic() - begin, "older": folder / "older"}


@pytest.mark.parametrize("moment", range(3))
def test_killed_maps_are_made_again_like_undisturbed_ones(forker, vendor, undisturbed, tmp_path, moment):
    seconds = random.Random(moment).uniform(0.05, 1.0) * undisturbed["seconds"]
    forker.run(vendor, tmp_path / "r", "top:2", kill_after=seconds)
    assert forker.run(vendor, tmp_path / "r", "top:2") == 0
    assert verify_result(tmp_path / "r").ok
    assert content(tmp_path / "r") == undisturbed["digest"]
    assert [path.name for path in (tmp_path / "r").iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("moment", range(2))
def test_older_maps_survive_a_kill(forker, vendor, undisturbed, tmp_path, moment):
    seconds = random.Random(100 + moment).uniform(0.3, 0.95) * undisturbed["seconds"]
    shutil.copytree(undisturbed["older"], tmp_path / "r")
    before = content(tmp_path / "r")
    forker.run(vendor, tmp_path / "r", "top:2", kill_after=seconds)
    assert verify_result(tmp_path / "r").ok
    assert content(tmp_path / "r") in {before, undisturbed["digest"]}


def content(result: Path) -> str:
    return read_manifest(result)["content_sha256"]
