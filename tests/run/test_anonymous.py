"""With --anonymous nothing that is written names a file or folder of the input; without it nothing names its place.

Every command works on files all of which are called after a patient, SMITH_JOHN, and all that lies in the results and
the logs is searched: names, bytes, and what compressed containers hold.
"""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from PIL import Image

from histoscribe.cli import main

NAME = "SMITH_JOHN"
COMMANDS = ("run", "domains", "transfer", "nuclei", "nuclei_sheet", "map", "map_model", "evaluate", "fit", "predict")


@pytest.fixture(scope="module")
def named(tmp_path_factory) -> Path:
    """Two patients' sections, one of them as loose files, with sheet, encoder card, gene list and labels."""
    from histoscribe.phantom import cohort, make_phantom, write_spaceranger

    root = tmp_path_factory.mktemp("input") / NAME
    like = make_phantom(0, size_um=700.0, mpp=2.0, n_domains=2, n_genes=40)
    for letter, phantom in zip("AB", cohort(2, like=like), strict=True):
        folder = root / f"{NAME}_{letter}"
        write_spaceranger(phantom, folder)
        next(folder.glob("*.tif")).rename(folder / f"{NAME}_{letter}.tif")
        spots = phantom.spots()
        kinds = pd.DataFrame({"a": np.arange(spots.n_obs) % 7, "b": 1.0}, index=spots.obs_names)
        kinds.to_csv(root / f"{NAME}_{letter}_types.csv", index_label="")
    loose, outs = root / f"{NAME}_B", root / f"{NAME}_B" / "outs"
    (outs / "filtered_feature_bc_matrix.h5").rename(loose / f"{NAME}_counts.h5")
    positions = pd.read_csv(outs / "spatial" / "tissue_positions.csv")
    positions = positions[positions["in_tissue"] == 1]
    table = positions[["barcode", "pxl_col_in_fullres", "pxl_row_in_fullres"]]
    table.columns = ["barcode", "x", "y"]
    table.to_csv(loose / f"{NAME}_spots.csv", index=False)
    # a picture that is passed over, which a note reports
    Image.new("RGB", (300, 200), (240, 240, 240)).save(root / f"{NAME}_A" / f"{NAME}_old.jpg")
    (root / f"{NAME}.toml").write_text('like = "morphology"\nname = "own"\n')
    (root / f"{NAME}_run.toml").write_text(f'encoder = "{root / NAME}.toml"\n')
    (root / f"{NAME}_genes.txt").write_text("\n".join(like.spots().var_names[:6]))
    (root / f"{NAME}_options.toml").write_text(
        f'encoders = ["{root / NAME}.toml"]\ngenes = "{root / NAME}_genes.txt"\ntile_um = [112.0]\n'
    )
    b = f"{NAME}_B/{NAME}"
    (root / f"{NAME}.csv").write_text(
        "section,patient,path,image,spots,counts,mpp,abundance\n"
        f"A,P1,{NAME}_A,,,,,{NAME}_A_types.csv\n"
        f"B,P2,,{b}_B.tif,{b}_spots.csv,{b}_counts.h5,2.0,{NAME}_B_types.csv\n"
    )
    (root / f"{NAME}_refused.csv").write_text(
        f"section,path\nA,{NAME}_A\nC,{NAME}_missing/outs\nE,{root}/{NAME}_away.h5ad\n"
    )
    return root


