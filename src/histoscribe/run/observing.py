"""From a section's files to what predictors see: read, checked, embedded once, and described in named blocks.

Nothing here is fitted, so that all folds may share it. The embedding is kept in the result folder and is not computed
again; the blocks are cheap and are made from it each time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.encoders import Encoder, embed, load_embedding
from histoscribe.encoders.base import Features
from histoscribe.encoders.novelty import Look, look_of
from histoscribe.errors import InputError, listing
from histoscribe.expression.measured import Measured
from histoscribe.io import read
from histoscribe.io.preflight import preflight
from histoscribe.io.reading import Reading, Request
from histoscribe.io.tables import numbers, read_table, require_unique
from histoscribe.predict.context import feature_blocks
from histoscribe.predict.data import Observed
from histoscribe.run.blocks import spot_graph
from histoscribe.run.coarse import SCALE_TOLERANCE as SCALE_TOLERANCE
from histoscribe.run.coarse import CoarseEncoder, for_side
from histoscribe.run.events import Listener
from histoscribe.run.identity import code_fingerprint, input_record
from histoscribe.run.predict_options import PredictOptions
from histoscribe.run.stain import StainedEncoder, StainReference
from histoscribe.section import Section
from histoscribe.slide.tiles import read_tiles
from histoscribe.slide.tissue import tissue_mask
from histoscribe.store.files import fingerprint, sha256_file
from histoscribe.store.result import Draft, StageDone, Work

# a stage puts the embeddings of one section by one encoder into a folder of this name and theirs
EMBEDDING = "embedding_"
_LOOK_TILES, _LOOK_PX = 48, 112


@dataclass(frozen=True, slots=True, eq=False)
class SectionFiles:
    """A section that was read and fits, before anything is computed of it; its picture is opened again when needed.

    Parameters
    ----------
    name, patient, xy_um, mpp
        The section's.
    graph
        Neighbouring spots, (n, n).
    opener
        Reads it again.
    inputs
        What was read, by name and hash.
    measured
        Its counts or abundances, or None.
    notes
        What a user should know.
    """

    name: str
    patient: str | None
    xy_um: NDArray[np.float64]
    mpp: float
    graph: Any
    opener: Callable[[], Section]
    inputs: dict[str, Any]
    measured: Measured | None
    notes: tuple[str, ...]

    def open(self) -> Section:
        """Read the section again; a decoded picture of every section at once would fill the memory."""
        return self.opener()


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
    key
        Fingerprint of all that the embeddings depend on.
    """

    observed: Observed
    embedding: Features
    look: Look
    key: str


def read_files(request: Request, *, abundance: Path | None = None, measured: bool = True) -> SectionFiles:
    """Read a section and check that its parts fit each other; writes nothing.

    Parameters
    ----------
    abundance
        Table of cell types by barcode, in place of what the section's own file may hold.
    measured
        Whether counts and abundances are of interest.

    Raises
    ------
    InputError
        No image, parts that do not fit, counts that are not counts, or a table of other spots.
    """
    reading: Reading = read(request)
    section = reading.section
    preflight(reading, mask=tissue_mask(section.require_image())).raise_if_refused()
    inputs = input_record(reading, request)
    if abundance is not None:
        inputs["abundance"] = {"path": abundance.name, "sha256": sha256_file(abundance)}
    return SectionFiles(
        name=section.name,
        patient=section.patient,
        xy_um=section.xy_um,
        mpp=section.mpp,
        graph=spot_graph(section),
        opener=lambda: read(request).section,
        inputs=inputs,
        measured=measured_of(section, abundance) if measured else None,
        notes=reading.notes,
    )


def measured_of(section: Section, abundance: Path | None = None) -> Measured:
    """Take counts, abundances and neighbours out of a section.

    Raises
    ------
    InputError
        A table of abundances whose spots are not the section's.
    """
    spots = section.spots
    table = spots.obsm.get("abundance") if abundance is None else read_abundance(abundance, section)
    return Measured(
        section.name,
        counts=spots.X.tocsr() if section.has_counts else None,
        genes=tuple(str(name) for name in spots.var_names) if section.has_counts else (),
        abundance=None if table is None else np.asarray(table, np.float64),
        cell_types=() if table is None else tuple(str(name) for name in table.columns),
        graph=spot_graph(section),
    )


