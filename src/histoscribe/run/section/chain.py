"""The stages of one section, in order, and what each of them reads.

    check  tiles  embed  nuclei  domains  describe  umap  cells  training  maps  predictions  section  report

`run`, `domains`, `nuclei`, `tiles`, `map`, `predict` and a transfer of domains are selections of this chain. A stage
reads the files of earlier ones, so that one taken over from an older result serves as well as one just done. What an
older result in the folder holds beside what is asked for stays, as long as all that it was made of is unchanged.
"""

import logging
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from histoscribe.errors import ConfigError, listing
from histoscribe.io.reading import Request
from histoscribe.run.events import Listener, note_event
from histoscribe.run.identity import code_fingerprint, versions
from histoscribe.run.inputs import Input, read_input
from histoscribe.run.job import Job
from histoscribe.run.maps.plan import MapPlan
from histoscribe.run.maps.space import explaining_full_disk
from histoscribe.run.maps.stages import cells_stage, maps_stage, training_stage
from histoscribe.run.section.domains import describe_stage
from histoscribe.run.section.files import CELLS, MAPS, NUCLEI, PREDICTIONS, TRAINING
from histoscribe.run.section.finished import read_domains
from histoscribe.run.section.nuclei import nuclei_stage
from histoscribe.run.section.plan import NucleiPlan, Plan, PredictionPlan, SavedTilesPlan, TilePlan, plan_run
from histoscribe.run.section.score import score_of
from histoscribe.run.section.settings import RunConfig
from histoscribe.run.section.stages import check_stage, embed_stage, report_stage, section_stage
from histoscribe.run.section.tiles import tiles_stage
from histoscribe.run.section.umap import umap_stage
from histoscribe.run.several import Outcome
from histoscribe.store.draft import Draft
from histoscribe.store.result import writing_result

_log = logging.getLogger(__name__)
_ORDER = (
    "check",
    "tiles",
    "embed",
    "nuclei",
    "domains",
    "describe",
    "umap",
    "cells",
    "training",
    "maps",
    "predictions",
    "section",
)
# the last stage of each part of a result: those before it come with it
_LAST = ("tiles", "nuclei", "describe", "umap", "maps", "predictions")

_FOUND_FOR_MARKERS = (
    "the folder held no domains of this input, so they were found as histoscribe domains finds them, for their markers"
)


def run_section(
    request: Request,
    *,
    out: Path,
    config: RunConfig,
    listen: Listener,
    labels: pd.Series | None = None,
    command: str = "run",
) -> Outcome:
    """Read one section, find its domains and what else is asked for, and publish the result in `out`.

    Parameters
    ----------
    labels
        Known domains by barcode, to score the result against; they never take part in making it.
    command
        Who asks, for messages.

    Raises
    ------
    HistoscribeError
        Where the input, the encoder or the result folder is refused.
    """
    if config.joint != RunConfig().joint:
        raise ConfigError("domains are found together in several sections, and this is one", where="joint")
    given = read_input(request)
    return run_chain(given, plan_run(given, config, command=command), out=out, listen=listen, labels=labels)


def run_chain(given: Input, plan: Plan, *, out: Path, listen: Listener, labels: pd.Series | None = None) -> Outcome:
    """Do the planned stages for one section and publish the result in `out`; see `run_section`."""
    record = _record(given)
    facts: dict[str, Any] = {"spots": given.section.spots.n_obs} if given.section.spots.n_obs else {}
    with ExitStack() as stack:
        if plan.maps is not None:
            stack.enter_context(explaining_full_disk(out, plan.maps.needed_bytes))
            if costs := plan.maps.costs():
                listen(note_event(costs, section=given.section.name))
        draft = stack.enter_context(writing_result(out))
        job = Job(draft, given.section.name, given.record, listen)
        job.stage("check", None, lambda to: check_stage(to, given))
        if plan.keeps_domains and job.keep(draft, "describe"):
            plan = replace(plan, tiles=None, nuclei=None, domains=None)
        facts |= do_stages(job, draft.folder, given, plan)
        _keep_the_rest(job, draft)
        if "domains" in job.keys:
            shown = [name for name in ("embed", "nuclei", "domains", "umap") if name in job.keys]
            job.stage("section", None, lambda to: section_stage(to, draft.folder, given, parts=shown), after=shown)
        if labels is not None:
            found = read_domains(draft.folder, given.section.spots.obs_names)["domain"].to_numpy(np.int64)
            record["scores"] = score_of(given.section, found, labels.reindex(given.section.spots.obs_names).to_numpy())
        stages = {name: job.made_of[name] for name in _ORDER if name in job.made_of}
        job.stage(
            "report",
            None,
            lambda to: report_stage(to, draft.folder, given, record, stages=stages),
            after=list(job.keys),
            reads=record,
        )
        draft.publish(record)
    notes = given.notes if plan.maps is None else (*given.notes, *plan.maps.notes)
    if plan.keeps_domains and plan.domains is not None:
        notes = (*notes, _FOUND_FOR_MARKERS)
    return Outcome(given.section.name, "done", "", out, facts, record.get("scores"), notes, tuple(job.reused))


