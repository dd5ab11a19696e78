"""The chain of one section for an object in memory: the same stages, in a folder that is gone afterwards."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from histoscribe.run.events import Listener
from histoscribe.run.inputs import Input
from histoscribe.run.job import Job
from histoscribe.run.section.chain import do_stages
from histoscribe.run.section.plan import Plan
from histoscribe.store.draft import StageDone, Work


class Scratch:
    """A folder for stages that are done once and read at once; no stage is ever taken over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def stage(
        self, name: str, key: str, work: Work, *, made_of: Mapping[str, Any] | None = None, resumable: bool = False
    ) -> StageDone:
        """Do a stage; see `StagePlace`."""
        return StageDone(self.folder, work(self.folder), reused=False)


@contextmanager
def stages_done(given: Input, plan: Plan, listen: Listener) -> Iterator[Path]:
    """Do the planned stages as a command does them, and give the folder that holds what they made.

    The folder is gone when the context is left.
    """
    with TemporaryDirectory(prefix="histoscribe-") as name:
        folder = Path(name)
        do_stages(Job(Scratch(folder), given.section.name, given.record, listen), folder, given, plan)
        yield folder