def command(name: str, root: Path, made: Path) -> list[str]:
    """Command line of a verb on these files."""
    a, picture, sheet = f"{root / NAME}_A", f"{root / NAME}_A/{NAME}_A.tif", f"{root / NAME}.csv"
    card, config = f"{root / NAME}.toml", f"{root / NAME}_run.toml"
    line = {
        "run": ["run", a, "--config", config, "--n-domains", "2"],
        "domains": ["domains", f"{root / NAME}_refused.csv", "--config", config, "--n-domains", "2"],
        "transfer": ["domains", a, "--transfer", str(made / "run"), "--encoder", card],
        "nuclei": ["nuclei", picture],
        "nuclei_sheet": ["nuclei", f"{root / NAME}_refused.csv"],
        "map": ["map", a, "--genes", "top:2", "--um", "16", "--encoder", "none"],
        "map_model": [
            "map",
            picture,
            "--model",
            str(made / "map"),
            "--genes",
            "all",
            "--um",
            "16",
            "--encoder",
            "none",
        ],
        "evaluate": ["evaluate", sheet, "--heads", "ridge", "--config", f"{root / NAME}_options.toml"],
        "fit": ["fit", sheet, "--config", f"{root / NAME}_options.toml"],
        "predict": ["predict", str(made / "fit"), picture, "--encoder", card],
    }[name]
    return [*line, "--out", str(made / name)]


def work_all(root: Path, made: Path, *options: str) -> Path:
    """Run every command; those on the sheet with missing files end incomplete."""
    for name in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            main([*command(name, root, made), "--log-json", str(made / f"{name}.log"), *options])
        assert ended.value.code == (3 if name in ("domains", "nuclei_sheet") else 0), name
    labels = pd.read_csv(root / f"{NAME}_A" / "truth.csv")
    labels.to_csv(root / f"{NAME}_labels.csv", index=False)
    with pytest.raises(SystemExit):
        main(["score", str(made / "run"), "--labels", str(root / f"{NAME}_labels.csv"), "--column", "domain"])
    return made


@pytest.fixture(scope="module")
def anonymous(named, tmp_path_factory) -> Path:
    return work_all(named, tmp_path_factory.mktemp("anonymous"), "--anonymous")


@pytest.fixture(scope="module")
def plain(named, tmp_path_factory) -> Path:
    return work_all(named, tmp_path_factory.mktemp("plain"))


def texts(path: Path) -> list[bytes]:
    """All that a file says: its bytes, and its strings where these are compressed."""
    found = [path.read_bytes()]
    if path.suffix == ".h5ad":
        with h5py.File(path) as file:
            file.visititems(lambda _, item: found.append(_text_of(item)))
    elif path.suffix == ".parquet":
        found.append(pd.read_parquet(path).to_csv().encode())
    elif path.suffix == ".png":
        found.append(repr(Image.open(path).info).encode())
    elif path.name == "zarr.json" and json.loads(found[0])["node_type"] == "array":
        array = zarr.open_array(path.parent, mode="r")
        if not np.issubdtype(array.dtype, np.number):
            found.append(repr(np.asarray(array[...]).tolist()).encode())
    return found


def _text_of(item: object) -> bytes:
    attributes = repr(dict(item.attrs)).encode()
    if isinstance(item, h5py.Dataset) and item.dtype.kind == "O":
        return attributes + repr(item[()].tolist() if item.shape else item[()]).encode()
    return attributes


def holding(folder: Path, text: str) -> list[str]:
    """Files below a folder that hold a text in their name or anywhere inside, whatever its case."""
    wanted = text.lower().encode()
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [
        path.relative_to(folder).as_posix()
        for path in paths
        if wanted in path.relative_to(folder).as_posix().lower().encode()
        or any(wanted in said.lower() for said in texts(path))
    ]


def test_the_search_finds_what_is_compressed(tmp_path):
    import anndata

    table = anndata.AnnData(np.zeros((2, 1)), obs=pd.DataFrame(index=[f"{NAME}_0", f"{NAME}_1"]))
    table.write_h5ad(tmp_path / "a.h5ad", compression="gzip")
    table.write_zarr(tmp_path / "b.zarr")
    assert holding(tmp_path, NAME)[0] == "a.h5ad"
    assert any(name.startswith("b.zarr") for name in holding(tmp_path, NAME))


def test_nothing_that_is_written_names_an_input(anonymous):
    assert holding(anonymous, "smith") == []


