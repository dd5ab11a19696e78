"""The guard lets timm import beside torchvision without compiled operators, and touches nothing elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEALTHY = """
import torch
_library = torch.library.Library("torchvision", "DEF")
_library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
__version__ = "9.9.9"
"""
# fails as torchvision fails where its compiled operators are missing
BROKEN = """
import torch
from torchvision import part
@torch.library.register_fake("torchvision::nms")
def nms(dets, scores, iou_threshold): return dets
@torch.library.register_fake("torchvision::qnms")
def qnms(dets, scores, iou_threshold): return dets
__version__ = "9.9.8"
"""


def run_python(code: str, *, before: Path | None = None) -> str:
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    if before is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(before), environment.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def fake_torchvision(folder: Path, text: str) -> Path:
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(text)
    (package / "part.py").write_text("")
    return folder


def test_timm_can_be_imported_here():
    code = "from histoscribe.encoders._torchvision_guard import import_timm; print(import_timm().__name__)"
    assert run_python(code) == "timm"


def test_a_healthy_torchvision_is_left_alone(tmp_path):
    code = """
from histoscribe.encoders import _torchvision_guard as guard
module = guard.import_torchvision()
print(module.__version__, guard._declare_operators.cache_info().currsize, guard.torchvision_state(), sep="|")
"""
    assert run_python(code, before=fake_torchvision(tmp_path, HEALTHY)) == "9.9.9|0|healthy"


def test_missing_operators_are_declared_and_the_import_succeeds(tmp_path):
    code = """
from histoscribe.encoders import _torchvision_guard as guard
print(guard.import_torchvision().__version__, guard.torchvision_state(), sep="|")
"""
    assert run_python(code, before=fake_torchvision(tmp_path, BROKEN)) == "9.9.8|guarded"


def test_the_broken_package_does_fail_without_the_guard(tmp_path):
    with pytest.raises(AssertionError, match="operator torchvision::nms does not exist"):
        run_python("import torchvision", before=fake_torchvision(tmp_path, BROKEN))


def test_another_failure_of_torchvision_is_not_hidden(tmp_path):
    folder = fake_torchvision(tmp_path, "raise RuntimeError('the disk melted')")
    code = "from histoscribe.encoders._torchvision_guard import import_torchvision; import_torchvision()"
    with pytest.raises(AssertionError, match="the disk melted"):
        run_python(code, before=folder)


def test_the_state_says_that_torchvision_is_broken(tmp_path):
    folder = fake_torchvision(tmp_path, "raise RuntimeError('the disk melted')")
    code = "from histoscribe.encoders._torchvision_guard import torchvision_state as s; print(s())"
    assert run_python(code, before=folder) == "torchvision cannot be imported: the disk melted"
