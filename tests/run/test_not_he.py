"""A picture that is no H&E is refused by every command before any work, and a doubtful one is named."""

import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

import histoscribe as hs
from histoscribe.cli import main
from histoscribe.errors import HistoscribeError
from histoscribe.run.cohort.evaluate import evaluate
from histoscribe.run.cohort.fit import fit

REFUSED = r"no H&E"


def changed(vendor, folder, change):
    """A copy of a SpaceRanger folder whose full-resolution picture is changed."""
    shutil.copytree(vendor, folder)
    (path,) = folder.glob("*.tif")
    image = hs.open_image(path)
    pixels = image.read(0, 0, image.width, image.height)
    tifffile.imwrite(path, change(pixels), photometric="rgb")
    return folder


@pytest.fixture(scope="module")
def inverted(vendor, tmp_path_factory):
    folder = changed(vendor, tmp_path_factory.mktemp("inverted") / "section", lambda rgb: 255 - rgb)
    (picture,) = folder.glob("*.tif")
    shutil.copy(picture, folder.parent / "slide.tif")
    row = {"section": "a", "patient": "p", "path": "section", "image": f"section/{picture.name}"}
    table = pd.DataFrame([row, row | {"section": "b", "patient": "q"}])
    table.to_csv(folder.parent / "sheet.csv", index=False)
    return folder.parent


COMMANDS = {
    "run": lambda given, out: hs.run_sections(given / "section", out=out),
    "domains": lambda given, out: hs.find_domains(given / "section", out=out),
    "nuclei": lambda given, out: hs.find_nuclei(given / "section", out=out),
    "nuclei of a picture": lambda given, out: hs.find_nuclei(given / "slide.tif", out=out, mpp=1.0),
    "tiles": lambda given, out: hs.save_tiles(given / "section", out=out),
    "map": lambda given, out: hs.map_section(given / "section", out=out),
    "evaluate": lambda given, out: evaluate(given / "sheet.csv", out=out),
    "fit": lambda given, out: fit(given / "sheet.csv", out=out),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_inverted_picture_is_refused(command, inverted, tmp_path):
    with pytest.raises(HistoscribeError, match=REFUSED):
        COMMANDS[command](inverted, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_slide_to_which_domains_are_transferred_must_be_h_and_e(inverted, finished, tmp_path, capsys):
    slide, out = str(inverted / "slide.tif"), str(tmp_path / "r")
    with pytest.raises(SystemExit) as end:
        main(["domains", slide, "--transfer", str(finished), "--out", out, "--mpp", "1"])
    assert end.value.code == 2
    assert "no H&E" in " ".join(capsys.readouterr().err.split())


def test_check_takes_a_picture_alone(inverted, vendor, capsys):
    (slide,) = vendor.glob("*.tif")
    for path, code, words in ((slide, 0, "haematoxylin and eosin"), (inverted / "slide.tif", 2, "no H&E")):
        with pytest.raises(SystemExit) as end:
            main(["check", str(path), "--mpp", "1"])
        assert end.value.code == code
        shown = " ".join(capsys.readouterr().out.split())
        assert words in shown
        assert "1 um/px" in shown


def test_a_grey_picture_is_named_by_the_command_and_in_its_result(vendor, tmp_path, capsys):
    grey = changed(
        vendor,
        tmp_path / "section",
        lambda rgb: np.repeat(np.asarray(Image.fromarray(rgb).convert("L"))[..., None], 3, axis=2),
    )
    with pytest.raises(SystemExit) as end:
        main(["tiles", str(grey), "--out", str(tmp_path / "r")])
    assert end.value.code == 0
    assert "grey picture" in " ".join(capsys.readouterr().out.split())
    assert "grey picture" in (tmp_path / "r" / "report.html").read_text()
