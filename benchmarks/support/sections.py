"""What several benchmarks share: a real section and 3,000 places on its tissue."""

import os
from pathlib import Path

import numpy as np

from histoscribe.slide.image import SlideImage
from histoscribe.slide.open import open_image

HERE = Path(__file__).resolve().parents[1]  # benchmarks/
N_SPOTS = 3000
TILE_UM = 112.0


def her2st_c2() -> SlideImage:
    """HER2+ breast section C2, 9274 x 9911 pixels; decoded once, so that no timing includes it."""
    data = Path(os.environ.get("HISTOSCRIBE_TEST_DATA", HERE.parents[1] / "shared" / "data"))
    image = open_image(next(data.glob("her2st/**/C2.jpg")), mpp=0.69)
    image.read(0, 0, 1, 1)
    return image


def places_on_tissue(image: SlideImage, n: int = N_SPOTS, seed: int = 0) -> np.ndarray:
    """Centres (n, 2), x before y, drawn where the picture is neither white nor black."""
    picture, factor = image.overview(1024)
    light = picture.mean(axis=2)
    rows, columns = np.nonzero((light < 215) & (light > 20))
    random = np.random.default_rng(seed)
    chosen = random.choice(len(rows), n, replace=len(rows) < n)
    jitter = random.uniform(0, 1, (n, 2))
    return (np.stack([columns[chosen], rows[chosen]], axis=1) + jitter) * factor
