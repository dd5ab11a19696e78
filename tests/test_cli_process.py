"""How a command ends early: with a word, with its own exit status, and without a lock left behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from histoscribe.cli import main
from histoscribe.phantom import make_phantom, write_spaceranger


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vendor") / "outs"
    write_spaceranger(make_phantom(3, size_um=1400.0, mpp=1.0, n_domains=3), folder)
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals of this kind")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_stopped_command_says_so_even_when_quiet_and_leaves_no_lock(vendor, tmp_path, number, status):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "histoscribe", "domains", vendor, "--out", out, "--quiet"]
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job has it ignored
    ) as process:
        deadline = time.monotonic() + 60
        while not list(out.glob(".partial/.stage-embed")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == status
    assert said == "stopped; the same command continues from here\n"
    assert [path.name for path in out.iterdir()] == [".partial"]  # no lock


def test_a_log_is_not_added_to_a_users_file(vendor, tmp_path, capsys):
    (tmp_path / "data.csv").write_text("barcode,label\n")
    with pytest.raises(SystemExit) as stop:
        main(["domains", str(vendor), "--out", str(tmp_path / "out"), "--log-json", str(tmp_path / "data.csv")])
    assert stop.value.code == 2
    assert "no log of histoscribe" in capsys.readouterr().err
    assert (tmp_path / "data.csv").read_text() == "barcode,label\n"


@pytest.mark.parametrize(
    "command",
    [
        ["check", "LOOP"],
        ["verify", "LOOP"],
        ["run", "LOOP", "--out", "o"],
        ["predict", "LOOP", "LOOP", "--out", "LOOP"],
        ["map", "LOOP", "--model", "LOOP", "--out", "o"],
        ["nuclei", "LOOP", "--out", "o"],
        ["tiles", "LOOP", "--out", "o"],
        ["fit", "LOOP", "--out", "o"],
    ],
    ids=lambda command: command[0],
)
def test_links_that_lead_in_a_circle_are_refused(command, tmp_path, monkeypatch):
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path / "loop") if word == "LOOP" else word for word in command])
    assert end.value.code == 2
