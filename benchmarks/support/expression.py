"""The real sections on which prediction is measured, ready for heads; embeddings are kept, so a second run is quick."""

import os
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from histoscribe.encoders import build_encoder, embed, load_card
from histoscribe.expression.measured import Measured
from histoscribe.graph.lattice import lattice_graph
from histoscribe.io import read_section
from histoscribe.io.reading import Request
from histoscribe.predict.context import Context, feature_blocks
from histoscribe.predict.data import Observed
from support.sections import HERE

DATA = Path(os.environ.get("HISTOSCRIBE_TEST_DATA", HERE.parents[1] / "shared" / "data"))
KEPT = Path(os.environ.get("HISTOSCRIBE_BENCH_CACHE", Path(tempfile.gettempdir()) / "histoscribe_bench"))
CARDS = {"resnet": HERE / "cards" / "resnet50v2_s3.toml", "morphology": "morphology"}
PATIENT_C, PATIENT_A, BULB = ("C2", "C3", "C4", "C5", "C6"), ("A1", "A2"), ("MOB1", "MOB2", "MOB3")


def request_of(name: str) -> Request:
    """Which files a section has; A1 and A2 have pictures that were made smaller, A2's is turned onto A1."""
    her2st, bulb = DATA / "her2st", DATA / "st" / "mob_stutility"
    if name.startswith("MOB"):
        files = (bulb / f"alignment_table_{name}.tsv", bulb / f"{name}.tsv.gz", bulb / f"{name}.jpg")
        return Request(section=name, patient=name, format="st", spots=files[0], counts=files[1], image=files[2])
    small = name in PATIENT_A
    return Request(
        section=name,
        patient=name[0],
        format="st",
        spots=_turned_a2() if name == "A2" else her2st / "spots" / f"{name}_selection.tsv",
        counts=her2st / "counts" / f"{name}.tsv.gz",
        image=her2st / "images" / (f"{name}_app2000.png" if small else f"{name}.jpg"),
        scale={"A1": "2000/6954", "A2": "2000/6966"}.get(name),
    )


def observed(name: str, encoders: tuple[str, ...], context: Context) -> Observed:
    """Read a section, embed it where that was not done before, and make its blocks."""
    section = read_section(request_of(name))
    graph = lattice_graph(section.xy_um, kind="square", pitch_um=section.lattice.pitch_um, diagonal=True)
    embeddings = {
        (key, side): embed(
            section.require_image(),
            section.xy_px,
            _encoder(key),
            tile_um=side,
            folder=KEPT / f"{name}_{key}_{side:g}.zarr",
        )
        for key in encoders
        for side in context.tile_um
    }
    blocks = feature_blocks(embeddings, graph=graph, xy_um=section.xy_um, context=context)
    spots = section.spots
    table = _cell_types(name, list(spots.obs_names))
    measured = Measured(
        name,
        spots.X.astype(np.float64).tocsr(),
        tuple(spots.var_names),
        abundance=None if table is None else table.to_numpy(np.float64),
        cell_types=() if table is None else tuple(table.columns),
        graph=graph,
    )
    return Observed(name, section.patient, blocks, section.xy_um, measured)


@cache
def _encoder(key: str):
    return build_encoder(load_card(str(CARDS[key])))


def _cell_types(name: str, spots: list[str]) -> pd.DataFrame | None:
    path = DATA / "her2st" / "props" / "major" / f"{name}-proportion.tsv"
    if not path.is_file():
        return None
    table = pd.read_csv(path, sep="\t", index_col=0).reindex(spots)
    # the source left out a few spots; they get the section's mean
    return table.fillna(table.mean())


def _turned_a2() -> Path:
    """Table of A2's spots in the pixels of its picture, which the source turned onto A1."""
    table = pd.read_csv(DATA / "her2st" / "clusters" / "A2-cluster-annotation.tsv.gz", sep="\t").dropna(
        subset="warped_x"
    )
    x, y = (table[axis].round().astype(int) for axis in ("x", "y"))
    spots = pd.DataFrame({"x": x, "y": y, "pixel_x": table.warped_x, "pixel_y": table.warped_y, "selected": 1})
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / "A2_selection.tsv"
    spots.drop_duplicates(["x", "y"]).to_csv(path, sep="\t", index=False)
    return path
