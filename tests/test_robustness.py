"""A small part of benchmarks/robustness.py, from the same code: damaged or hostile input is refused with a message."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_PROGRAM = Path(__file__).resolve().parents[1] / "benchmarks" / "robustness.py"
# one of each kind of file, the quick ones; the benchmark has 39 families
_FAMILIES = (
    "visium h5", "visium positions", "scalefactors", "h5ad csc", "h5ad dense", "sample sheet", "loupe csv", "jpeg",
    "png", "ome-tiff", "bigtiff pyramid", "card toml", "run toml", "onnx", "model folder",
)  # fmt: skip


@pytest.fixture(scope="module")
def counts(tmp_path_factory) -> dict[str, int]:
    """A little of all parts but the kills, in a process of its own: it forks, so it must have no threads."""
    shares = ("inputs=0.03", "pictures=0.1", "damages=0.014", "hostile=0.08")
    command = [sys.executable, str(_PROGRAM), "--parts", "inputs", "pictures", "damages", "hostile", "--share", *shares]
    command += ["--commands", "domains", "fit", "map"]
    command += ["--only", *_FAMILIES, "--work", str(tmp_path_factory.mktemp("robustness"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout)  # shown where a test fails: which inputs, by the names under which --only finds them again
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("robustness_")]
    return {name.removeprefix("robustness_"): int(value) for name, value in rows}


@pytest.mark.parametrize("kind", ["unhandled", "memory", "crash", "hang", "silent"])
def test_no_damaged_input_ends_otherwise_than_read_or_refused(counts, kind):
    assert counts["inputs"] >= 140
    assert counts[f"inputs_{kind}"] == 0
    assert "inputs_unusable" not in counts


def test_no_damage_that_can_be_detected_is_read_without_a_warning(counts):
    assert counts["known_JPEG"] == counts["known_OME-TIFF"] == 12
    assert {name: count for name, count in counts.items() if name.endswith(("_silent", "_otherwise")) and count} == {}


def test_every_damage_to_a_result_is_found_and_refused(counts):
    assert counts["damages_found_by_verify"] == counts["damages"] == 15
    assert counts["damages_refused_by_what_reads_models_and_maps"] == counts["damages_to_models_and_maps"] == 10


@pytest.mark.parametrize(
    "fault",
    ["outside", "wrote", "lost", "believed", "traceback", "late", "leftover", "broken", "hang", "crash"],
)
def test_no_call_is_harmed_by_a_hostile_folder_or_harms_what_is_beside_it(counts, fault):
    assert counts["hostile_folders"] >= 20
    assert counts[f"hostile_{fault}"] == 0
