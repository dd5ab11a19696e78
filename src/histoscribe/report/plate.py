"""One figure of a page, drawn, with what a reader and one who cannot see it should know."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plate:
    """One figure of the report.

    Parameters
    ----------
    name
        File name without ending.
    title
        What is seen, a phrase.
    caption
        How to read it, one or two sentences.
    alt
        What a reader who cannot see it should know.
    png
        The file.
    """

    name: str
    title: str
    caption: str
    alt: str
    png: bytes
