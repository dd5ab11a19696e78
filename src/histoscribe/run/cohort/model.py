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

from histoscribe.encoders import Card, builtin_card, load_card
from histoscribe.encoders.novelty import Novelty
from histoscribe.errors import ConfigError, ResultError, listing
from histoscribe.expression.gene_target import GeneTarget
from histoscribe.expression.targets import Target, target_from_record
from histoscribe.predict.conformal import Conformal
from histoscribe.predict.count_intervals import CountIntervals
from histoscribe.predict.ensemble import FoldsEnsemble
from histoscribe.predict.fitting import make_head
from histoscribe.predict.head import Predictor
from histoscribe.run.cohort.options import PredictOptions
from histoscribe.run.settings import plain, without_paths
from histoscribe.store.files import read_json, write_json
from histoscribe.store.manifest import read_manifest
from histoscribe.store.result import require_undamaged
from histoscribe.store.tensors import read_tensors

FORMAT = 4
WEIGHTS, FACTS, CARDS, MODEL_CARD = "weights.safetensors", "model.json", "cards.json", "MODEL_CARD.md"

_CARD = """# {title}

{warning}## Intended use

Research on H&E sections like those below: a typical value of each of the {what}, with an interval, per spot. It
replaces no measurement, and no diagnosis follows from it. Use what its card says `use`; a slide unlike the training
slides gets wider intervals and a warning. {evidence}

## Data

| slide | patient | spots | um/px |
|---|---|---|---|
{slides}

Target: {unit}. Features: {encoders} on tiles of {sides} um.{fitted}
{notes}
## Scores

Inner cross-validation, one {groups} left out at a time, mean over slides. `histoscribe evaluate` on the same sheet
gives the honest score of the whole procedure.

{scores}

Cards: {verdicts}. {intervals}

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
        Calibrated on unseen patients or sections: of genes from their counts.
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

    head: Predictor
    target: Target
    intervals: Conformal | CountIntervals
    novelty: Novelty
    cards: list[dict[str, Any]]
    options: PredictOptions
    encoders: dict[str, dict[str, Any]]
    facts: dict[str, Any]

    @property
    def called(self) -> str:
        """What it predicts with, in words."""
        return _called(self.head.name, self.head.params())


def _called(name: str, params: Mapping[str, Any]) -> str:
    if name != FoldsEnsemble.name:
        return name
    return f"{params['head']}, the mean of {len(params['folds'])} members"


def write_model(folder: Path, model: Model) -> None:
    """Write the files of a model into `folder`.

    Raises
    ------
    ConfigError
        A head with a state that is not plain numbers.
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
        "head": {
            "name": model.head.name,
            "params": without_paths(plain(model.head.params()), "head", anonymous=model.options.anonymous),
            "fitted": model.head.record(),
        },
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
    if not (set(read_manifest(folder)["files"]) >= {FACTS, WEIGHTS, CARDS}):
        raise ResultError("this is a result, but no model", where=folder, fix="make a model with histoscribe fit")
    require_undamaged(folder, "the model")
    facts = read_json(folder / FACTS)
    found = facts.get("format") if isinstance(facts, dict) else None
    if found != FORMAT:
        raise ResultError(
            "this model was written by another version of histoscribe, which made intervals and cards in another way",
            where=folder,
            expected=f"format {FORMAT}",
            found=f"format {found}",
            fix="fit it again with histoscribe fit; the same sample sheet and options do",
        )
    arrays = read_tensors(folder / WEIGHTS, fix="copy the model again, or fit it again")
    try:
        return _rebuilt(facts, arrays, read_json(folder / CARDS))
    # a manifest proves that nothing changed since it was written, not that histoscribe wrote it
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ResultError(
            "this model does not say what a model says",
            where=folder / FACTS,
            found=f"{type(error).__name__}: {error}",
            fix="get the model again from whoever fitted it",
        ) from error