def read_abundance(path: Path, section: Section) -> Any:
    """Read a CSV or TSV of cell types by barcode and put it into the order of a section's spots.

    Returns
    -------
    DataFrame (n, c); rows of spots that the section does not have are left out.

    Raises
    ------
    InputError
        No numbers, or spots of the section that have no row.
    """
    import pandas as pd

    table = read_table(path)
    barcodes = pd.Index(table.iloc[:, 0].astype(str))
    require_unique(barcodes, path)
    types = [str(name) for name in table.columns[1:]]
    values = pd.DataFrame({name: numbers(table, name, path) for name in types}, index=barcodes)
    missing = section.spots.obs_names.difference(barcodes, sort=False)
    if len(missing):
        raise InputError(
            f"{len(missing):,} of {section.spots.n_obs:,} spots of section {section.name!r} have no abundances",
            where=path,
            expected=f"one row per spot, such as {listing(section.spots.obs_names, 3)}",
            found=f"{len(barcodes):,} rows, such as {listing(barcodes, 3)}",
            mend="give the table of this very section, with barcodes written as in its table of spots",
        )
    return values.loc[section.spots.obs_names]


def check_scales(sections: Mapping[str, float], options: PredictOptions, *, input_px: int) -> None:
    """Refuse sections that an encoder would see at different scales.

    Parameters
    ----------
    sections
        Name to microns per pixel.

    Raises
    ------
    InputError
        Pixels that differ by more than a factor of 1.5 once they are in the encoder's tiles.
    """
    seen = {name: seen_mpp(mpp, options, input_px=input_px) for name, mpp in sections.items()}
    finest, coarsest = min(seen, key=lambda name: seen[name]), max(seen, key=lambda name: seen[name])
    if seen[coarsest] > SCALE_TOLERANCE * seen[finest]:
        raise InputError(
            "the sections were scanned at different scales: an encoder would see some sharp and some blurred",
            where=f"sections {finest!r} and {coarsest!r}",
            expected=f"microns per pixel within a factor of {SCALE_TOLERANCE:g}",
            found=f"{sections[finest]:.3g} and {sections[coarsest]:.3g} um/px",
            mend=f"bring all to the coarsest scale with --mpp {sections[coarsest]:.3g}, or leave sections out",
        )


def seen_mpp(mpp: float, options: PredictOptions, *, input_px: int) -> float:
    """Microns per pixel that an encoder really sees: the scan's, the tiles', or the one that is asked for."""
    return max(mpp, options.mpp or 0.0, min(options.tile_um) / input_px)


@dataclass(frozen=True, slots=True)
class Within:
    """Does a stage inside another, resumable one: in its folder, whose key says already what all depends on."""

    folder: Path

    def stage(self, name: str, key: str, work: Work, *, resumable: bool = True) -> StageDone:
        """Do the work in the folder; an embedding that lies there already goes on where it stopped."""
        return StageDone(self.folder, work(self.folder), reused=False)


