"""How well domains agree with known ones, always beside what coordinates, colour and depth alone reach."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.domains.metrics import depth_numbers, score_domains
from histoscribe.io.labels import labels_of_spots, read_labels
from histoscribe.io.spatialdata import open_store
from histoscribe.run.section.blocks import spot_graph
from histoscribe.run.section.files import DOMAINS, SECTION
from histoscribe.run.section.finished import read_domains
from histoscribe.section import Section
from histoscribe.store.cohort import write_beside
from histoscribe.store.files import canonical
from histoscribe.store.result import require_undamaged


def score(
    result: Path | str, *, labels: Path | str, column: str | None = None, out: Path | str | None = None
) -> dict[str, Any]:
    """Score the domains of a result against known labels, every score beside its floors.

    Parameters
    ----------
    result
        Folder of one section's result.
    labels
        CSV with barcode and label, Loupe's export, or h5ad; spots without a label are dropped.
    column
        Which column of `labels` to read, where several could be meant.
    out
        File to write the scores into; a file that is there already is moved into kept-DATE beside it. The result
        itself is never written to.

    Returns
    -------
    What the file holds: `ari`, `nmi`, `boundary` and `coherence`, each with `score` and the floors `coordinates`,
    `colour` and `depth` (None where there is no picture or no counts), and how many spots were scored.

    Raises
    ------
    HistoscribeError
        Where the result is not complete or damaged, or no label belongs to one of its spots.
    """
    folder, labels = require_undamaged(Path(result), "the result", names=(SECTION, DOMAINS)), Path(labels)
    section = section_of(folder)
    found = read_domains(folder, section.spots.obs_names)["domain"]
    domains = found.fillna(0).to_numpy(np.int64)  # spots to which a transfer gave none are one more class
    truth = labels_of_spots(read_labels(labels, column=column), section.spots.obs_names, path=labels)
    scores = score_of(section, domains, truth)
    if out is not None:
        write_beside(Path(out), canonical(scores))
    return scores


def score_of(section: Section, found: NDArray[Any], truth: NDArray[Any]) -> dict[str, Any]:
    """Score the domains of a section's measured spots against known ones, (n,) each; plain, as `score` gives them."""
    found, truth, section = found[section.measured], truth[section.measured], section.of_spots(section.measured)
    scores: dict[str, Any] = _plain(
        score_domains(
            found,
            truth,
            xy_um=section.xy_um,
            graph=spot_graph(section),
            colour=None if section.image is None else mean_colour(section),
            depth=depth_numbers(section.spots.X, list(section.spots.var_names)) if section.has_counts else None,
            seed=0,
        )
    )
    return scores


def mean_colour(section: Section) -> NDArray[np.float64]:
    """Mean colour around each spot, (n, 3), read from the overview of the picture."""
    from scipy.ndimage import uniform_filter

    picture, downsample = section.require_image().overview(4096)
    spot_um = section.lattice.spot_diameter_um if section.lattice else 50.0
    side = max(1, round(spot_um / section.mpp / downsample))
    smooth = uniform_filter(picture.astype(np.float64), size=(side, side, 0))
    column, row = np.floor(section.xy_px / downsample).astype(np.intp).T
    colour: NDArray[np.float64] = smooth[row.clip(0, smooth.shape[0] - 1), column.clip(0, smooth.shape[1] - 1)]
    return colour


def section_of(folder: Path) -> Section:
    """Read the section of a finished result back."""
    return Section.from_spatialdata(open_store(folder / SECTION), path=folder / SECTION)


def _plain(value: Any) -> Any:
    """Numbers fit for JSON: rounded to six places, what is not finite as None."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, float | np.floating):
        return round(float(value), 6) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
