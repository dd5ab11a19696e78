"""Hostile results that are whole by all their hashes: what their record says of the stages is a lie.

A command keeps the stages of a result that it does not do itself, so it reads how they were made before any work.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from support.robustness_results import MANIFEST, reseal, signed
from support.robustness_variants import Build, Home, Variant

Stages = dict[str, dict[str, Any]]

_MANY = 100_000


def _record(change: Callable[[Stages], Any]) -> Build:
    """Change what the record says of the stages, in place or by what is returned."""

    def build(home: Home) -> None:
        path = home.result / "run.json"
        record = json.loads(path.read_bytes())
        changed = change(record["stages"])
        record["stages"] = record["stages"] if changed is None else changed
        path.write_text(json.dumps(record))
        reseal(home.result)

    return build


def _each(**said: Any) -> Build:
    def change(stages: Stages) -> None:
        for stage in stages.values():
            stage.update(said)

    return _record(change)


def _before_each_other(stages: Stages) -> None:
    stages["domains"]["after"], stages["describe"]["after"] = ["describe"], ["domains"]


def _many_before(stages: Stages) -> None:
    stages["describe"]["after"] = [f"stage {k}" for k in range(_MANY)]
    stages |= {name: dict(stages["check"], files=0) for name in stages["describe"]["after"]}


def _deep(stages: Stages) -> None:
    settings: list[Any] = []
    for _ in range(400):
        settings = [settings]
    stages["domains"]["settings"] = settings


def _files_are_of(stage: Any) -> Build:
    """Let the manifest say of which stage its files are."""

    def build(home: Home) -> None:
        manifest = home.manifest()
        for facts in manifest["files"].values():
            facts["stage"] = stage
        (home.result / MANIFEST).write_bytes(signed(manifest))

    return build


def forged_results() -> Iterator[Variant]:
    """All of them; each is then given to a command that would keep the domains."""
    for words, build in (
        ("settings with half a character", _each(settings="\ud800")),
        ("settings that are no number", _each(settings=float("nan"))),
        ("settings 400 lists deep", _record(_deep)),
        ("facts with half a character", _each(facts={"n_domains": "\ud800"})),
        ("a key that is a number", _each(key=7)),
        ("another number of files", _each(files=99)),
        ("stages before each other", _record(_before_each_other)),
        (f"{_MANY:,} stages before one", _record(_many_before)),
        ("stages before that are no names", _each(after=[1, None, {}, ["check"]])),
        ("stages before that are a text", _each(after="check")),
        ("stages as a list", _record(lambda stages: list(stages))),
        ("stages as texts", _record(lambda stages: dict.fromkeys(stages, "done"))),
    ):
        yield Variant(f"a whole result, its record has {words}", "domains", build, then="map")
    for words, stage in (("a list", []), ("an object", {}), ("null", None), ("another stage", "nuclei")):
        yield Variant(
            f"a whole result, its manifest says of files that their stage is {words}",
            "domains",
            _files_are_of(stage),
            then="map",
        )
