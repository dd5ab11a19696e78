"""Domains of a sequenced section told to a slide of which there is the picture alone."""

from pathlib import Path
from typing import Any

import pandas as pd

from histoscribe.domains.transfer import TransferModel, fit_transfer
from histoscribe.encoders import Encoder, build_encoder, embed, load_card, load_embedding
from histoscribe.errors import ConfigError, InputError
from histoscribe.io import read
from histoscribe.io.preflight import preflight
from histoscribe.run import stages
from histoscribe.run.blocks import spot_graph
from histoscribe.run.events import Listener, silent
from histoscribe.run.identity import code_fingerprint, input_record, versions
from histoscribe.run.pipeline import Outcome
from histoscribe.run.requests import requests_of
from histoscribe.section import Section
from histoscribe.slide.tissue import tissue_mask
from histoscribe.store.files import fingerprint, sha256_file, write_json
from histoscribe.store.result import read_record, stage_folder, writing_result


def transfer(
    path: Path | str,
    *,
    result: Path | str,
    out: Path | str,
    encoder: str | None = None,
    listen: Listener = silent,
) -> Outcome:
    """Label a slide from its H&E picture alone, by the domains that were found in another section.

    Writes domains.csv (barcode, domain, confidence, likeliest, reason; no domain where the model does not know, and
    why) and domains.json, the evidence.

    Parameters
    ----------
    path
        The slide: a vendor folder or a single file; counts in it are not looked at.
    result
        Folder of the other section's result, from `run` or `domains`.
    out
        Folder of the new result.
    encoder
        The card's path, where the result was made with a card of one's own.
    listen
        Called with every event.

    Raises
    ------
    HistoscribeError
        Where the slide, the result or the encoder is refused, or they do not belong together.
    """
    trained = stage_folder(Path(result))
    record = read_record(trained)
    model = _model(trained)
    card = load_card(encoder or record["configuration"]["encoder"])
    network = build_encoder(card, device="auto", precision=record["configuration"].get("precision", "auto"))
    _refuse_other(network, record, trained)
    requests = requests_of(Path(path))
    if len(requests) != 1:
        raise InputError("domains are told to one slide at a time", where=path, found=f"{len(requests):,} sections")
    reading = read(requests[0])
    section = reading.section
    preflight(reading, mask=tissue_mask(section.require_image())).raise_if_refused()
    told = {
        "section": section.name,
        "versions": versions(),
        "code": code_fingerprint(),
        "encoder": card.to_dict(),
        "tile_um": float(record["configuration"]["tile_um"]),
        "trained_on": {"section": record["section"], "manifest_sha256": sha256_file(trained / "manifest.json")},
        "inputs": input_record(reading, requests[0]),
    }
    facts = _written(Path(out), section, network, told, model, listen)
    return Outcome(section.name, "done", "", Path(out), section.spots.n_obs, facts["n_domains"], notes=reading.notes)


def _written(
    out: Path, section: Section, encoder: Encoder, told: dict[str, Any], model: TransferModel, listen: Listener
) -> dict[str, Any]:
    """Embed the slide, label it and publish the result; both stages are taken over where they were done before."""
    about = {"event": "stage", "section": section.name}
    with writing_result(out) as draft:

        def embedded(to: Path) -> dict[str, Any]:
            image = section.require_image()
            embed(image, section.xy_px, encoder, tile_um=told["tile_um"], folder=to / stages.EMBEDDING)
            return {}

        listen({**about, "stage": "embed", "state": "started"})
        key = fingerprint({"stage": "embed", **told})
        draft.stage("embed", key, embedded, resumable=True)
        done = draft.stage(
            "transfer", fingerprint({"before": key}), lambda to: _labelled(to, draft.folder, section, model)
        )
        listen({**about, "stage": "transfer", "state": "done"})
        draft.publish(told)
    return done.facts


def _model(trained: Path) -> TransferModel:
    import spatialdata

    section = Section.from_spatialdata(spatialdata.read_zarr(trained / "section.zarr"), path=trained / "section.zarr")
    if not (trained / stages.EMBEDDING).is_dir():
        raise InputError(
            "this result was made without a picture, so nothing can be learnt from how its domains look",
            where=trained,
            expected=stages.EMBEDDING,
            mend="find the domains of a section that has its H&E picture",
        )
    labels = stages.read_domains(trained).set_index("barcode").loc[section.spots.obs_names, "domain"].to_numpy()
    embedding = load_embedding(trained / stages.EMBEDDING)
    return fit_transfer([embedding], [spot_graph(section)], [labels], xy_um=[section.xy_um])


def _refuse_other(encoder: Encoder, record: dict[str, Any], trained: Path) -> None:
    if encoder.card.to_dict() != record["encoder"]:
        raise ConfigError(
            "the encoder is not that of the result, and its numbers mean something else",
            where=trained,
            expected=record["encoder"].get("name"),
            found=encoder.card.name,
            mend="give the same card with --encoder",
        )


def _labelled(to: Path, done: Path, section: Section, model: TransferModel) -> dict[str, Any]:
    found = model.predict(load_embedding(done / stages.EMBEDDING), spot_graph(section))
    table = pd.DataFrame(
        {
            "barcode": section.spots.obs_names,
            "domain": pd.array(found.labels, dtype="Int64"),
            "confidence": found.confidence.round(4),
            "likeliest": found.likeliest,
            "reason": found.reason,
        }
    )
    table.loc[found.abstained, "domain"] = pd.NA
    table.to_csv(to / "domains.csv", index=False, lineterminator="\n")
    write_json(to / "domains.json", {"method": "transfer", "abstained": int(found.abstained.sum()), **model.evidence})
    return {"n_domains": len(set(found.labels[~found.abstained].tolist())), "abstained": int(found.abstained.sum())}
