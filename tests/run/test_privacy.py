"""Who was scanned, when and by whom stands in a slide's tags and on its label; nothing that we write holds it."""

import json
import zlib
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from histoscribe.errors import InputError
from histoscribe.io.reading import Request
from histoscribe.phantom import make_phantom
from histoscribe.run.events import silent
from histoscribe.run.inputs import read_slide
from histoscribe.run.maps.section import map_section, map_sections
from histoscribe.run.maps.settings import MapSettings
from histoscribe.run.nuclei import nuclei
from histoscribe.run.section.chain import run_section
from histoscribe.run.section.settings import NucleiSettings, RunConfig
from histoscribe.run.verbs import run_sections
from histoscribe.slide.open import open_image
from histoscribe.store.files import read_json

SECRETS = ("DOE^JANE", "1953-04-17", "u-pathologist7", "SS7311SCOPE", "BC-55102-X", "original_name_77")
PRIVATE = "Patient = {}|Date = {}|User = {}|ScanScope ID = {}|Barcode = {}|Filename = {}".format(*SECRETS)
LABEL = (7, 250, 13)  # a colour that neither tissue nor a figure has


def label(height: int, width: int) -> np.ndarray:
    return np.broadcast_to(np.array(LABEL, np.uint8), (height, width, 3)).copy()


def write_svs(path: Path, pixels: np.ndarray) -> Path:
    """Write a slide as Aperio's scanners do: tiles, a thumbnail, a label and a macro picture."""
    height, width, _ = pixels.shape
    head = f"Aperio Image Library v11.2.1 \r\n{width}x{height} (240x240) JPEG/RGB Q=90|AppMag = 10|MPP = 1.0|{PRIVATE}"
    with tifffile.TiffWriter(path) as writer:
        options = {"photometric": "rgb", "metadata": None, "software": PRIVATE, "datetime": "1953:04:17 00:00:00"}
        writer.write(pixels, tile=(240, 240), compression="jpeg", description=head, **options)
        thumbnail = np.ascontiguousarray(pixels[::8, ::8])
        writer.write(thumbnail, rowsperstrip=16, compression="jpeg", description=head, **options)
        for name, kind in (("label", 1), ("macro", 9)):
            description = f"Aperio Image Library v11.2.1 \r\n{name} 400x300|{PRIVATE}"
            writer.write(label(300, 400), compression="lzw", subfiletype=kind, description=description, **options)
    return path


def write_tiff(path: Path, pixels: np.ndarray) -> Path:
    """Write a TIFF with a label as its second picture, and names in its tags and XMP."""
    xmp = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{PRIVATE}</x:xmpmeta>".encode()
    tags = [(315, "s", 0, PRIVATE, True), (316, "s", 0, PRIVATE, True), (700, "B", len(xmp), xmp, True)]
    with tifffile.TiffWriter(path) as writer:
        options = {"photometric": "rgb", "metadata": None, "compression": "zlib"}
        resolution = {"resolution": (10_000, 10_000), "resolutionunit": "CENTIMETER"}
        writer.write(pixels, tile=(256, 256), description=PRIVATE, extratags=tags, **resolution, **options)
        writer.write(label(300, 400), description=f"label {PRIVATE}", **options)
    return path


def write_jpeg(path: Path, pixels: np.ndarray) -> Path:
    """Write a JPEG with names in EXIF and its comment."""
    exif = Image.Exif()
    exif[270] = exif[315] = PRIVATE
    Image.fromarray(pixels).save(path, "JPEG", quality=90, exif=exif, comment=PRIVATE.encode(), dpi=(25_400, 25_400))
    return path


def write_png(path: Path, pixels: np.ndarray) -> Path:
    """Write a PNG with names in its texts."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Description", PRIVATE)
    texts.add_itxt("XML:com.adobe.xmp", PRIVATE)
    Image.fromarray(pixels).save(path, "PNG", pnginfo=texts, dpi=(25_400, 25_400))
    return path


WRITERS = {"slide.svs": write_svs, "slide.tif": write_tiff, "slide.jpg": write_jpeg, "slide.png": write_png}


def texts_of(path: Path) -> bytes:
    """What a file holds as it is, and what the compressed texts of a PNG say."""
    stored = path.read_bytes()
    if path.suffix == ".png":
        with Image.open(path) as image:
            return stored + json.dumps({k: str(v) for k, v in image.info.items()}).encode()
    if path.suffix in {".gz", ".zip"}:
        return stored + zlib.decompressobj(47).decompress(stored)
    return stored


def holds_label(path: Path) -> bool:
    """Whether a picture shows the label's colour anywhere."""
    if path.suffix != ".png":
        return False
    with Image.open(path) as image:
        return bool((np.asarray(image.convert("RGB")) == LABEL).all(axis=2).any())


