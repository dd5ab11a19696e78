"""What is known of a section before anything is written."""

from dataclasses import dataclass
from typing import Any

from histoscribe.io.preflight import Preflight
from histoscribe.section import Section
from histoscribe.slide.tissue import TissueMask


@dataclass(frozen=True, slots=True)
class Prepared:
    """A section that was read and whose parts fit, with its tissue, and a record of the files it came from."""

    section: Section
    tissue: TissueMask
    preflight: Preflight
    inputs: dict[str, Any]
    notes: tuple[str, ...]
