"""The stage that lays the spots out by UMAP, for people to look at: nothing else is made of it."""

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscribe.errors import ConfigError
from histoscribe.run.section.files import UMAP
from histoscribe.run.section.finished import UMAP_COLUMNS, read_embedding, read_latent
from histoscribe.section import Section

_NEIGHBOURS, _MIN_DIST = 15, 0.1


def require_umap() -> None:
    """Refuse where umap-learn is not installed; raises ConfigError."""
    if find_spec("umap") is None:
        raise ConfigError(
            "the package umap-learn is not installed",
            where="umap",
            fix="pip install 'histoscribe[umap]', or leave umap out: the page shows principal components",
        )


def umap_stage(folder: Path, done: Path, section: Section, *, seed: int) -> dict[str, Any]:
    """Write umap.csv (barcode, umap_1, umap_2): of the features that the domain method divides, or of the picture's.

    Parameters
    ----------
    done
        Folder with what earlier stages made.
    seed
        Of UMAP, which runs on one thread, so that it gives the same places every time.
    """
    import umap

    features: NDArray[np.float32] | None = read_latent(done, section)
    of = "the features that were divided into domains"
    if features is None:
        features, of = read_embedding(done, section), "the picture's embedding"
    used = section.measured
    places = np.full((len(features), 2), np.nan)
    neighbours = max(2, min(_NEIGHBOURS, int(used.sum()) - 1))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*n_jobs value")  # says that a seed needs one thread
        warnings.filterwarnings("ignore", message=".*Spectral initialisation failed")
        made = umap.UMAP(n_neighbors=neighbours, min_dist=_MIN_DIST, random_state=seed, n_jobs=1)
        places[used] = made.fit_transform(features[used])
    table = pd.DataFrame(
        {"barcode": section.spots.obs_names, **dict(zip(UMAP_COLUMNS, places.T.round(4), strict=True))}
    )
    table.to_csv(folder / UMAP, index=False, lineterminator="\n")
    return {"of": of}
