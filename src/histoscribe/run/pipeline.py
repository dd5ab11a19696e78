"""One section from its files to a published result: the stages in order, and what each of them depends on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from histoscribe.encoders import Card, build_encoder, load_card, load_embedding
from histoscribe.io import read
from histoscribe.io.preflight import preflight
from histoscribe.io.reading import Reading, Request
from histoscribe.run import stages
from histoscribe.run.config import RunConfig
from histoscribe.run.events import Listener
from histoscribe.run.identity import code_fingerprint, input_record, versions
from histoscribe.run.stages import Prepared
from histoscribe.section import Section
from histoscribe.slide.align import apply_alignment, estimate_shift
from histoscribe.slide.tissue import tissue_mask
from histoscribe.store.files import fingerprint, sha256_file
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
    """

    section: str
    status: str
    reason: str = ""
    folder: Path | None = None
    n_spots: int = 0
    n_domains: int = 0
    scores: dict[str, Any] | None = None


def prepare(request: Request, config: RunConfig) -> Prepared:
    """Read a section and check that its parts fit; writes nothing.

    Raises
    ------
    InputError
        Where a file is damaged, or the parts do not fit each other.
    """
    reading = read(request)
    section, notes = reading.section, list(reading.notes)
    mask = tissue_mask(section.require_image())
    found = preflight(reading, mask=mask)
    found.raise_if_refused()
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
    """
    listen({"event": "stage", "stage": "read", "state": "started"})
    prepared = prepare(request, config)
    card = load_card(config.encoder)
    encoder = build_encoder(card, device=config.device, precision=config.precision)
    identity = _identity(card)
    with writing_result(out) as draft:
        job = _Job(draft, prepared, config, listen)
        job.do("check", {}, lambda aside: stages.check_stage(aside, prepared))
        job.do(
            "embed",
            {"card": identity, "tile_um": config.tile_um, "precision": config.precision, "device": config.device},
            lambda aside: stages.embed_stage(aside, prepared, encoder, config, job.progress),
            resumable=True,
        )
        embedding = load_embedding(draft.folder / stages.EMBEDDING)
        job.do(
            "domains",
            {"method": config.method, "n": config.n_domains, "weights": config.weights, "seed": config.seed},
            lambda aside: stages.domains_stage(aside, prepared, embedding, config),
        )
        job.do("section", {}, lambda aside: stages.section_stage(aside, draft.folder, prepared, embedding))
        record = {
            "versions": versions(),
            "code": code_fingerprint(),
            "configuration": config.to_dict(),
            "seed": config.seed,
            "encoder": identity,
            "inputs": prepared.inputs["files"],
        }
        if labels is not None:
            record["scores"] = stages.score(draft.folder, prepared, labels, config.seed)
        told = {"record": fingerprint(record)}
        job.do("report", told, lambda aside: stages.report_stage(aside, draft.folder, prepared, embedding, record))
        draft.publish({**record, "section": prepared.section.name, "input": prepared.inputs})
        n_domains = int(draft.stages["domains"]["facts"]["n_domains"])
    return Outcome(
        prepared.section.name, "done", "", out, prepared.section.spots.n_obs, n_domains, record.get("scores")
    )


def _identity(card: Card) -> dict[str, Any]:
    """Give all that the card says, with the hash of a local file that it names without one."""
    facts = card.to_dict()
    if card.file is not None and not card.sha256:
        facts["sha256"] = sha256_file(card.file)
    return facts


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
