"""From a section's files to what predictors see: read, checked, embedded once, and described in named blocks.

Nothing here is fitted, so that all folds may share it. The embedding is kept in the result folder and is not computed
again; the blocks are cheap and are made from it each time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from histoscribe.encoders import Encoder, embed, load_embedding
from histoscribe.encoders.base import Features
from histoscribe.encoders.coarse import SCALE_TOLERANCE as SCALE_TOLERANCE
from histoscribe.encoders.coarse import CoarseEncoder, for_side, require_finer
from histoscribe.encoders.novelty import Look, look_of
from histoscribe.encoders.stain import StainedEncoder, StainReference
from histoscribe.errors import InputError
from histoscribe.predict.context import feature_blocks
from histoscribe.predict.data import Observed
from histoscribe.run.cohort.files import SectionFiles
from histoscribe.run.cohort.options import PredictOptions
from histoscribe.run.events import Listener, progress_of, stage_event
from histoscribe.run.job import Job, StagePlace
from histoscribe.section import Section
from histoscribe.slide.tiles import read_tiles
from histoscribe.store.draft import StageDone, Work
from histoscribe.store.files import fingerprint

# a stage puts the embeddings of one section by one encoder into a folder of this name and theirs
EMBEDDING = "embedding_"
_LOOK_TILES, _LOOK_PX = 48, 112


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A section as predictors see it, with what is only needed of slides as wholes.

    Parameters
    ----------
    observed
        Blocks, places and measurements.
    embedding
        (n, d) of the smallest tiles by the first encoder, not standardised.
    look
        Stain, sharpness, microns per pixel.
    block
        Name of the block that is made of it.
    key
        Fingerprint of all that the embeddings depend on.
    """

    observed: Observed
    embedding: Features
    look: Look
    block: str
    key: str


def check_scales(sections: Mapping[str, float], options: PredictOptions, *, input_px: int) -> None:
    """Refuse sections that an encoder would see at different scales.

    Parameters
    ----------
    sections
        Name to microns per pixel.

    Raises
    ------
    InputError
        Pixels that differ by more than a factor of 1.5 once they are in the encoder's tiles, or that are coarser than
        the scale to which all are to be brought.
    """
    seen = {name: seen_mpp(mpp, options, input_px=input_px) for name, mpp in sections.items()}
    for name, mpp in sections.items():
        if options.mpp is not None:
            require_finer(mpp, options.mpp, where=f"section {name!r}")
    finest, coarsest = min(seen, key=lambda name: seen[name]), max(seen, key=lambda name: seen[name])
    if seen[coarsest] > SCALE_TOLERANCE * seen[finest]:
        raise InputError(
            "the sections were scanned at different scales: an encoder would see some sharp and some blurred",
            where=f"sections {finest!r} and {coarsest!r}",
            expected=f"microns per pixel within a factor of {SCALE_TOLERANCE:g}",
            found=f"{sections[finest]:.3g} and {sections[coarsest]:.3g} um/px",
            fix=f"bring all to the coarsest scale with --mpp {sections[coarsest]:.3g}, or leave sections out",
        )


def seen_mpp(mpp: float, options: PredictOptions, *, input_px: int) -> float:
    """Microns per pixel that an encoder really sees: the scan's, the tiles', or the one that is asked for."""
    return max(mpp, options.mpp or 0.0, min(options.tile_um) / input_px)


@dataclass(frozen=True, slots=True)
class Within:
    """Does a stage inside another, resumable one: in its folder, with a key that covers all of it already."""

    folder: Path

    def stage(
        self, name: str, key: str, work: Work, *, made_of: Mapping[str, Any] | None = None, resumable: bool = False
    ) -> StageDone:
        """Do the work in the folder; an embedding that lies there already goes on where it stopped."""
        return StageDone(self.folder, work(self.folder), reused=False)


