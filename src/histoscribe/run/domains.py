"""The verbs on tissue domains: find them in a section or a cohort, and score them against known labels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from histoscribe.domains import DOMAINS
from histoscribe.domains.match import domain_profiles, match_domains
from histoscribe.domains.metrics import depth_numbers, score_domains
from histoscribe.encoders import build_encoder, load_card, load_embedding
from histoscribe.errors import ConfigError, HistoscribeError, InputError, ResultError
from histoscribe.io import read
from histoscribe.io.labels import labels_of_spots, read_labels
from histoscribe.io.preflight import Preflight, preflight
from histoscribe.io.reading import Reading, Request
from histoscribe.report import ReportContents, write_summary
from histoscribe.run import stages
from histoscribe.run.blocks import AUTO, chosen_method, chosen_tile_um, spot_graph
from histoscribe.run.config import RunConfig, read_config
from histoscribe.run.domain_stages import (
    DomainChoice,
    domain_stage,
    evidence_of,
    report_stage,
    section_stage,
)
from histoscribe.run.events import Listener, silent
from histoscribe.run.identity import code_fingerprint, input_record, versions
from histoscribe.run.pipeline import Outcome
from histoscribe.run.prepared import Prepared
from histoscribe.run.requests import is_sheet, requests_of
from histoscribe.section import Section
from histoscribe.slide.tissue import tissue_mask
from histoscribe.store.files import fingerprint, write_json, writing_to
from histoscribe.store.result import Draft, stage_folder, writing_result

# needs no weights from anywhere, so that domains are found on a computer without a network
ENCODER = "morphology"
MATCHED, SCORE = "matched_domains.csv", "score.json"


def domains(
    path: Path | str,
    *,
    out: Path | str,
    method: str | None = None,
    n_domains: int | None = None,
    consensus: bool = False,
    config: Path | RunConfig | None = None,
    listen: Listener = silent,
) -> list[Outcome]:
    """Find the tissue domains of one section, or of every section of a sample sheet, from counts, picture or both.

    Parameters
    ----------
    path
        Vendor folder, single file that carries everything (an h5ad with counts and coordinates needs no picture), or
        samplesheet.csv.
    out
        Folder of the result; several sections have one folder each in it, a summary, and their domains matched.
    method
        "niche", "niche-leiden", "efnst" or "histology"; niche where there are counts and histology where there are
        none, if not given.
    n_domains
        Number of domains, obeyed exactly; chosen with evidence where not given.
    consensus
        Run the method over seeds, numbers of domains and block weights, and return what they agree on.
    config
        Any other setting; without one the encoder of the picture is "morphology", which needs no weights.
    listen
        Called with every event of the run.

    Returns
    -------
    One outcome per section. One section that is refused raises instead.

    Raises
    ------
    HistoscribeError
        Where the input, the configuration or the result folder is refused.
    """
    if method is not None:
        DOMAINS.get(method)
    settings = _settings(config).updated(n_domains=n_domains)
    one = partial(_one, method=method, config=settings, consensus=consensus, listen=listen)
    path, out = Path(path), Path(out)
    requests = requests_of(path)
    if len(requests) == 1 and not is_sheet(path):
        return [one(requests[0], out)]
    return _cohort(requests, out, one, listen)


def score(
    result: Path | str, *, labels: Path | str, column: str | None = None, out: Path | str | None = None
) -> dict[str, Any]:
    """Score the domains of a result against known labels, every score beside its floors.

    Parameters
    ----------
    result
        Folder of one section's result.
    labels
        CSV with barcode and label, Loupe's export, or h5ad; spots without a label are dropped.
    column
        Which column of `labels` to read, where several could be meant.
    out
        Where to write the scores; `score.json` in the result folder where not given.

    Returns
    -------
    What score.json holds: `ari`, `nmi`, `boundary` and `coherence`, each with `score` and the floors `coordinates`,
    `colour` and `depth` (None where there is no picture or no counts), and how many spots were scored.

    Raises
    ------
    HistoscribeError
        Where the result is not complete, or no label belongs to one of its spots.
    """
    folder, labels = stage_folder(Path(result)), Path(labels)
    section = _section_of(folder)
    found = stages.read_domains(folder).set_index("barcode").reindex(section.spots.obs_names)
    truth = labels_of_spots(read_labels(labels, column=column), section.spots.obs_names, path=labels)
    scores: dict[str, Any] = dict(
        score_domains(
            found["domain"].to_numpy(),
            truth,
            xy_um=section.xy_um,
            graph=spot_graph(section),
            colour=None if section.image is None else stages.mean_colour(section),
            depth=depth_numbers(section.spots.X, list(section.spots.var_names)) if section.has_counts else None,
            seed=0,
        )
    )
    scores = _plain(scores)
    target = folder / SCORE if out is None else Path(out)
    with writing_to(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_json(target, scores)
    return scores


def _cohort(
    requests: list[Request], out: Path, one: Callable[[Request, Path], Outcome], listen: Listener
) -> list[Outcome]:
    """Find the domains of every section, a refused one holding up no other; write the summary and what matches."""
    with writing_to(out):
        _refuse_single(out)
        out.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for request in requests:
        name = request.section or (request.path.name if request.path else "section")
        try:
            outcomes.append(one(request, out / name))
        except HistoscribeError as error:
            listen({"event": "refused", "section": name, "reason": str(error)})
            outcomes.append(Outcome(name, "refused", str(error)))
    with writing_to(out):
        write_summary(out, [_row(outcome) for outcome in outcomes])
        _write_matched(out, outcomes)
    return outcomes


def _refuse_single(out: Path) -> None:
    if (out / "manifest.json").exists():
        raise ResultError(
            "this folder holds the result of a single section", where=out, mend="give another folder with --out"
        )


@dataclass(frozen=True, slots=True)
class _Work:
    """One section on its way: what was read, and the events and keys of its stages."""

    reading: Reading
    draft: Draft
    listen: Listener
    key: str

    def do(self, stage: str, settings: Mapping[str, Any], work: Any, *, resumable: bool = False) -> "tuple[_Work, Any]":
        """Do a stage; the next one depends on it."""
        name = self.reading.section.name
        key = fingerprint({"stage": stage, "settings": dict(settings), "before": self.key})
        self.listen({"event": "stage", "section": name, "stage": stage, "state": "started"})
        done = self.draft.stage(stage, key, work, resumable=resumable)
        self.listen({"event": "stage", "section": name, "stage": stage, "state": "reused" if done.reused else "done"})
        return _Work(self.reading, self.draft, self.listen, key), done


def _one(
    request: Request, out: Path, *, method: str | None, config: RunConfig, consensus: bool, listen: Listener
) -> Outcome:
    """Read one section, find its domains and publish the result in `out`."""
    listen({"event": "stage", "stage": "read", "state": "started"})
    reading = read(request)
    section = reading.section
    mask = None if section.image is None else tissue_mask(section.image)
    found = preflight(reading, mask=mask)
    found.raise_if_refused()
    config = replace(config, tile_um=chosen_tile_um(section, config.tile_um))
    choice = _choice(section, method, config, consensus=consensus)
    inputs = input_record(reading, request)
    record = _record(section, inputs, config, choice)
    with writing_result(out) as draft:
        work = _Work(reading, draft, listen, fingerprint({"code": code_fingerprint(), "input": inputs}))
        work, _ = work.do("check", {}, lambda to: _write_preflight(to, found))
        work, embedding = _embedded(work, config, record)
        asked = {"method": choice.method, "n_domains": choice.n_domains, "weights": dict(choice.weights)}
        asked |= {"seed": choice.seed, "consensus": choice.by_consensus}
        work, done = work.do("domains", asked, lambda to: domain_stage(to, section, embedding, choice))
        work, _ = work.do("section", {}, lambda to: section_stage(to, draft.folder, section, embedding))
        contents = ReportContents(
            section=section,
            domains=stages.read_domains(draft.folder),
            tissue_mask=None if mask is None else mask.mask,
            tissue_downsample=1.0 if mask is None else mask.downsample,
            embedding=embedding,
            preflight=found.to_dict(),
            evidence=evidence_of(draft.folder),
            record=record,
            notes=reading.notes,
        )
        work, _ = work.do("report", record, lambda to: report_stage(to, draft.folder, contents))
        draft.publish(record)
    return Outcome(section.name, "done", "", out, section.spots.n_obs, done.facts["n_domains"], notes=reading.notes)


def _write_preflight(folder: Path, found: Preflight) -> dict[str, Any]:
    write_json(folder / "preflight.json", found.to_dict())
    return {}


def _embedded(work: _Work, config: RunConfig, record: dict[str, Any]) -> tuple[_Work, Any]:
    section = work.reading.section
    if section.image is None:
        return work, None
    encoder = build_encoder(load_card(config.encoder), device=config.device, precision=config.precision)
    record["encoder"] = encoder.card.to_dict()
    settings = {"card": record["encoder"], "tile_um": config.tile_um, "precision": config.precision}
    prepared = Prepared(section, None, None, {}, ())  # type: ignore[arg-type]  # neither is read by this stage

    def progress(done: int, total: int) -> None:
        work.listen({"event": "progress", "section": section.name, "stage": "embed", "done": done, "total": total})

    after, _ = work.do(
        "embed",
        settings,
        lambda to: stages.embed_stage(to, prepared, encoder, config, progress),
        resumable=True,
    )
    return after, load_embedding(work.draft.folder / stages.EMBEDDING)


def _choice(section: Section, method: str | None, config: RunConfig, *, consensus: bool) -> DomainChoice:
    if section.image is None and not section.has_counts:
        raise InputError(
            "there is neither a picture nor counts, so there is nothing to find domains in",
            where=f"section {section.name!r}",
            mend="give raw counts, or the H&E image",
        )
    chosen = chosen_method(section, method or AUTO)
    if chosen == "histology":
        section.require_image()
    if config.n_domains is not None and config.n_domains > section.spots.n_obs:
        raise ConfigError(
            f"{config.n_domains:,} domains cannot be made of {section.spots.n_obs:,} spots",
            where=f"section {section.name!r}",
            mend="ask for fewer domains with --n-domains",
        )
    return DomainChoice(chosen, config.n_domains, config.weights, config.seed, consensus)


def _record(section: Section, inputs: dict[str, Any], config: RunConfig, choice: DomainChoice) -> dict[str, Any]:
    settings = config.to_dict() | {"method": choice.method, "consensus": choice.by_consensus}
    del settings["stain_reference"]  # a path of this computer; these domains are not stain-normalised
    return {
        "section": section.name,
        "versions": versions(),
        "code": code_fingerprint(),
        "configuration": settings,
        "seed": config.seed,
        "format": inputs["format"],
        "told": inputs["told"],
        "inputs": inputs["files"],
    }


def _settings(config: Path | RunConfig | None) -> RunConfig:
    if config is None:
        return RunConfig(encoder=ENCODER)
    return config if isinstance(config, RunConfig) else read_config(Path(config))


def _section_of(folder: Path) -> Section:
    import spatialdata

    return Section.from_spatialdata(spatialdata.read_zarr(folder / "section.zarr"), path=folder / "section.zarr")


def _write_matched(out: Path, outcomes: list[Outcome]) -> None:
    """Write which domain of one section is which of another, where two sections or more have counts and share genes."""
    profiles = {}
    for one in outcomes:
        if one.folder is None:
            continue
        section = _section_of(one.folder)
        if section.has_counts:
            labels = stages.read_domains(one.folder)["domain"].to_numpy()
            profiles[one.folder.name] = domain_profiles(section.spots.X, labels, genes=list(section.spots.var_names))
    if len(profiles) > 1:
        match_domains(profiles).to_csv(out / MATCHED, index=False, lineterminator="\n")


def _row(outcome: Outcome) -> dict[str, object]:
    return {
        "section": outcome.section,
        "status": outcome.status,
        "reason": outcome.reason,
        "spots": outcome.n_spots,
        "domains": outcome.n_domains,
    }


def _plain(value: Any) -> Any:
    """Numbers fit for JSON: rounded to six places, what is not finite as None."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, float | np.floating):
        return round(float(value), 6) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
