"""Small sections and contents for the report's tests."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from histoscribe.report import ReportContents
from histoscribe.section import Lattice, Section
from histoscribe.slide.image import ArraySource, SlideImage


def make_section(side=6, *, image=True, lattice="hex", genes=("A", "B"), name="S1", image_side=None):
    """`side` x `side` spots, 100 um apart, on an image of 4 um/px."""
    rows, columns = np.divmod(np.arange(side * side), side)
    xy_um = np.column_stack([100.0 * columns + 50 * (rows % 2), 86.6 * rows]) + 200
    if lattice != "hex":
        xy_um = np.column_stack([100.0 * columns, 100.0 * rows]) + 200
    rng = np.random.default_rng(0)
    spots = AnnData(
        sparse.csr_matrix(rng.integers(0, 3, (side * side, len(genes))).astype(np.float32)),
        obs=pd.DataFrame(index=[f"spot{i}" for i in range(side * side)]),
        var=pd.DataFrame(index=list(genes)),
    )
    spots.obsm["spatial"] = xy_um / 4
    picture = None
    if image:
        pixels = image_side or int((side * 100 + 400) / 4)
        picture = SlideImage(
            ArraySource([rng.integers(100, 255, (pixels, pixels, 3), dtype=np.uint8)]),
            mpp=4.0,
            mpp_by_source={"tiff tags": 4.0},
        )
    grid = Lattice(lattice, 100.0, 55.0) if lattice else None
    return Section.from_anndata(spots, name=name, image=picture, platform="visium", patient="P1", lattice=grid)


def make_contents(section=None, *, n_domains=3, **changes):
    """Contents with everything filled in."""
    section = section or make_section()
    n = section.spots.n_obs
    rng = np.random.default_rng(1)
    parts = {
        "domains": pd.DataFrame(
            {
                "barcode": section.spots.obs_names,
                "domain": np.arange(n) % n_domains + 1,
                "confidence": rng.random(n),
            }
        ),
        "tissue_mask": np.pad(np.ones((30, 30), bool), 10),
        "tissue_downsample": 5.0,
        "embedding": rng.normal(size=(n, 12)).astype(np.float32),
        "preflight": {
            "findings": [
                {"name": "scale", "level": "ok", "message": "fits", "evidence": {"spot pitch": 4.0}, "fix": None},
                {"name": "tissue", "level": "warning", "message": "few", "evidence": {}, "fix": "look at it"},
            ]
        },
        "evidence": {
            "requested": None,
            "choice": {
                "numbers": [2, 3, 4, 5],
                "stability": [1 - abs(k - n_domains) / 30 for k in (2, 3, 4, 5)],
                "chosen": n_domains,
                "rule": "the largest that is nearly as stable as the best",
            },
        },
        "scores": {"ari": {"score": 0.8, "coordinates": 0.3, "colour": 0.4}, "nmi": {"score": 0.7}},
        "record": {
            "versions": {"histoscribe": "0.1.0", "torch": "2.13.0"},
            "configuration": {
                "embed": {
                    "tiles": {"tile_um": 100.0},
                    "encoder": {"name": "resnet50", "backend": "timm", "licence": "Apache-2.0", "gated": False},
                },
                "domains": {"seed": 7},
            },
            "inputs": [{"path": "image.tif", "bytes": 1234, "sha256": "ab" * 32}],
        },
        "notes": ("2 spots were left out.",),
    }
    return ReportContents(section=section, **(parts | changes))


@pytest.fixture(scope="session")
def section_of():
    return make_section


@pytest.fixture(scope="session")
def contents_of():
    return make_contents
