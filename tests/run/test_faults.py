"""What a run does when the place it writes to fails it, or when it is asked for what cannot be."""

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from histoscribe.errors import ConfigError, InputError, ResultError
from histoscribe.run.section.settings import RunConfig
from histoscribe.run.verbs import run_sections
from histoscribe.store.result import verify_result


def small_files_only() -> None:
    """Let no file grow over 60 kB, as a nearly full disk would."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))


def test_a_disk_that_fills_up_is_named_and_nothing_half_written_stays(vendor, tmp_path):
    command = [sys.executable, "-m", "histoscribe", "run", vendor, "--out", tmp_path / "r", "--encoder", "morphology"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=small_files_only, check=False)
    assert done.returncode == 2, done.stderr
    assert "--out" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "r" / "manifest.json").exists()
    assert list(Path(tmp_path).rglob(".stage-section")) == []
    run_sections(vendor, out=tmp_path / "r", encoder="morphology", n_domains=3)
    assert verify_result(tmp_path / "r").ok


def test_a_result_below_a_file_is_refused_before_anything_is_computed(vendor, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResultError, match="file"):
        run_sections(vendor, out=tmp_path / "file" / "r", encoder="morphology")


def test_a_section_without_a_picture_and_without_counts_is_refused(tmp_path):
    import anndata as ad
    import numpy as np

    spots = ad.AnnData(np.full((40, 3), 0.5, np.float32))
    spots.obsm["spatial"] = np.random.default_rng(0).uniform(0, 1000, (40, 2))
    spots.write_h5ad(tmp_path / "spots.h5ad")
    with pytest.raises(InputError, match=r"neither a picture nor counts(.|\n)*not whole numbers \(logarithms\?\)"):
        run_sections(tmp_path / "spots.h5ad", out=tmp_path / "r", encoder="morphology")
    assert not (tmp_path / "r").exists()


def test_running_a_sheet_into_a_single_result_is_refused(finished, tmp_path):
    (tmp_path / "sheet.csv").write_text(f"section,path\nA,{tmp_path}\n")
    with pytest.raises(ResultError, match="single section"):
        run_sections(tmp_path / "sheet.csv", out=finished, encoder="morphology")


def test_the_same_command_again_does_nothing_again(vendor, finished):
    states = []
    run_sections(vendor, out=finished, encoder="morphology", n_domains=3, listen=states.append)
    done = {event["stage"]: event["state"] for event in states if event["event"] == "stage"}
    assert {stage: state for stage, state in done.items() if stage != "read"} == dict.fromkeys(
        ("check", "embed", "domains", "describe", "section", "report"), "reused"
    )


def test_another_number_of_domains_keeps_the_embedding(vendor, finished, tmp_path):
    import shutil

    shutil.copytree(finished, tmp_path / "r")
    states = []
    run_sections(vendor, out=tmp_path / "r", encoder="morphology", n_domains=2, listen=states.append)
    done = {event["stage"]: event["state"] for event in states if event["event"] == "stage"}
    assert (done["embed"], done["domains"]) == ("reused", "done")


def test_stain_is_fitted_on_the_reference_and_changes_the_embedding(vendor, finished, tmp_path):
    from histoscribe.encoders import load_embedding

    config = RunConfig(encoder="morphology", n_domains=3, stain="macenko", stain_reference=str(vendor))
    run_sections(vendor, out=tmp_path / "r", config=config)
    before, after = load_embedding(finished / "embedding.zarr"), load_embedding(tmp_path / "r" / "embedding.zarr")
    assert before.shape == after.shape
    assert not (before == after).all()


def test_more_domains_than_spots_is_refused_before_embedding(vendor, tmp_path):
    with pytest.raises(ConfigError, match="domains cannot be made of"):
        run_sections(vendor, out=tmp_path / "r", encoder="morphology", n_domains=10_000)
    assert not (tmp_path / "r").exists()
