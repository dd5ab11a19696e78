"""Readers of vendor folders and files, each giving a Section; the preflight that says whether its parts fit."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from histoscribe.io.formats import FORMATS as FORMATS
    from histoscribe.io.formats import Detection as Detection
    from histoscribe.io.formats import detect as detect
    from histoscribe.io.formats import read as read
    from histoscribe.io.formats import read_section as read_section
    from histoscribe.io.formats import sections_in as sections_in
    from histoscribe.io.reading import Format as Format
    from histoscribe.io.reading import Reading as Reading
    from histoscribe.io.reading import Request as Request
    from histoscribe.io.samplesheet import read_samplesheet as read_samplesheet

_PUBLIC = {
    "FORMATS": "histoscribe.io.formats",
    "Detection": "histoscribe.io.formats",
    "Format": "histoscribe.io.reading",
    "Reading": "histoscribe.io.reading",
    "Request": "histoscribe.io.reading",
    "detect": "histoscribe.io.formats",
    "read": "histoscribe.io.formats",
    "read_samplesheet": "histoscribe.io.samplesheet",
    "read_section": "histoscribe.io.formats",
    "sections_in": "histoscribe.io.formats",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'histoscribe.io' has no attribute {name!r}; it has: {', '.join(__all__)}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
