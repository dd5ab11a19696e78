"""Killed at any moment, a run goes on from where it was and ends with the bytes of an undisturbed one."""

import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

from histoscribe.store.manifest import read_manifest
from histoscribe.store.result import verify_result

# forked from a server that has everything imported: a child starts at once, and the moments of death fall into the work
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["histoscribe.run.verbs", "histoscribe.domains.histology", "spatialdata", "matplotlib.figure"]
)


def work(vendor: Path, out: Path, n_domains: int, log: Path) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    from histoscribe.run.config import RunConfig
    from histoscribe.run.events import json_log
    from histoscribe.run.verbs import run_sections

    with json_log(log) as listen:
        run_sections(vendor, out=out, config=RunConfig(encoder="morphology", n_domains=n_domains), listen=listen)


def start(vendor: Path, out: Path, n_domains: int, log: Path) -> multiprocessing.Process:
    process = SERVER.Process(target=work, args=(vendor, out, n_domains, log))
    process.start()
    return process


def finish(vendor: Path, out: Path, n_domains: int, log: Path) -> None:
    process = start(vendor, out, n_domains, log)
    process.join()
    assert process.exitcode == 0


def kill_after(process: multiprocessing.Process, seconds: float) -> None:
    time.sleep(seconds)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()


def events(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def content(result: Path) -> str:
    return read_manifest(result)["content_sha256"]


@pytest.fixture(scope="module")
def undisturbed(vendor, tmp_path_factory):
    """Digest and duration of a run that nobody disturbs, and an older result with another number of domains."""
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(vendor, folder / "older", 2, folder / "older.log")
    begin = time.monotonic()
    finish(vendor, folder / "r", 3, folder / "log")
    return {"digest": content(folder / "r"), "seconds": time.monotonic() - begin, "older": folder / "older"}


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(20))
def test_a_killed_run_ends_like_an_undisturbed_one(vendor, undisturbed, tmp_path, moment):
    rng = random.Random(moment)
    out, log = tmp_path / "r", tmp_path / "log"
    kill_after(start(vendor, out, 3, log), rng.uniform(0.02, 1.0) * undisturbed["seconds"])
    finish(vendor, out, 3, log)
    assert verify_result(out).ok
    assert content(out) == undisturbed["digest"]
    assert not [p.name for p in out.iterdir() if p.name.startswith(".")]
    assert chunks_done_twice(events(log)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(5))
def test_an_older_result_survives_a_killed_run(vendor, undisturbed, tmp_path, moment):
    rng = random.Random(100 + moment)
    import shutil

    out = tmp_path / "r"
    shutil.copytree(undisturbed["older"], out)
    before = content(out)
    kill_after(start(vendor, out, 3, tmp_path / "log"), rng.uniform(0.02, 0.9) * undisturbed["seconds"])
    assert verify_result(out).ok
    assert content(out) in {before, undisturbed["digest"]}


def chunks_done_twice(log: list[dict]) -> int:
    """Chunks of tiles that were computed more often than once, by the progress that each process told."""
    reached = [event["done"] for event in log if event["event"] == "progress" and event["stage"] == "embed"]
    return len(reached) - len(set(reached))
