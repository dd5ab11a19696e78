"""The steps of the Dockerfile, in a fresh environment: the wheel is installed, and the container's command starts."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_dockerfile_copies_what_is_there_and_runs_the_tested_steps():
    text = (ROOT / "Dockerfile").read_text()
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.search(r"^COPY (constraints\.txt .*) \S+$", text, re.MULTILINE)
    for name in (*copied[1].split(), "pyproject.toml"):
        assert (ROOT / name).is_file()
        assert name.split("/")[0] in kept
    assert "install.sh /opt/venv" in text
    assert re.search(r"^USER (?!root)", text, re.MULTILINE)
    assert text.index("USER ") < text.index("ENTRYPOINT")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """What the image holds: the scripts, and an environment with the wheel and the lab."""
    folder = tmp_path_factory.mktemp("image")
    # beside the shell's own tools nothing of the environment that runs the tests
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"PYTHON": sys.executable, "HISTOSCRIBE_VENV": str(folder / "venv"), "HOME": str(folder)}
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(wheel, check=True, env=environment)
    for name in ("constraints.txt", "docker/install.sh", "docker/start.sh"):
        shutil.copy(ROOT / name, folder)
    (built,) = folder.glob("*.whl")
    subprocess.run([folder / "install.sh", folder / "venv", f"{built}[lab]"], check=True, env=environment)
    return folder, environment


@pytest.mark.install
def test_the_command_line_starts_and_makes_a_result(image, tmp_path):
    folder, environment = image
    done = subprocess.run(
        [folder / "start.sh", "demo", "--out", tmp_path / "demo"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "demo" / "result" / "report.html").is_file()


@pytest.mark.install
def test_the_lab_listens_on_loopback_and_asks_for_its_token(image, tmp_path):
    folder, environment = image
    lab = subprocess.Popen(
        # the tests may run as root, the container does not
        [folder / "start.sh", "lab", "--allow-root", "--ServerApp.port=0", f"--ServerApp.root_dir={tmp_path}"],
        env=environment | {"JUPYTER_TOKEN": "secret", "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        server = _server(tmp_path / "runtime", lab)
        assert server["hostname"] == "127.0.0.1"
        address = f"http://127.0.0.1:{server['port']}/api/contents"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(address, timeout=20)
        with urllib.request.urlopen(f"{address}?token=secret", timeout=20) as answer:
            assert json.load(answer)["type"] == "directory"
    finally:
        lab.terminate()
        lab.wait(30)


def _server(runtime, lab, seconds=60):
    """What the lab wrote about itself when it was ready."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and lab.poll() is None:
        for path in runtime.glob("jpserver-*.json"):
            if path.read_text():
                return json.loads(path.read_text())
        time.sleep(0.2)
    pytest.fail(f"the lab did not start within {seconds} s (exit code {lab.poll()})")
