"""A drawn figure of a page, with its title, caption and alternative text."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ReportFigure:
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
        Alternative text, for a reader who cannot see the figure.
    png
        The file.
    """

    name: str
    title: str
    caption: str
    alt: str
    png: bytes


def write_page(folder: Path, page: str, figures: Iterable[ReportFigure]) -> list[Path]:
    """Write `figures/*.png` and `report.html` into an existing folder.

    Returns
    -------
    The files written, the page last.
    """
    (folder / "figures").mkdir(exist_ok=True)
    files = []
    for figure in figures:
        files.append(folder / "figures" / f"{figure.name}.png")
        files[-1].write_bytes(figure.png)
    files.append(folder / "report.html")
    files[-1].write_text(page, encoding="utf-8", newline="\n")
    return files