def observe(
    files: SectionFiles,
    place: StagePlace,
    encoders: Sequence[Encoder],
    *,
    options: PredictOptions,
    pixels: bool,
    listen: Listener,
    stain: StainReference | None = None,
) -> Seen:
    """Embed a section into a result, or take its embeddings over, and make its blocks.

    Every encoder is a stage by itself, so that one more of them leaves the others' work as it is. Blocks bear the
    encoders' names. Where there is a stain reference, encoders and heads of pixels see tiles in its colours.

    Raises
    ------
    InputError
        A slide at another scale than asked for, or tiles that cannot be read.
    """
    job = Job(place, files.name, _pixels_of(files.inputs), listen)
    embeddings: dict[tuple[str, float], Features] = {}
    looks = []
    for encoder in encoders:
        name = f"{files.name}@{encoder.card.name}" + ("" if stain is None else f"@{stain.section}")
        done = job.stage(
            f"embed {name}",
            options.of_tiles(),
            partial(_embed, files, encoder, name=name, options=options, stain=stain, listen=listen),
            reads={"card": encoder.card.to_dict(), "stain": None if stain is None else stain.record()},
            resumable=True,
        )
        looks.append(Look.from_record(done.facts["look"]))
        for side in options.tile_um:
            embeddings[encoder.card.name, float(side)] = load_embedding(_store(done.folder, name, side))
    blocks = feature_blocks(embeddings, graph=files.graph, xy_um=files.xy_um, context=options.context())
    tiles = None
    if pixels:
        section = files.open()
        tiles = read_tiles(
            section.require_image(), section.xy_px, tile_um=options.pixel_tile_um, out_px=options.pixel_px
        )
        tiles = tiles if stain is None else stain.on(section).transform(tiles)
    observed = Observed(
        files.name,
        files.patient,
        blocks,
        files.xy_um,
        files.measured,
        tiles,
        coloured_as=None if stain is None else stain.section,
        background=options.background,
        marks=files.marks,
    )
    first, side = encoders[0].card.name, float(min(options.tile_um))
    return Seen(observed, embeddings[first, side], looks[0], f"{first}@{side:g}", fingerprint(job.keys))


def _embed(
    files: SectionFiles,
    encoder: Encoder,
    to: Path,
    *,
    name: str,
    options: PredictOptions,
    stain: StainReference | None,
    listen: Listener,
) -> dict[str, Any]:
    """Embed the tiles of a section, of every size, as one encoder sees them."""
    section, mpp = files.open(), options.mpp
    if stain is not None:
        encoder = StainedEncoder(encoder, stain.on(section))
    if mpp is not None:
        encoder = CoarseEncoder(encoder, section.require_image(), mpp)
    for side in options.tile_um:
        _embed_side(section, for_side(encoder, side), side=side, folder=_store(to, name, side), listen=listen)
    return {"look": _look(section, options).record()}


def _store(folder: Path, name: str, side: float) -> Path:
    return folder / f"{EMBEDDING}{name}" / f"{side:g}.zarr"


def _pixels_of(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an embedding depends on: not on the patient, or on what was measured."""
    stated = {key: value for key, value in inputs["stated"].items() if key != "patient"}
    return {"format": inputs["format"], "section": inputs["section"], "files": inputs["files"], "stated": stated}


def _embed_side(section: Section, encoder: Encoder, *, side: float, folder: Path, listen: Listener) -> None:
    stage = f"embed {side:g} um ({encoder.card.name})"
    listen(stage_event(stage, "started", section=section.name))
    embed(
        section.require_image(),
        section.xy_px,
        encoder,
        tile_um=side,
        folder=folder,
        progress=progress_of(listen, stage, section=section.name),
    )
    listen(stage_event(stage, "done", section=section.name))


def _look(section: Section, options: PredictOptions) -> Look:
    """Stain and sharpness on tiles spread evenly over the section, at the scale that the encoder sees."""
    chosen = np.unique(np.linspace(0, section.spots.n_obs - 1, _LOOK_TILES).astype(np.intp))
    order = np.lexsort(section.xy_px.T)
    tiles = read_tiles(
        section.require_image(), section.xy_px[order[chosen]], tile_um=min(options.tile_um), out_px=_LOOK_PX
    )
    return look_of(tiles, mpp=section.mpp)
