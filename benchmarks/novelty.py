"""Claim: a section of a patient that was trained on is "ok" in every respect, one of another laboratory's scan is not.

Sections C2-C6 of her2st, each compared with the four others, and A1 and A2, which another scan made smaller and turned,
compared with all five; embeddings of the ResNet trunk at 112 um.
"""

from dataclasses import replace

import numpy as np

from histoscribe.encoders import load_embedding
from histoscribe.encoders.novelty import Novelty, look_of
from histoscribe.io import read_section
from histoscribe.predict.context import Context
from histoscribe.slide.tiles import read_tiles
from support.expression import KEPT, PATIENT_A, PATIENT_C, observed, request_of

TILE_UM, TILE_PX, TILES = 112.0, 112, 48


def look(name: str):
    """How a section looks, and how many molecules its typical spot has."""
    section = read_section(request_of(name))
    chosen = np.unique(np.linspace(0, section.spots.n_obs - 1, TILES).astype(np.intp))
    places = section.xy_px[np.lexsort(section.xy_px.T)[chosen]]
    tiles = read_tiles(section.require_image(), places, tile_um=TILE_UM, out_px=TILE_PX)
    molecules = np.median(np.asarray(section.spots.X.sum(axis=1)))
    return replace(look_of(tiles, mpp=section.mpp), log2_molecules=float(np.log2(molecules)))


def main() -> None:
    """Print the share of unlike spots and the number of warnings of every section."""
    names = (*PATIENT_C, *PATIENT_A)
    for name in names:
        observed(name, ("resnet",), Context(tile_um=(TILE_UM,)))
    looks = {name: look(name) for name in names}
    embeddings = {name: load_embedding(KEPT / f"{name}_resnet_{TILE_UM:g}.zarr") for name in names}
    for test in names:
        train = [name for name in PATIENT_C if name != test]
        made = Novelty().fit({name: embeddings[name] for name in train}, {name: looks[name] for name in train})
        distance = made.distance(embeddings[test])
        found = made.findings(looks[test], distance)
        named = [row["name"] for row in found if row["level"] != "ok"]
        print(f"{test}_unlike {np.mean(distance > 1):.2f} share")
        print(f"{test}_warnings {len(named)} of {len(found)} ({', '.join(named) or 'none'})")


if __name__ == "__main__":
    main()