def observe(
    files: SectionFiles,
    draft: "Draft | Within",
    encoders: Sequence[Encoder],
    *,
    options: PredictOptions,
    pixels: bool,
    listen: Listener,
    stain: StainReference | None = None,
) -> Seen:
    """Embed a section into the draft, or take its embeddings over, and make its blocks.

    Every encoder is a stage by itself, so that one more of them leaves the others' work as it is. Blocks bear the
    encoders' names. Where there is a stain reference, encoders and heads of pixels see tiles in its colours.

    Raises
    ------
    InputError
        A slide at another scale than asked for, or tiles that cannot be read.
    """
    embeddings: dict[tuple[str, float], Features] = {}
    done = []
    for encoder in encoders:
        one = _Embedding(files, encoder, options, stain)
        done.append((one.key(), one.stage(draft, listen)))
        at = done[-1][1].folder / one.folder
        for side in options.tile_um:
            embeddings[encoder.card.name, float(side)] = load_embedding(at / f"{side:g}.zarr")
    blocks = feature_blocks(embeddings, graph=files.graph, xy_um=files.xy_um, context=options.context())
    tiles = None
    if pixels:
        section = files.open()
        tiles = read_tiles(
            section.require_image(), section.xy_px, tile_um=options.pixel_tile_um, out_px=options.pixel_px
        )
        tiles = tiles if stain is None else stain.on(section).transform(tiles)
    coloured_as = None if stain is None else stain.section
    observed = Observed(files.name, files.patient, blocks, files.xy_um, files.measured, tiles, coloured_as)
    smallest = embeddings[encoders[0].card.name, float(min(options.tile_um))]
    look = Look.from_record(done[0][1].facts["look"])
    return Seen(observed, smallest, look, fingerprint([key for key, _ in done]))


@dataclass(frozen=True, slots=True)
class _Embedding:
    """The tiles of one section, of every size, as one encoder sees them."""

    files: SectionFiles
    encoder: Encoder
    options: PredictOptions
    stain: StainReference | None

    @property
    def name(self) -> str:
        """Which section, which encoder, and in whose colours."""
        told = f"{self.files.name}@{self.encoder.card.name}"
        return told if self.stain is None else f"{told}@{self.stain.section}"

    @property
    def folder(self) -> str:
        """Folder in the result, with a store per size."""
        return f"{EMBEDDING}{self.name}"

    def key(self) -> str:
        """Fingerprint of all that the embedding depends on."""
        told = self.options.record()
        return fingerprint(
            {
                "code": code_fingerprint(),
                "input": _pixels_of(self.files.inputs),
                "card": self.encoder.card.to_dict(),
                "options": {key: told[key] for key in ("tile_um", "mpp", "device", "precision")},
                "stain": None if self.stain is None else self.stain.record(),
            }
        )

    def stage(self, draft: "Draft | Within", listen: Listener) -> StageDone:
        """Embed where that was not done before."""

        def work(to: Path) -> dict[str, Any]:
            section, encoder, mpp = self.files.open(), self.encoder, self.options.mpp
            if self.stain is not None:
                encoder = StainedEncoder(encoder, self.stain.on(section))
            if mpp is not None:
                encoder = CoarseEncoder(encoder, section.require_image(), mpp)
            for side in self.options.tile_um:
                at = to / self.folder / f"{side:g}.zarr"
                _embed_side(section, for_side(encoder, side), side=side, folder=at, listen=listen)
            return {"look": _look(section, self.options).record()}

        return draft.stage(f"embed {self.name}", self.key(), work, resumable=True)


def _pixels_of(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an embedding depends on: whose section it is, or what was measured on it, is nothing to it."""
    told = {key: value for key, value in inputs["told"].items() if key != "patient"}
    return {"format": inputs["format"], "section": inputs["section"], "files": inputs["files"], "told": told}


def _embed_side(section: Section, encoder: Encoder, *, side: float, folder: Path, listen: Listener) -> None:
    said = {"section": section.name, "stage": f"embed {side:g} um ({encoder.card.name})"}
    listen({"event": "stage", **said, "state": "started"})
    embed(
        section.require_image(),
        section.xy_px,
        encoder,
        tile_um=side,
        folder=folder,
        progress=lambda done, total: listen({"event": "progress", **said, "done": done, "total": total}),
    )
    listen({"event": "stage", **said, "state": "done"})


def _look(section: Section, options: PredictOptions) -> Look:
    """Stain and sharpness on tiles spread evenly over the section, at the scale that the encoder sees."""
    chosen = np.unique(np.linspace(0, section.spots.n_obs - 1, _LOOK_TILES).astype(np.intp))
    order = np.lexsort(section.xy_px.T)
    tiles = read_tiles(
        section.require_image(), section.xy_px[order[chosen]], tile_um=min(options.tile_um), out_px=_LOOK_PX
    )
    return look_of(tiles, mpp=section.mpp)