def assert_private(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    leaked = {(path.name, secret) for path in files for secret in SECRETS if secret.encode() in texts_of(path)}
    assert leaked == set()
    assert [path.name for path in files if holds_label(path)] == []


@pytest.fixture(scope="module")
def tissue() -> np.ndarray:
    return make_phantom(0, size_um=500, n_domains=3).image.read(200, 200, 480, 480)


@pytest.mark.parametrize("name", WRITERS)
def test_the_pictures_hold_what_must_not_leak(tmp_path, tissue, name):
    stored = texts_of(WRITERS[name](tmp_path / name, tissue))
    assert all(secret.encode() in stored for secret in SECRETS)


@pytest.mark.parametrize("name", WRITERS)
def test_nuclei_hold_nothing_of_the_slides_tags_or_label(tmp_path, tissue, name):
    path = WRITERS[name](tmp_path / name, tissue)
    nuclei(path, out=tmp_path / "out", mpp=0.5)
    assert_private(tmp_path / "out")


def sheet_of(folder: Path, *, allow_damaged: str = "") -> Path:
    """Write a section of loose files with an SVS as picture, and its sample sheet."""
    phantom = make_phantom(3, size_um=1400.0, mpp=1.0, n_domains=3)
    write_svs(folder / "slide.svs", phantom.image.read(0, 0, 1400, 1400))
    spots = phantom.spots()
    del spots.uns["phantom"]
    spots.write_h5ad(folder / "spots.h5ad")
    sheet = folder / "sheet.csv"
    sheet.write_text(f"section,path,image,scale,allow_damaged\nA1,spots.h5ad,slide.svs,fullres,{allow_damaged}\n")
    return sheet


def test_a_run_holds_nothing_of_the_slides_tags_or_label(tmp_path):
    (outcome,) = run_sections(sheet_of(tmp_path), out=tmp_path / "out", encoder="morphology", n_domains=3)
    assert outcome.status == "done", outcome
    assert_private(tmp_path / "out")


DAMAGED = "the image is damaged and was read all the same"


def damaged_sheet_of(folder: Path, *, allow_damaged: str = "") -> Path:
    """Write the same with a picture that is longer than its parts."""
    sheet = sheet_of(folder, allow_damaged=allow_damaged)
    with (folder / "slide.svs").open("ab") as file:
        file.write(b"more than the picture" * 20)
    return sheet


@pytest.mark.parametrize("allowed", ["no", "yes"])
def test_a_damaged_picture_fails_or_its_damage_stands_in_the_report(tmp_path, allowed):
    sheet = damaged_sheet_of(tmp_path, allow_damaged=allowed)
    (outcome,) = run_sections(sheet, out=tmp_path / "out", encoder="morphology", n_domains=3)
    if allowed == "no":
        assert outcome.status != "done"
        return
    assert outcome.status == "done", outcome
    assert any(DAMAGED in note for note in outcome.notes)
    assert DAMAGED in (outcome.folder / "report.html").read_text()
    assert DAMAGED in (outcome.folder / "run.json").read_text()


def says_damaged(text: str) -> bool:
    return DAMAGED in text.lower()  # a page begins a sentence with it


def test_damage_stands_in_the_record_and_page_of_maps(tmp_path):
    sheet, settings = (
        damaged_sheet_of(tmp_path),
        MapSettings(genes="top:2", um=64.0, encoder="none", allow_damaged=True),
    )
    maps = map_section(sheet, out=tmp_path / "map", settings=settings)
    (outcome,) = map_sections(sheet, out=tmp_path / "maps", settings=settings)
    for notes in (maps.notes, outcome.notes):
        assert any(map(says_damaged, notes))
    for folder in (tmp_path / "map", outcome.folder):
        assert says_damaged((folder / "run.json").read_text())
        assert says_damaged((folder / "report.html").read_text())


def test_damage_of_a_picture_alone_stands_in_the_record(tmp_path):
    damaged_sheet_of(tmp_path)
    (outcome,) = nuclei(tmp_path / "slide.svs", out=tmp_path / "out", settings=NucleiSettings(allow_damaged=True))
    assert any(map(says_damaged, outcome.notes))
    assert says_damaged((tmp_path / "out" / "run.json").read_text())
    given = read_slide(Request(path=tmp_path / "slide.svs", allow_damaged=True))
    assert any(map(says_damaged, given.notes))
    assert any(map(says_damaged, given.record["notes"]))


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("allowed", [False, True])
def test_a_damaged_stain_reference_is_refused_or_allowed_as_the_section_is(vendor, tmp_path, allowed, alone):
    reference = tmp_path / "reference"
    copytree(vendor, reference)
    picture = next(reference.rglob("*.tif"))
    if alone:
        picture = reference = write_tiff(tmp_path / "alone.tif", open_image(picture).overview(10_000)[0])
    config = RunConfig(encoder="morphology", n_domains=3, stain="reinhard", stain_reference=str(reference))
    run_section(Request(path=vendor), out=tmp_path / "whole", config=config, listen=silent)
    with picture.open("ab") as file:
        file.write(b"more than the picture" * 20)
    for smaller in tmp_path.glob("reference/outs/spatial/*.png"):  # the next one that would be taken
        smaller.unlink()
    config = config.updated(allow_damaged=allowed)
    if allowed:
        run_section(Request(path=vendor), out=tmp_path / "out", config=config, listen=silent)
        assert (
            read_json(tmp_path / "out" / "run.json")["stages"]["embed"]["settings"]["stain"]["normaliser"]["method"]
            == "reinhard"
        )
        return
    with pytest.raises(InputError, match=r"damaged|has no image"):
        run_section(Request(path=vendor), out=tmp_path / "out", config=config, listen=silent)
