"""The one runner of stages: what a stage depends on, whether it was done before, and who hears of it.

A stage's key is the fingerprint of the code, of its input, of its whole settings and of the keys of the stages that it
reads. So a setting that a stage reads cannot be left out of what is compared, and one that it does not read cannot make
it be done again. The record holds all that a key is made of, so that a later command can compute it again for a stage
that it does not ask for, and see whether the stage is still valid.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from histoscribe.errors import HistoscribeError
from histoscribe.run.events import Listener, progress_of, stage_event
from histoscribe.run.identity import code_fingerprint
from histoscribe.run.settings import plain
from histoscribe.store.draft import Draft, StageDone, Work
from histoscribe.store.files import canonical, fingerprint


class StagePlace(Protocol):
    """Where stages are done: a draft, or a folder inside a larger stage."""

    def stage(
        self, name: str, key: str, work: Work, *, made_of: Mapping[str, Any] | None = None, resumable: bool = False
    ) -> StageDone:
        """Do a stage; see `Draft.stage`."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """Stages of one result.

    Parameters
    ----------
    place
        Where they are done.
    section
        Whose events they are.
    inputs
        Record of what was read, on which every stage depends.
    listen
        Called with every event.
    keys
        Key of each stage that is there, by its name.
    made_of
        Of the same stages the settings, the fingerprint of what else was read, and the stages before, as the record
        has them.
    reused
        Names of the stages that were taken over.
    """

    place: StagePlace
    section: str
    inputs: Any
    listen: Listener
    keys: dict[str, str] = field(default_factory=dict)
    made_of: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)

    def stage(
        self,
        name: str,
        settings: Any,
        work: Work,
        *,
        after: Sequence[str] = (),
        reads: Any = None,
        resumable: bool = False,
    ) -> StageDone:
        """Do a stage, or take it over where it was done with the same key, and say so.

        Parameters
        ----------
        settings
            All settings that the stage reads: one settings object, or several by name; None where it reads none. They
            stand in the record.
        work
            As of `Draft.stage`.
        after
            Names of the stages that made the files it reads.
        reads
            What else it reads, such as a model that was fitted; the record holds its fingerprint.
        resumable
            Whether `work` can go on with what an interrupted call left.
        """
        read = None if reads is None else fingerprint(plain(reads))
        made_of = json.loads(canonical({"settings": plain(settings), "reads": read, "after": sorted(after)}))
        key = self._key(name, made_of, self.keys)
        self._say(name, "started")
        try:
            done = self.place.stage(name, key, work, made_of=made_of, resumable=resumable)
        except HistoscribeError:
            self._say(name, "refused")
            raise
        self._add(name, key, made_of, reused=done.reused)
        return done

    def keep(self, place: Draft, name: str) -> bool:
        """Take over a stage of the older result that this command did not ask for, and the stages before it.

        Returns
        -------
        Whether the stage is there now. It is not where anything that it was made of has changed: the code, the input,
        or a stage before it.
        """
        known: dict[str, str] = dict(self.keys)
        needed = [name]
        for stage in needed:
            before = _after(place.older.get(stage))
            needed += [name for name in before if name not in self.keys and name not in needed]
        wanted: list[str] = []  # the same in the order of their making
        while len(wanted) < len(needed):
            ready = [stage for stage in needed if stage not in known and _is_ready(place.older.get(stage), known)]
            if not ready:  # a stage is missing, or the record names one as what comes before itself
                return False
            for stage in ready:
                known[stage] = self._key(stage, place.older[stage]["made_of"], known)
                if known[stage] != place.older[stage]["key"]:
                    return False
            wanted += ready
        if not all(place.can_keep(stage) for stage in wanted):
            return False
        for stage in wanted:
            place.keep(stage)
            self._add(stage, known[stage], place.older[stage]["made_of"], reused=True)
        return True

    def progress(self, stage: str) -> Callable[[int, int], None]:
        """Return what a stage calls to say how far it is."""
        return progress_of(self.listen, stage, section=self.section)

    def _key(self, name: str, made_of: Mapping[str, Any], keys: Mapping[str, str]) -> str:
        return fingerprint(
            {
                "code": code_fingerprint(),
                "inputs": self.inputs,
                "stage": name,
                "settings": made_of.get("settings"),
                "reads": made_of.get("reads"),
                "after": {before: keys[before] for before in _after({"made_of": made_of})},
            }
        )

    def _add(self, name: str, key: str, made_of: Mapping[str, Any], *, reused: bool) -> None:
        self.keys[name], self.made_of[name] = key, made_of
        if reused:
            self.reused.append(name)
        self._say(name, "reused" if reused else "done")

    def _say(self, stage: str, state: str) -> None:
        self.listen(stage_event(stage, state, section=self.section))


def _is_ready(stage: Mapping[str, Any] | None, known: Mapping[str, str]) -> bool:
    """Whether all that a recorded stage comes after is known."""
    return stage is not None and all(before in known for before in _after(stage))


def _after(stage: Mapping[str, Any] | None) -> list[str]:
    """Names of the stages before a recorded one; a record may have been received."""
    after = (stage or {}).get("made_of", {}).get("after")
    return [name for name in after if isinstance(name, str)] if isinstance(after, list) else []