def test_nor_does_an_ordinary_result_name_a_folder_of_this_computer(plain, named):
    # a log is no result: it may name the folder that was refused
    assert [name for name in holding(plain, str(named.parent)) if not name.endswith(".log")] == []
    assert [name for name in holding(plain, str(plain)) if not name.endswith(".log")] == []


def test_the_hash_of_each_file_stands_in_place_of_its_name(anonymous, plain):
    hidden, named = (json.loads((folder / "run" / "run.json").read_text()) for folder in (anonymous, plain))
    assert [one["sha256"] for one in hidden["inputs"]] == [one["sha256"] for one in named["inputs"]]
    for one in hidden["inputs"]:
        assert one["path"].startswith(f"{hidden['section']}-{one['sha256'][:8]}")
    assert hidden["section"].startswith("section-")
    assert (hidden["stated"]["anonymous"], named["stated"]["anonymous"]) == (True, False)


def test_the_card_of_an_encoder_is_recorded_by_its_name(plain):
    record = json.loads((plain / "domains" / "A" / "run.json").read_text())
    assert record["stages"]["embed"]["settings"]["encoder"]["name"] == "own"


def test_the_report_says_what_was_decided_with_the_alias(anonymous):
    page = (anonymous / "run" / "report.html").read_text()
    assert "full resolution" in page
    assert "lies beside the section" in page


def test_names_of_the_sheet_are_kept(anonymous):
    record = json.loads((anonymous / "evaluate" / "run.json").read_text())
    assert [one["section"] for one in record["inputs"]] == ["A", "B"]
    assert [one["stated"]["patient"] for one in record["inputs"]] == ["P1", "P2"]


def test_a_refused_section_says_why(anonymous, plain):
    for made in (anonymous, plain):
        reasons = pd.read_csv(made / "domains" / "summary.csv").set_index("section")["reason"]
        assert "no such file" in reasons["C"]


def test_numbers_are_those_of_an_ordinary_result(anonymous, plain):
    for name in ("run/domains.csv", "map/maps/scores.csv", "nuclei/nuclei/nuclei.parquet"):
        assert (anonymous / name).read_bytes() == (plain / name).read_bytes(), name


def test_no_setting_is_recorded_with_a_path(tmp_path):
    """The card of a head or of a map, a gene list and a stain reference: by name, or not even that."""
    from histoscribe.run.cohort.options import PredictOptions
    from histoscribe.run.maps.settings import MapSettings
    from histoscribe.run.section.settings import RunConfig

    card = tmp_path / NAME / f"{NAME}.toml"
    card.parent.mkdir()
    card.write_text('like = "morphology"\nname = "own"\n')
    (card.parent / f"{NAME}.txt").write_text("A\nB\n")
    (card.parent / f"{NAME}.safetensors").write_bytes(b"weights")
    heads = {"finetune": {"backbone": str(card), "weights": f"{card.parent}/{NAME}.safetensors"}, "serial": {}}
    for anonymous in (False, True):
        genes = str(card.parent / f"{NAME}.txt")
        options = PredictOptions(genes=genes, encoders=(str(card),), head_options=heads, anonymous=anonymous)
        stain = {"stain": "macenko", "stain_reference": str(card.parent), "anonymous": anonymous}
        recorded = [
            options.record(),
            MapSettings(encoder=str(card), anonymous=anonymous).record(),
            RunConfig(encoder=str(card), **stain).record(),
        ]
        text = json.dumps(recorded)
        assert str(tmp_path) not in text
        assert (NAME in text) is not anonymous


def test_the_weights_of_a_card_are_recorded_by_their_hash_alone(tmp_path):
    from histoscribe.encoders import load_card

    (tmp_path / "card.toml").write_text(f'like = "uni"\nfile = "{NAME}.safetensors"\n')
    assert load_card(tmp_path / "card.toml").to_dict()["file"] == f"{NAME}.safetensors"
    hidden = load_card(tmp_path / "card.toml", anonymous=True)
    assert hidden.to_dict()["file"] is None
    assert hidden.file == tmp_path / f"{NAME}.safetensors"