def _rebuilt(facts: dict[str, Any], arrays: Mapping[str, NDArray[Any]], cards: list[dict[str, Any]]) -> Model:
    def part(name: str) -> dict[str, NDArray[Any]]:
        return {key.removeprefix(f"{name}/"): value for key, value in arrays.items() if key.startswith(f"{name}/")}

    options = dict(facts["options"])
    # the record names files by their hashes; a model needs only the encoders' names and its own list of genes
    options |= {"encoders": [card["name"] for card in facts["encoders"]], "genes": str(options["genes"])}
    settings: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in options.items()}
    chosen = PredictOptions(**settings)
    target, intervals = target_from_record(facts["target"]), part("intervals")
    return Model(
        head=_unfitted(facts["head"]["name"], facts["head"]["params"]).with_state(part("head")),
        target=target,
        intervals=CountIntervals.from_state(intervals, scale=target.scale)
        if isinstance(target, GeneTarget)
        else Conformal.from_state(intervals),
        novelty=Novelty.from_state(part("novelty"), facts["slides"]),
        cards=cards,
        options=chosen,
        encoders={card["name"]: card for card in facts["encoders"]},
        facts=facts,
    )


def _unfitted(name: str, params: dict[str, Any]) -> Predictor:
    return FoldsEnsemble(**params) if name == FoldsEnsemble.name else make_head(name, params)


def cards_of_model(model: Model, given: Sequence[str] = ()) -> list[Card]:
    """Return the cards of a model's encoders, in its order: those that are given, the others by their names.

    A model may have been received: what it says of its encoders is compared, and never loaded or followed. Only a
    built-in card is taken by its name alone.

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
            fix=f"give the card of {listing(model.encoders)} with --encoder",
        )
    way_out = "; or give the card that the model was fitted on with --encoder"
    found = [cards.get(name) or builtin_card(name, fix=way_out) for name in model.encoders]
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
            fix=f"give the card of {known['name']} with --encoder",
        )


def _treatment(facts: Mapping[str, Any]) -> list[str]:
    """Say what was done to the sections before anything was learnt, and what was decided in reading them."""
    said = []
    if facts["options"]["background"] == "white":
        said.append("What lies off the tissue is white in every tile.")
    if facts["options"]["standardise"] == "section":
        said.append(
            "Features are standardised within each slide: every slide is predicted about the same mean, and a part of "
            "a slide otherwise than within its whole. With `--standardise none` a model reads every slide against the "
            "training slides."
        )
    if facts["ensemble"]:
        said.append(
            "A prediction is the mean of members, each fitted without one of the following: "
            f"{listing(facts['ensemble'], len(facts['ensemble']))}. Intervals and cards come from what a single member "
            "said of what it had not seen; a mean's squared error is no larger than that of its members on average."
        )
    return [*said, *facts.get("notes", ())]


def _intervals(facts: Mapping[str, Any]) -> str:
    """Say what intervals hold, and what is in them."""
    level = f"{100 * facts['options']['level']:.0f} %"
    if facts["target"]["kind"] == "abundance":
        return f"Intervals are made to hold {level} of the measurements on slides like these."
    molecules = facts["evidence"]["molecules"]
    said = (
        f"Intervals are made to hold {level}: one of a gene's expected share of the molecules, one of what would be "
        f"measured with as many molecules as a spot has ({molecules:,.0f}, the training's median, where nothing was "
        "counted). The noise of counting is in the second at any depth."
    )
    prior = facts["evidence"]["prior"]
    return f"{said} How far another patient's levels may lie is a stated prior, of {prior}." if prior else said


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
        title=f"{_called(facts['head']['name'], facts['head']['params'])} for {len(target['names']):,} {what}",
        warning=warning,
        what=what,
        slides="\n".join(slides),
        unit=target["unit"],
        encoders=listing(encoder["name"] for encoder in encoders),
        sides=sides,
        notes="".join(f"\n- {note}" for note in _treatment(facts)) + "\n" * bool(_treatment(facts)),
        fitted="".join(f" {key.capitalize()}: {value}." for key, value in facts["head"]["fitted"].items()),
        groups=inner["groups"],
        scores="\n".join(scores),
        evidence=facts["evidence"]["sentence"],
        verdicts=", ".join(f"{count:,} {verdict}" for verdict, count in counts.items()),
        intervals=_intervals(facts),
        licences="\n".join(f"- {one['name']}: {one['licence']} ({one['source']})" for one in encoders),
    )
