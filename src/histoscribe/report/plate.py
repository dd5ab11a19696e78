"""One figure of a page, drawn, with what a reader and one who cannot see it should know."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


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


def write_page(folder: Path, page: str, plates: Iterable[Plate]) -> list[Path]:
    """Write `figures/*.png` and `report.html` into an existing folder.

    Returns
    -------
    The files written, the page last.
    """
    (folder / "figures").mkdir(exist_ok=True)
    files = []
    for plate in plates:
        files.append(folder / "figures" / f"{plate.name}.png")
        files[-1].write_bytes(plate.png)
    files.append(folder / "report.html")
    files[-1].write_text(page, encoding="utf-8", newline="\n")
    return files
