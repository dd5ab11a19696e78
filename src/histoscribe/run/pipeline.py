"""One section from its files to a published result: the stages in order, and what each of them depends on."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from histoscribe.encoders import Card, build_encoder, load_card, load_embedding
from histoscribe.errors import ConfigError
from histoscribe.io import read
from histoscribe.io.preflight import preflight
from histoscribe.io.reading import Reading, Request
from histoscribe.nuclei import Segmenter
from histoscribe.run import stages
from histoscribe.run.blocks import chosen_method, chosen_tile_um, has_small_bins
from histoscribe.run.config import RunConfig
from histoscribe.run.events import Listener
from histoscribe.run.identity import code_fingerprint, input_record, versions
from histoscribe.run.maps import FEATURES, MapSettings, build_map_encoder, features_stage, maps_stage
from histoscribe.run.nuclei import NONE, build_segmenter, nuclei_stage, read_nuclei_block
from histoscribe.run.prepared import Prepared
from histoscribe.run.stain import StainedEncoder, fitted_normaliser
from histoscribe.section import Section
from histoscribe.slide.align import apply_alignment, estimate_shift
from histoscribe.slide.tissue import tissue_mask
from histoscribe.store.files import fingerprint
from histoscribe.store.result import Draft, StageDone, writing_result


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the run of one section ended.

    Parameters
    ----------
    section
        Its name.
    status
        "done", "refused" (the input, with a reason for the user) or "failed" (a fault that is ours).
    reason
        Why it was refused or failed; empty where done.
    folder
        Where the result lies; None where there is none.
    n_spots, n_domains
        How many there are.
    scores
        Against known domains, where these were given.
    notes
        What was decided in reading the section, such as which picture was taken and which was passed over.
    """

    section: str
    status: str
    reason: str = ""
    folder: Path | None = None
    n_spots: int = 0
    n_domains: int = 0
    scores: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


def prepare(request: Request, config: RunConfig) -> Prepared:
    """Read a section and check that its parts fit; writes nothing.

    Raises
    ------
    InputError
        Where a file is damaged, or the parts do not fit each other.
    """
    reading = read(request)
    section, notes = reading.section, list(reading.notes)
    if config.n_domains is not None and config.n_domains > section.spots.n_obs:
        raise ConfigError(
            f"{config.n_domains:,} domains cannot be made of {section.spots.n_obs:,} spots",
            where=f"section {section.name!r}",
            mend="ask for fewer domains with --n-domains",
        )
    mask = tissue_mask(section.require_image())
    found = preflight(reading, mask=mask)
    found.raise_if_refused()
    if config.maps and has_small_bins(section):
        raise ConfigError(
            "maps are not made from bins as small as these, one by one",
            where=f"section {section.name!r}",
            mend="leave --map out; the command histoscribe map sums the bins to spots and maps those",
        )
    if config.align:
        section, note = _aligned(section, mask, reading)
        notes.append(note)
    return Prepared(section, mask, found, input_record(reading, request), tuple(notes))


def run_section(
    request: Request, *, out: Path, config: RunConfig, listen: Listener, labels: pd.Series | None = None
) -> Outcome:
    """Run all stages for one section and publish the result in `out`.

    Parameters
    ----------
    labels
        Known domains by barcode, to score the result against; they never take part in making it.

    Raises
    ------
    HistoscribeError
        Where the input, the encoder or the result folder is refused.
    """
    listen({"event": "stage", "stage": "read", "state": "started"})
    prepared = prepare(request, config)
    encoder = build_encoder(load_card(config.encoder), device=config.device, precision=config.precision)
    segmenter = None if config.nuclei == NONE else build_segmenter(config.nuclei)
    config = replace(
        config,
        method=chosen_method(prepared.section, config.method),
        tile_um=chosen_tile_um(prepared.section, config.tile_um),
    )
    normaliser = fitted_normaliser(prepared.section, config)
    if normaliser is not None:
        encoder = StainedEncoder(encoder, normaliser)
    record = _record(prepared, encoder.card, config)
    embedding_settings = {
        **{name: record["configuration"][name] for name in ("tile_um", "precision", "device")},
        "card": record["encoder"],
        "stain": normaliser.to_dict() if normaliser else None,
    }
    domain_settings = {name: record["configuration"][name] for name in ("method", "n_domains", "weights", "seed")}
    with writing_result(out) as draft:
        here, job = draft.folder, _Job(draft, prepared, config, listen)
        job.do("check", {}, lambda to: stages.check_stage(to, prepared))
        job.do(
            "embed",
            embedding_settings,
            lambda to: stages.embed_stage(to, prepared, encoder, config, job.progress),
            resumable=True,
        )
        features = load_embedding(here / stages.EMBEDDING)
        nuclei = None
        if segmenter is not None:
            job.do("nuclei", segmenter.record(), lambda to: _nuclei(to, prepared, segmenter, job), resumable=True)
            nuclei = read_nuclei_block(here / stages.NUCLEI, prepared.section.spots.obs_names)
        found = job.do(
            "domains", domain_settings, lambda to: stages.domains_stage(to, prepared, features, config, nuclei=nuclei)
        )
        job.do("section", {}, lambda to: stages.section_stage(to, here, prepared, features))
        if labels is not None:
            record["scores"] = stages.score(here, prepared, labels, config.seed)
        if config.maps:
            _map(job, prepared, config)
        job.do("report", record, lambda to: stages.report_stage(to, here, prepared, features, record))
        draft.publish(record)
    name, n_spots = prepared.section.name, prepared.section.spots.n_obs
    return Outcome(name, "done", "", out, n_spots, found.facts["n_domains"], record.get("scores"), prepared.notes)