def do_stages(job: Job, here: Path, given: Input, plan: Plan) -> dict[str, Any]:
    """Do the planned stages, from the tiles to the predictions, in the folder `here`; returns facts about them."""
    facts: dict[str, Any] = {}
    if plan.saved_tiles is not None:
        facts |= _save_tiles(job, given, plan.saved_tiles)
    facts |= _find_domains(job, here, given, plan)
    if plan.maps is not None:
        facts |= _map(job, here, given, plan.maps)
    if plan.predictions is not None:
        facts |= _predict(job, plan.predictions)
    return facts


def _save_tiles(job: Job, given: Input, plan: SavedTilesPlan) -> dict[str, Any]:
    done = job.stage("tiles", plan.settings, lambda to: tiles_stage(to, given, plan.settings, tile_um=plan.tile_um))
    return {"tiles": done.count("tiles"), "px": done.count("px")}


def _find_domains(job: Job, here: Path, given: Input, plan: Plan) -> dict[str, Any]:
    """Do the stages up to the domains and what distinguishes them, as far as they are asked for; returns facts."""
    before: list[str] = []
    facts: dict[str, Any] = {}
    if plan.tiles is not None:
        _embed(job, given, plan.tiles)
        before.append("embed")
    if plan.nuclei is not None:
        facts |= _find_nuclei(job, given, plan.nuclei)
        before.append("nuclei")
    if plan.domains is not None:
        find = plan.domains.find
        done = job.stage(
            "domains",
            plan.domains.settings,
            lambda to: find(to, here, before),
            after=before,
            reads=plan.domains.reads,
        )
        job.stage("describe", None, lambda to: describe_stage(to, here, given.section), after=["domains"])
        facts |= {"domains": done.count("n_domains")}
        if (seed := plan.umap_seed) is not None:
            after = [*before, "domains"]
            job.stage("umap", {"seed": seed}, lambda to: umap_stage(to, here, given.section, seed=seed), after=after)
    return facts


def _embed(job: Job, given: Input, plan: TilePlan) -> None:
    settings = {"tiles": plan.settings, "encoder": plan.encoder.card.to_dict(), "stain": plan.stain}
    report = job.progress("embed")
    job.stage(
        "embed",
        settings,
        lambda to: embed_stage(to, given.section, plan.encoder, plan.settings, report),
        resumable=True,
    )


def _find_nuclei(job: Job, given: Input, plan: NucleiPlan) -> dict[str, Any]:
    report = job.progress("nuclei")
    done = job.stage(
        "nuclei",
        plan.settings,
        lambda to: nuclei_stage(to / NUCLEI, given, plan.segmenter, block_px=plan.settings.block_px, progress=report),
        reads=plan.segmenter.record(),
        resumable=True,
    )
    area = done.facts.get("median_area_um2")
    return {"nuclei": done.count("nuclei")} | ({"median_area_um2": area} if isinstance(area, float) else {})


def _map(job: Job, here: Path, given: Input, plan: MapPlan) -> dict[str, Any]:
    """Make maps; the features of the picture's cells are a stage of their own, for they serve for other genes too."""
    how, before = {"encoder": plan.card(), "model": plan.model_record()}, []
    passed = plan.passed(given)  # the picture's cells are described under all spots, so that they serve for any limits
    if plan.needs_features:
        report = job.progress("cells")
        job.stage(
            "cells",
            how | {"cells": plan.settings.of_features()},
            lambda to: cells_stage(to / CELLS, given, plan, progress=report),
            resumable=True,
        )
        before.append("cells")
    if plan.markers is not None:
        before.append("describe")
    if plan.trains:
        report = job.progress("training")
        job.stage(
            "training",
            plan.used(),
            lambda to: training_stage(to / TRAINING, passed, plan.naming(given, here), progress=report),
            after=before,
            resumable=True,
        )
        before = [*before, "training"]
    report = job.progress("maps")
    done = job.stage(
        "maps",
        how | {"maps": plan.used()},
        lambda to: maps_stage(to / MAPS, passed, plan.naming(given, here), done=here, progress=report),
        after=before,
    )
    return {"genes": done.count("genes"), "cells": done.count("cells")}


def _predict(job: Job, plan: PredictionPlan) -> dict[str, Any]:
    done = job.stage(
        "predictions", plan.settings, lambda to: plan.predict(to / PREDICTIONS), reads=plan.reads, resumable=True
    )
    return {"targets": done.count("targets"), "warnings": done.count("warnings")}


def _keep_the_rest(job: Job, draft: Draft) -> None:
    """Take over what the older result holds beside this command's stages; what no longer fits is moved aside."""
    for last in _LAST:
        if last not in job.keys:
            job.keep(draft, last)
    remade = {"report", "section"} if "domains" in job.keys else {"report"}
    left = draft.listed - job.keys.keys() - remade
    if left:
        draft.set_aside.update(left)
        _log.warning(
            "%s: parts of the older result do not fit the new one and are moved aside. Their input or an earlier stage "
            "has changed, or a file is damaged: %s",
            draft.result,
            listing(sorted(left)),
        )


def _record(given: Input) -> dict[str, Any]:
    """Describe the input and the software for run.json and the report: no time, and no path of this computer."""
    return {
        "section": given.section.name,
        "versions": versions(),
        "code": code_fingerprint(),
        "format": given.record["format"],
        "stated": given.record["stated"],
        "inputs": given.record["files"],
        "notes": list(given.notes),
    }
