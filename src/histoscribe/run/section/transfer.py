"""Domains of a sequenced section, transferred to a slide of which there is the picture alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from histoscribe.domains.transfer import TransferModel, fit_transfer
from histoscribe.encoders import Card, Encoder, build_encoder, builtin_card, load_card
from histoscribe.encoders.stain import StainedEncoder, StainReference
from histoscribe.errors import ConfigError, InputError
from histoscribe.io.aliases import section_alias
from histoscribe.io.reading import Request
from histoscribe.run.events import Listener, silent
from histoscribe.run.inputs import read_slide
from histoscribe.run.requests import ReadOptions
from histoscribe.run.section.blocks import spot_graph
from histoscribe.run.section.chain import run_chain
from histoscribe.run.section.files import DOMAINS, EVIDENCE
from histoscribe.run.section.finished import read_domains, read_embedding
from histoscribe.run.section.laid_out import with_spots
from histoscribe.run.section.plan import DomainPlan, Plan, TilePlan
from histoscribe.run.section.score import section_of
from histoscribe.run.section.settings import TileSettings
from histoscribe.run.settings import Settings
from histoscribe.run.several import Outcome, one_or_each
from histoscribe.section import Section
from histoscribe.store.files import sha256_file, write_json
from histoscribe.store.result import read_record, require_apart, require_undamaged


@dataclass(frozen=True, slots=True)
class TransferSettings(Settings):
    """Which result the domains come from.

    Parameters
    ----------
    section
        Name of its section.
    manifest_sha256
        Hash of its manifest, which names the hash of every file.
    method
        What the record calls this way to find domains.
    """

    section: str
    manifest_sha256: str
    method: str = "transfer"


def transfer(
    path: Path | str,
    *,
    result: Path | str,
    out: Path | str,
    encoder: str | None = None,
    mpp: float | None = None,
    reading: ReadOptions | None = None,
    listen: Listener = silent,
) -> list[Outcome]:
    """Label slides from their H&E picture alone, by the domains that were found in another section.

    Writes the result of a section, of a sample sheet one per slide. In it domains.csv has the columns barcode, domain,
    confidence, likeliest and reason: no domain where the model does not know, and why.

    Parameters
    ----------
    path
        The slide: a vendor folder or a single file, whose counts play no part in the labels, or a picture alone: then
        spots are laid out on its tissue, 100 um apart. Or a sample sheet of such.
    result
        Folder of the other section's result, from `run` or `domains`.
    out
        Folder of the new result.
    encoder
        The card's path, where the result was made with a card of one's own.
    mpp
        Microns per pixel of the picture, where the file does not say so or says it wrongly; a sheet has a column.
    reading
        How the slide is read and named; where it is anonymous, the other section is not named either.
    listen
        Called with every event.

    Returns
    -------
    One outcome per slide; a refused one of several holds up no other.

    Raises
    ------
    HistoscribeError
        Where a single slide, the result or the encoder is refused, or they do not belong together.
    """
    how = reading or ReadOptions()
    require_apart(Path(out), Path(result), "the result that the domains come from")
    source = _source(Path(result), encoder, anonymous=how.anonymous)

    def one(request: Request, folder: Path, listen: Listener) -> Outcome:
        given = with_spots(read_slide(request))
        return run_chain(given, source.plan(given.section), out=folder, listen=listen)

    return one_or_each(Path(path), Path(out), how, one, listen=listen, mpp=mpp)


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """The other section's domains, and how its picture was described."""

    settings: TransferSettings
    model: TransferModel
    encoder: Encoder
    tiles: TileSettings
    stain: dict[str, Any] | None

    def plan(self, section: Section) -> Plan:
        """Plan to label this section; its tiles get the colours that the other section's had."""
        encoder = self.encoder
        if self.stain is not None:
            encoder = StainedEncoder(encoder, StainReference.from_record(self.stain).on(section))

        def find(to: Path, done: Path, parts: Sequence[str]) -> dict[str, Any]:
            return _labelled(to, done, section, self.model)

        return Plan(tiles=TilePlan(encoder, self.tiles, self.stain), domains=DomainPlan(self.settings, find))


def _source(result: Path, encoder: str | None, *, anonymous: bool) -> _Source:
    trained = require_undamaged(result, "the result")
    record = read_record(trained)
    embed = _embed_settings(record, where=trained)
    card = load_card(encoder, anonymous=anonymous) if encoder else _builtin_of(embed)
    network = build_encoder(card, device="auto", precision=str(embed["tiles"].get("precision", "auto")))
    _refuse_other(network, embed["encoder"], trained)
    name = section_alias([trained / "manifest.json"]) if anonymous else str(record["section"])
    stain = embed.get("stain")
    if anonymous and isinstance(stain, dict):
        stain = stain | {"section": name}  # the reference is not named either
    return _Source(
        TransferSettings(section=name, manifest_sha256=sha256_file(trained / "manifest.json")),
        _model(trained),
        network,
        TileSettings(float(embed["tiles"]["tile_um"]), precision=network.choice.precision),
        stain,
    )


def _embed_settings(record: dict[str, Any], *, where: Path) -> dict[str, Any]:
    """Return how the pictures of a result were described; it may have been received."""
    try:
        embed = record["stages"]["embed"]["settings"]
        float(embed["tiles"]["tile_um"]), embed["encoder"]["name"], record["stages"]["domains"], record["section"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            "this result was made without a picture or has no domains, so there is nothing to be learnt from how its "
            "domains look",
            where=where,
            expected="stages embed and domains in run.json",
            fix="find the domains of a section that has its H&E picture",
        ) from error
    found: dict[str, Any] = embed
    return found


def _builtin_of(embed: dict[str, Any]) -> Card:
    """Card that a result names. A result may have been received: no path in it is followed."""
    return builtin_card(
        str(embed["encoder"]["name"]), fix="; or give the card that the result was made with by --encoder"
    )


def _model(trained: Path) -> TransferModel:
    section = section_of(trained)
    labels = read_domains(trained, section.spots.obs_names)["domain"].fillna(0).to_numpy(np.int64)
    embedding = read_embedding(trained, section)
    return fit_transfer([embedding], [spot_graph(section)], [labels], xy_um=[section.xy_um])


def _refuse_other(encoder: Encoder, known_card: dict[str, Any], trained: Path) -> None:
    # what the file is called changes no number
    given, known = ({**card, "file": None} for card in (encoder.card.to_dict(), known_card))
    if given != known:
        raise ConfigError(
            "the encoder is not that of the result, and its numbers mean something else",
            where=trained,
            expected=known.get("name"),
            found=encoder.card.name,
            fix="give the same card with --encoder",
        )


def _labelled(to: Path, done: Path, section: Section, model: TransferModel) -> dict[str, Any]:
    found = model.predict(read_embedding(done, section), spot_graph(section))
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
    table.to_csv(to / DOMAINS, index=False, lineterminator="\n")
    write_json(to / EVIDENCE, {"method": "transfer", "abstained": int(found.abstained.sum()), **model.evidence})
    return {"n_domains": len(set(found.labels[~found.abstained].tolist())), "abstained": int(found.abstained.sum())}