def _nuclei(to: Path, prepared: Prepared, segmenter: Segmenter, job: "_Job") -> dict[str, Any]:
    folder = to / stages.NUCLEI
    folder.mkdir(exist_ok=True)
    return nuclei_stage(folder, prepared, segmenter, progress=job.progress)


def _map(job: "_Job", prepared: Prepared, config: RunConfig) -> None:
    """Make the maps that are asked for, the features of the picture's cells first."""
    settings = MapSettings(
        genes=config.maps,
        um=config.map_um,
        encoder=config.encoder,
        device=config.device,
        precision=config.precision,
        seed=config.seed,
    )
    encoder = build_map_encoder(settings)
    section, mask = prepared.section, prepared.tissue
    asked = asdict(settings) | {"encoder": encoder.card.to_dict() if encoder is not None else None}

    def features(to: Path) -> dict[str, Any]:
        (to / stages.CELLS).mkdir(exist_ok=True)
        return features_stage(to / stages.CELLS, section, mask, settings, encoder=encoder, progress=job.progress)

    def maps(to: Path) -> dict[str, Any]:
        (to / stages.MAPS).mkdir()
        there = job.draft.folder / stages.CELLS / FEATURES
        return maps_stage(to / stages.MAPS, section, mask, settings, encoder=encoder, features=there)

    job.do("cells", asked, features, resumable=True)
    job.do("maps", asked, maps)


def _record(prepared: Prepared, card: Card, config: RunConfig) -> dict[str, Any]:
    """Describe the run for run.json and the report: nothing of it tells the time or a path of this computer."""
    settings = config.to_dict() | {"encoder": card.name}
    if config.stain_reference is not None:
        settings["stain_reference"] = Path(config.stain_reference).name
    return {
        "section": prepared.section.name,
        "versions": versions(),
        "code": code_fingerprint(),
        "configuration": settings,
        "seed": config.seed,
        "encoder": card.to_dict(),
        "format": prepared.inputs["format"],
        "told": prepared.inputs["told"],
        "inputs": prepared.inputs["files"],
    }


class _Job:
    """The stages of one section: each depends on its own settings and on all stages before it."""

    def __init__(self, draft: Draft, prepared: Prepared, config: RunConfig, listen: Listener) -> None:
        self.draft, self.listen = draft, listen
        self.section = prepared.section.name
        self.key = fingerprint({"code": code_fingerprint(), "input": prepared.inputs, "align": config.align})
        self.stage = ""

    def do(self, stage: str, settings: dict[str, Any], work: Any, *, resumable: bool = False) -> StageDone:
        """Do one stage, and say so."""
        self.stage = stage
        self.key = fingerprint({"stage": stage, "settings": settings, "before": self.key})
        self.listen({"event": "stage", "section": self.section, "stage": stage, "state": "started"})
        done = self.draft.stage(stage, self.key, work, resumable=resumable)
        state = "reused" if done.reused else "done"
        self.listen({"event": "stage", "section": self.section, "stage": stage, "state": state})
        return done

    def progress(self, done: int, total: int) -> None:
        """Say how far the present stage is."""
        self.listen({"event": "progress", "section": self.section, "stage": self.stage, "done": done, "total": total})


def _aligned(section: Section, mask: Any, reading: Reading) -> tuple[Section, str]:
    diameter_px = section.lattice.spot_diameter_um / section.mpp if section.lattice else 0.0
    found = estimate_shift(
        mask,
        section.xy_px,
        diameter_px=diameter_px,
        off_tissue_xy_px=reading.off_tissue_xy_px,
        max_shift_px=5 * (section.lattice.pitch_um if section.lattice else 100.0) / section.mpp,
    )
    spots = section.spots.copy()
    spots.obsm["spatial"] = apply_alignment(section.xy_px, found)
    return replace(section, spots=spots), found.message
