"""What later stages and other commands read of a finished stage.

A result may have been received, and a manifest that fits proves no more than that nothing was damaged by accident. So
whatever is read back is checked: the rows are the section's spots, columns of numbers hold numbers, evidence has the
parts that pages read. A ResultError names the file.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from histoscribe.encoders import load_embedding
from histoscribe.errors import ResultError, listing
from histoscribe.run.section.files import (
    DOMAINS,
    EMBEDDING,
    EVIDENCE,
    LATENT,
    MARKERS,
    MORPHOLOGY,
    NEIGHBOURS,
    NOVELTY,
    UMAP,
)
from histoscribe.run.settings import fits
from histoscribe.section import Section
from histoscribe.store import arrays
from histoscribe.store.files import read_json

UMAP_COLUMNS = ("umap_1", "umap_2")
_TEXT = ("barcode", "gene", "feature")
# columns of the tables that say how domains differ; where there are no counts or no picture one is absent
DESCRIPTIONS = {
    MARKERS: ("domain", "gene", "effect", "log2_fold_change", "specificity", "autocorrelation"),
    MORPHOLOGY: ("domain", "feature", "mean", "mean_outside", "effect"),
    NEIGHBOURS: ("domain", "neighbour", "share"),
}
_EVIDENCE = {
    "method": str,
    "requested": int | None,
    "n_domains": int,
    "all_domains_hold": bool,
    "choice": dict[str, Any] | None,
    "consensus": dict[str, Any] | None,
    "reproducibility": dict[str, float] | None,
}
_CHOICE = {
    "numbers": tuple[int, ...],
    "stability": tuple[float, ...],
    "admissible": tuple[int, ...],
    "levels": tuple[int, ...],
    "chosen": int,
    "agreed": bool,
    "rule": str,
}


def read_domains(folder: Path, barcodes: pd.Index) -> pd.DataFrame:
    """Read domains.csv: barcode, domain, confidence.

    Parameters
    ----------
    barcodes
        Of the section's spots, which the rows must be, in their order.

    Returns
    -------
    One row a spot; `domain` is Int64, NA for a spot without one.
    """
    table = read_table(folder / DOMAINS, ("barcode", "domain", "confidence"))
    if list(table["barcode"]) != list(barcodes.astype(str)):
        raise _damaged(folder / DOMAINS, "the rows are not the spots of this section")
    known = table["domain"].dropna()
    if not ((known >= 1) & (known % 1 == 0)).all():
        raise _damaged(folder / DOMAINS, "domains are not whole numbers from 1")
    return table.astype({"domain": "Int64"})


def read_description(path: Path) -> pd.DataFrame | None:
    """Read a table that says how the domains differ; None where it is absent."""
    return read_table(path, DESCRIPTIONS[path.name]) if path.is_file() else None


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a CSV with these columns; all but `barcode`, `gene` and `feature` hold numbers, NaN where not known."""
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str), keep_default_na=False, na_values={})
        for name in [name for name in table.columns if name in columns and name not in _TEXT]:
            table[name] = table[name].where(table[name] != "", np.nan).astype(np.float64)
    except (ValueError, OSError) as error:
        raise _damaged(path, str(error)) from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise _damaged(path, f"no column {listing(missing)}")
    return table


def read_evidence(folder: Path) -> dict[str, Any]:
    """Read domains.json: how the number of domains was chosen, and from which features."""
    path = folder / EVIDENCE
    evidence = _object(path)
    _require(path, evidence, _EVIDENCE)
    choice = evidence.get("choice") or {}
    _require(path, choice, _CHOICE)
    consensus = evidence.get("consensus")
    agreed = consensus is None or fits(consensus.get("divisions"), tuple[str, ...])
    if "method" not in evidence or not agreed:
        raise _damaged(path, "no method, or a consensus without its divisions")
    if len(choice.get("numbers", ())) != len(choice.get("stability", ())):
        raise _damaged(path, "numbers and stability have different lengths")
    return evidence


def read_novelty(folder: Path) -> dict[str, Any]:
    """Read novelty.json: what is unlike the training slides, and how the slide was predicted."""
    novelty = _object(folder / NOVELTY)
    texts = all(fits(novelty.get(name), tuple[str, ...]) for name in ("warnings", "remarks"))
    if not (texts and isinstance(novelty.get("advice"), str)):
        raise _damaged(folder / NOVELTY, "advice, warnings or remarks are missing")
    return novelty


def read_embedding(folder: Path, section: Section) -> NDArray[np.float32]:
    """Read embedding.zarr, (n, d), a row a spot."""
    return _rows_of_spots(load_embedding(folder / EMBEDDING), section, where=folder / EMBEDDING)


def read_latent(folder: Path, section: Section) -> NDArray[np.float32] | None:
    """Read latent.zarr, (n, d), a row a spot; None where the method has none."""
    path = folder / LATENT
    return _rows_of_spots(arrays.open_array(path)[...], section, where=path) if path.is_dir() else None


def read_umap(folder: Path, barcodes: pd.Index) -> NDArray[np.float64]:
    """Read umap.csv, (n, 2), a row a spot; NaN for a spot without a place."""
    table = read_table(folder / UMAP, ("barcode", *UMAP_COLUMNS))
    if list(table["barcode"]) != list(barcodes.astype(str)):
        raise _damaged(folder / UMAP, "the rows are not the spots of this section")
    return table[list(UMAP_COLUMNS)].to_numpy(np.float64)


def read_figure(path: Path) -> bytes:
    """Read a PNG file that an earlier stage drew, for the section's page."""
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            picture.load()
        return path.read_bytes()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's for broken files
        raise _damaged(path, str(error)) from error


def _rows_of_spots(values: Any, section: Section, *, where: Path) -> NDArray[np.float32]:
    n = section.spots.n_obs
    if values.ndim != 2 or len(values) != n or not np.issubdtype(values.dtype, np.floating):
        raise _damaged(where, f"{values.dtype} of shape {values.shape} for {n:,} spots")
    found: NDArray[np.float32] = values
    return found


def _object(path: Path) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise _damaged(path, "not an object")
    return value


def _require(path: Path, value: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
    wrong = [name for name, kind in kinds.items() if name in value and not fits(value[name], kind)]
    if wrong:
        raise _damaged(path, f"{listing(wrong)} of another kind")


def _damaged(path: Path, found: str) -> ResultError:
    return ResultError(
        "this file is not as histoscribe writes it",
        where=path,
        found=found,
        fix="make the result anew in another folder with --out",
    )
