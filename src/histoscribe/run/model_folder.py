"""The folder of a model: safetensors and JSON, a card for people, and nothing that could run code.

MODEL/
  model.json           head, target, features, encoder card, scale, training slides, inner scores, audit
  weights.safetensors  head/..., intervals/..., novelty/...: plain numbers
  cards.json           one card per gene or cell type: what to trust
  MODEL_CARD.md        data, protocol, scores, licence of the encoder, intended use
  run.json, manifest.json
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.encoders import Card, load_card
from histoscribe.encoders.novelty import Novelty
from histoscribe.errors import ConfigError, ResultError, listing
from histoscribe.expression.targets import Target, target_from_record
from histoscribe.predict.conformal import Conformal
from histoscribe.predict.fitting import make_head
from histoscribe.predict.head import Head
from histoscribe.run.predict_options import PredictOptions
from histoscribe.store.files import read_json, write_json
from histoscribe.store.manifest import read_manifest
from histoscribe.store.result import verify_result

FORMAT = 3
WEIGHTS, FACTS, CARDS, MODEL_CARD = "weights.safetensors", "model.json", "cards.json", "MODEL_CARD.md"

_CARD = """# {title}

{warning}## Intended use

Research on H&E sections like those below: a typical value of each of the {what}, with an interval, per spot. It
replaces no measurement, and no diagnosis follows from it. Use what its card says `use`; a slide unlike the training
slides gets wider intervals and a warning.

## Data

| slide | patient | spots | um/px |
|---|---|---|---|
{slides}

Target: {unit}. Features: {encoders} on tiles of {sides} um.

## Scores

Inner cross-validation, one {groups} left out at a time, mean over slides. `histoscribe evaluate` on the same sheet
gives the honest score of the whole procedure.

{scores}

Cards: {verdicts}. Intervals are made to hold {level} % of the measurements on slides like these.

## Licence

Of the encoders; a model made with them is bound by their terms.

{licences}
"""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A fitted predictor with all that its use needs.

    Parameters
    ----------
    head
        Fitted.
    target
        Fitted.
    intervals
        Calibrated on unseen patients or sections.
    novelty
        Remembers the training slides.
    cards
        One plain record per target.
    options
        How spots are described.
    encoders
        Name to the record of each encoder's card.
    facts
        Everything else of model.json.
    """

    head: Head
    target: Target
    intervals: Conformal
    novelty: Novelty
    cards: list[dict[str, Any]]
    options: PredictOptions
    encoders: dict[str, dict[str, Any]]
    facts: dict[str, Any]


def write_model(folder: Path, model: Model) -> None:
    """Write the files of a model into `folder`.

    Raises
    ------
    ConfigError
        A head whose state is not plain numbers.
    """
    from safetensors.numpy import save_file

    states = {
        "head": model.head.state(),
        "intervals": model.intervals.state(),
        "novelty": model.novelty.state(),
    }
    arrays: dict[str, NDArray[Any]] = {}
    for part, state in states.items():
        for key, value in state.items():
            array = np.ascontiguousarray(value)
            if array.dtype.kind not in "biuf":
                raise ConfigError(f"the state {key!r} is not plain numbers", where=f"{part}", found=array.dtype)
            arrays[f"{part}/{key}"] = array
    save_file(arrays, str(folder / WEIGHTS))
    facts = {
        "format": FORMAT,
        "head": {"name": model.head.name, "params": model.head.params()},
        "target": model.target.record(),
        "options": model.options.record(),
        # a list, since the order of the encoders counts and that of keys in JSON does not
        "encoders": list(model.encoders.values()),
        "slides": model.novelty.record(),
        **model.facts,
    }
    write_json(folder / FACTS, facts)
    write_json(folder / CARDS, model.cards)
    (folder / MODEL_CARD).write_text(model_card(facts, model.cards), encoding="utf-8", newline="\n")


