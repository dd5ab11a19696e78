"""Reader families besides sections: labels, pictures, settings, weights, and the result folders that others send."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from support import robustness_mutate as text
from support import robustness_mutate_arrays as arrays
from support import robustness_mutate_pictures as pictures
from support import robustness_mutate_weights as weights
from support.robustness_families import SIZE_UM, Family, Target, digest, reports_damage, spots_of_phantom
from support.robustness_results import finished, reseal

SIDE = 64


def painted(side: int = 192) -> np.ndarray:
    """Piece of a phantom's picture, (side, side, 3)."""
    from histoscribe.phantom import make_phantom

    return make_phantom(1, size_um=max(SIZE_UM, float(side)), mpp=1.0).image.read(60, 60, side, side)


# ---- labels and tables ----


def _labels(name: str, header: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        names = spots_of_phantom().obs_names
        rows = [f"{one},{'layer ' + str(k % 3)}" for k, one in enumerate(names)]
        (folder / name).write_text("\n".join([header, *rows]) + "\n")
        (folder / "spots.txt").write_text("\n".join(names))

    return write


def _labels_h5ad(folder: Path) -> None:
    import pandas as pd

    table = spots_of_phantom()
    table.obs["layer"] = pd.Categorical([f"L{k % 3}" for k in range(table.n_obs)])
    table.write_h5ad(folder / "labels.h5ad")
    (folder / "spots.txt").write_text("\n".join(table.obs_names))


def _read_labels(name: str) -> Callable[[Path], dict[str, Any]]:
    def read(folder: Path) -> dict[str, Any]:
        import pandas as pd

        from histoscribe.io.labels import labels_of_spots, read_labels

        names = pd.Index((folder / "spots.txt").read_text().split("\n"))
        found = labels_of_spots(read_labels(folder / name), names, path=folder / name)
        return {"content": digest(found)}

    return read


def _abundance(folder: Path) -> None:
    import pandas as pd

    from histoscribe.phantom import make_phantom, write_spaceranger

    write_spaceranger(make_phantom(1, size_um=SIZE_UM, mpp=2.0, n_domains=2, n_genes=40), folder / "s")
    names = make_phantom(1, size_um=SIZE_UM, mpp=2.0, n_domains=2, n_genes=40).spots().obs_names
    values = np.random.default_rng(0).gamma(1.0, size=(len(names), 4)).round(4)
    pd.DataFrame(values, index=names, columns=list("abcd")).to_csv(folder / "table.csv", index_label="")


def _read_abundance(folder: Path) -> dict[str, Any]:
    from histoscribe.io.reading import Request
    from histoscribe.run.cohort.files import read_files

    found = read_files(Request(path=folder / "s"), abundance=folder / "table.csv")
    assert found.measured is not None
    return {"content": repr(found.measured.abundance)[:200]}


# ---- pictures ----


def read_picture(path: Path) -> dict[str, Any]:
    """Every pixel of every level of a picture, and its scale."""
    import warnings

    from histoscribe.slide.open import open_image

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image = open_image(path)
        levels = [image.read(0, 0, image.width, image.height)]
        small, factor = image.overview(64)
    notes = [one.message for one in caught] + list(getattr(image, "notes", ()))
    return {
        "content": [digest(*levels), digest(small), factor, image.mpp, sorted(image.mpp_by_source)],
        "noted": reports_damage(notes),
    }


def _picture(
    name: str, write: Callable[[Path], None]
) -> tuple[Callable[[Path], None], Callable[[Path], dict[str, Any]]]:
    return lambda folder: write(folder / name), lambda folder: read_picture(folder / name)


def write_jpeg(path: Path) -> None:
    """Write a plain JPEG of the phantom."""
    import imagecodecs

    path.write_bytes(imagecodecs.jpeg8_encode(painted(), level=90))


def _png(path: Path) -> None:
    import imagecodecs

    path.write_bytes(imagecodecs.png_encode(painted()))


def write_tiff(path: Path, **options: Any) -> None:
    """Write a TIFF of the phantom with its scale in the tags."""
    import tifffile

    scale = {"resolution": (10_000, 10_000), "resolutionunit": "CENTIMETER"} if not options.get("ome") else {}
    tifffile.imwrite(path, painted(), **{"photometric": "rgb", "metadata": None, **scale, **options})


def _tiff_tiled(path: Path) -> None:
    write_tiff(path, tile=(64, 64), compression="zlib")


def _tiff_plain(path: Path) -> None:
    write_tiff(path, rowsperstrip=16)


def write_ome(path: Path) -> None:
    """Write an OME-TIFF of the phantom, deflated tiles, one micron a pixel."""
    scale = {"axes": "YXS", "PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0}
    write_tiff(path, tile=(64, 64), compression="zlib", ome=True, metadata=scale)


def _pyramid(path: Path) -> None:
    import tifffile

    whole = painted()
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(whole, subifds=1, photometric="rgb", tile=(64, 64), compression="jpeg", metadata=None)
        writer.write(
            whole[::2, ::2], subfiletype=1, photometric="rgb", tile=(64, 64), compression="jpeg", metadata=None
        )


def _svs(path: Path) -> None:
    words = (
        "Aperio Image Library v11\r\n192x192 [0,0 192x192] (64x64) JPEG/RGB Q=90|AppMag = 20|MPP = 0.4990|Filename = a"
    )
    write_tiff(path, tile=(64, 64), compression="jpeg", description=words)


def _picture_family(name: str, file: str, write: Callable[[Path], None], damages: dict[str, text.Damage]) -> Family:
    written, read = _picture(file, write)
    return Family(name, written, (Target(file, damages=damages),), read)


# ---- settings and weights ----

_CARD = """name = "mine"
backend = "{backend}"
licence = "MIT"
source = "a phantom"
input_px = 64
dimension = {dimension}
model = "{model}"
file = "{file}"
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
mpp = 0.5
size = "small"
gated = false
pooling = "network"

[model_args]
{arguments}
"""
_RUN = """encoder = "morphology"
tile_um = 112.0
method = "histology"
n_domains = 3
stain = "none"
align = false
nuclei = "none"
maps = ""
map_um = 8.0
device = "cpu"
precision = "auto"
seed = 0
[weights]
expression = 1.0
"""
_PREDICT = """target = "genes"
heads = ["ridge", "knn"]
by = "auto"
genes = "abundant"
n_genes = 8
scale = "log1p_cp10k"
ranks = true
encoders = ["morphology"]
tile_um = [112.0]
neighbours = true
level = 0.9
stacks = ["ridge"]
[head_options.ridge]
components = 16
"""


def _write_text(name: str, words: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(words)

    return write


def _read_run(folder: Path) -> dict[str, Any]:
    from histoscribe.run.section.settings import read_config

    return {"content": repr(read_config(folder / "run.toml"))}


def _read_predict(folder: Path) -> dict[str, Any]:
    from histoscribe.run.cohort.options import read_options

    options = read_options(folder / "predict.toml")
    options.fold_settings(options.heads, with_depth=True)
    return {"content": repr(options)}


def _timm(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from histoscribe.encoders import import_timm

    torch.manual_seed(0)
    network = import_timm().create_model("test_efficientnet", num_classes=5)
    state = {key: value for key, value in network.state_dict().items() if "num_batches" not in key}
    save_file(state, folder / "tiny.safetensors")
    card = {"backend": "timm", "model": "test_efficientnet", "file": "tiny.safetensors", "dimension": 256}
    (folder / "card.toml").write_text(_CARD.format(**card, arguments="num_classes = 5"))


def _onnx(folder: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    kernel = np.random.default_rng(0).standard_normal((6, 3, 4, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["pixels", "kernel"], ["grid"], strides=[4, 4]),
        helper.make_node("GlobalAveragePool", ["grid"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["pooled"]),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("pixels", ["n", 3, "h", "w"]), ("pooled", ["n", 6]))
    ]
    graph = helper.make_graph(nodes, "tiny", values[:1], values[1:], [numpy_helper.from_array(kernel, "kernel")])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), folder / "tiny.onnx")
    card = {"backend": "onnx", "model": "", "file": "tiny.onnx", "dimension": 6}
    (folder / "card.toml").write_text(_CARD.format(**card, arguments='input = "pixels"\npooled = "pooled"'))


def _encode(folder: Path) -> dict[str, Any]:
    """Build the card's encoder and encode two tiles."""
    from histoscribe.encoders import build_encoder, load_card

    card = load_card(folder / "card.toml")
    encoder = build_encoder(card, device="cpu", precision="float32")
    side = min(card.input_px, 512)
    features = encoder.encode(np.full((2, side, side, 3), 90, np.uint8))
    return {"content": [repr(asdict(card) | {"file": None}), digest(features.round(3))]}


# ---- folders received from others: whatever is changed in them, their checksums are right ----


def _received(kind: str) -> Callable[[Path], None]:
    # an input's folder lies two below the benchmark's own
    def write(folder: Path) -> None:
        shutil.copytree(finished(folder.parents[1], kind), folder / "r")

    return write


def _reseal(folder: Path) -> None:
    reseal(folder / "r")


def _read_model(folder: Path) -> dict[str, Any]:
    from histoscribe.run.cohort.model import cards_of_model, read_model

    model = read_model(folder / "r")
    cards_of_model(model)
    return {"content": [digest(*model.head.state().values()), json.dumps(model.cards)[:200], repr(model.options)]}


def _read_maps(folder: Path) -> dict[str, Any]:
    from histoscribe.maps.read import read_maps

    maps = read_maps(folder / "r")
    return {"content": [digest(maps.gene(name).to_numpy()) for name in maps.genes[:2]]}


def _score(folder: Path) -> dict[str, Any]:
    from histoscribe import score_domains

    table = (folder / "r" / "domains.csv").read_text().splitlines()[1:]
    labels = folder / "labels.csv"
    rows = [re.sub(r"^([^,]*),.*", rf"\1,{k % 2}", line) for k, line in enumerate(table)]
    labels.write_text("\n".join(["barcode,label", *rows]) + "\n")
    return {"content": json.dumps(score_domains(folder / "r", labels=labels, out=folder / "score.json"))[:400]}


def _arrays(folder: str) -> tuple[Target, ...]:
    places = (f"{folder}/**/zarr.json", f"{folder}/**/c/**/*", f"{folder}/**/c/[0-9]")
    return (Target(places[0], damages=text.JSON), *(Target(place) for place in places[1:]))


OTHERS = (
    Family("labels csv", _labels("l.csv", "barcode,label"), (Target("l.csv", text.TABLE),), _read_labels("l.csv")),
    Family("loupe csv", _labels("l.csv", "Barcode,my layers"), (Target("l.csv", text.TABLE),), _read_labels("l.csv")),
    Family("labels h5ad", _labels_h5ad, (Target("*.h5ad", edits=arrays.HDF5),), _read_labels("labels.h5ad")),
    Family("abundance csv", _abundance, (Target("table.csv", text.TABLE),), _read_abundance),
    _picture_family("jpeg", "a.jpg", write_jpeg, pictures.JPEG),
    _picture_family("png", "a.png", _png, pictures.PNG),
    _picture_family("tiff strips", "a.tif", _tiff_plain, pictures.TIFF),
    _picture_family("tiff tiles", "a.tif", _tiff_tiled, pictures.TIFF),
    _picture_family("ome-tiff", "a.ome.tif", write_ome, pictures.TIFF),
    _picture_family("bigtiff pyramid", "a.btf", _pyramid, pictures.TIFF),
    _picture_family("svs", "a.svs", _svs, pictures.TIFF),
    Family("card toml", _onnx, (Target("card.toml", damages=text.TOML),), _encode),
    Family("timm card toml", _timm, (Target("card.toml", damages=text.TOML),), _encode),
    Family("run toml", _write_text("run.toml", _RUN), (Target("run.toml", damages=text.TOML),), _read_run),
    Family(
        "predict toml", _write_text("predict.toml", _PREDICT), (Target("*.toml", damages=text.TOML),), _read_predict
    ),
    Family("safetensors", _timm, (Target("tiny.safetensors", damages=weights.SAFETENSORS),), _encode),
    Family("onnx", _onnx, (Target("tiny.onnx", damages=weights.ONNX),), _encode),
    Family(
        "model folder",
        _received("fit"),
        (Target("r/*.json", damages=text.JSON), Target("r/*.safetensors", damages=weights.SAFETENSORS)),
        _read_model,
        _reseal,
    ),
    Family(
        "maps folder",
        _received("map"),
        (
            Target("r/maps/*.json", damages=text.JSON),
            Target("r/manifest.json", damages=text.JSON),
            *_arrays("r/maps"),
        ),
        _read_maps,
        _reseal,
    ),
    Family(
        "domains folder",
        _received("domains"),
        (Target("r/*.json", damages=text.JSON), Target("r/*.csv", damages=text.TABLE), *_arrays("r")),
        _score,
        _reseal,
        share=0.3,  # scoring takes longer than any reading
    ),
)