def read_model(folder: Path) -> Model:
    """Read a model back; every byte is compared with the manifest first.

    Raises
    ------
    ResultError
        No model, a damaged one, or one of a later version.
    """
    from safetensors.numpy import load_file

    if FACTS not in read_manifest(folder)["files"]:
        raise ResultError("this is a result, but no model", where=folder, mend="make a model with histoscribe fit")
    damages = verify_result(folder).damages
    if damages:
        raise ResultError(
            "the model is damaged",
            where=folder / damages[0].path,
            found=damages[0].problem,
            mend="copy it again, or fit it again",
        )
    facts = read_json(folder / FACTS)
    if facts["format"] != FORMAT:
        raise ResultError(
            "this model was written by another version", where=folder, expected=FORMAT, found=facts["format"]
        )
    arrays = load_file(str(folder / WEIGHTS))

    def part(name: str) -> dict[str, NDArray[Any]]:
        return {key.removeprefix(f"{name}/"): value for key, value in arrays.items() if key.startswith(f"{name}/")}

    told = dict(facts["options"])
    options = PredictOptions(**told | {key: tuple(told[key]) for key in ("heads", "tile_um", "encoders")})
    return Model(
        head=make_head(facts["head"]["name"], facts["head"]["params"]).with_state(part("head")),
        target=target_from_record(facts["target"]),
        intervals=Conformal.from_state(part("intervals")),
        novelty=Novelty.from_state(part("novelty"), facts["slides"]),
        cards=read_json(folder / CARDS),
        options=options,
        encoders={card["name"]: card for card in facts["encoders"]},
        facts=facts,
    )


def cards_of_model(model: Model, given: Sequence[str] = ()) -> list[Card]:
    """Return the cards of a model's encoders, in its order: those that are given, the others by their names.

    Raises
    ------
    ConfigError
        A card that is none of the model's, or differs from it; naming what differs.
    """
    cards = {card.name: card for card in (load_card(name) for name in given)}
    strangers = [name for name in cards if name not in model.encoders]
    if strangers:
        raise ConfigError(
            "the model was fitted on another encoder",
            where="encoder",
            expected=listing(model.encoders),
            found=listing(strangers),
            mend=f"give the card of {listing(model.encoders)} with --encoder",
        )
    found = [cards.get(name) or load_card(name) for name in model.encoders]
    for card in found:
        _require_same_card(card, model.encoders[card.name])
    return found


def _require_same_card(card: Card, known: Mapping[str, Any]) -> None:
    given = card.to_dict()
    # where the file lies changes no number
    differs = [key for key in sorted(given) if key != "file" and given[key] != known.get(key)]
    if differs:
        raise ConfigError(
            "the model was fitted on another encoder",
            where="encoder",
            expected="; ".join(f"{key} {known.get(key)}" for key in differs[:3]),
            found="; ".join(f"{key} {given[key]}" for key in differs[:3]),
            mend=f"give the card of {known['name']} with --encoder",
        )


def model_card(facts: Mapping[str, Any], cards: list[dict[str, Any]]) -> str:
    """Describe a model for the people who use it, in Markdown."""
    target, encoders, inner = facts["target"], facts["encoders"], facts["inner"]
    what = "cell types" if target["kind"] == "abundance" else "genes"
    counts = {
        verdict: sum(card["verdict"] == verdict for card in cards) for verdict in ("use", "caution", "do not use")
    }
    slides = [
        f"| {name} | {facts['patients'].get(name) or 'unknown'} | {facts['n_spots'][name]:,} | {look['mpp']:.3g} |"
        for name, look in sorted(facts["slides"].items())
    ]
    scores = [f"- {key}: {value:.3f}" for key, value in sorted(inner["scores"].items()) if value is not None]
    warning = f"**{inner['warning']}**\n\n" if inner["warning"] else ""
    sides = ", ".join(f"{side:g}" for side in facts["options"]["tile_um"])
    return _CARD.format(
        title=f"{facts['head']['name']} for {len(target['names']):,} {what}",
        warning=warning,
        what=what,
        slides="\n".join(slides),
        unit=target["unit"],
        encoders=listing(encoder["name"] for encoder in encoders),
        sides=sides,
        groups=inner["groups"],
        scores="\n".join(scores),
        verdicts=", ".join(f"{count:,} {verdict}" for verdict, count in counts.items()),
        level=f"{100 * facts['options']['level']:.0f}",
        licences="\n".join(f"- {one['name']}: {one['licence']} ({one['source']})" for one in encoders),
    )
