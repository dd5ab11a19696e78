"""Small made-up sections for the tests of evaluation: features that know of some genes, and counts of them."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

from histoscribe.expression.measured import Measured
from histoscribe.predict.data import Observed

GENES = tuple(f"G{k}" for k in range(8))
TYPES = ("t1", "t2", "t3", "t4")


def make_section(name, patient, *, n=60, seed=0, genes=GENES, abundance=False, level=40.0):
    """A section with four genes that follow the features, and others that do not."""
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    features = rng.normal(size=(n, 5)).astype(np.float32)
    rate = np.full((n, len(genes)), level)
    rate[:, :4] *= np.exp(0.8 * features[:, :4])
    counts = sparse.csr_matrix(rng.poisson(rate).astype(np.float64))
    # most molecules are of other genes, so that no gene moves because another does
    library = rng.poisson(4000, n).astype(np.float64)
    kinds = np.exp(features[:, :4] + 0.2 * rng.normal(size=(n, 4))) if abundance else None
    places = np.column_stack([np.arange(n) % 10, np.arange(n) // 10]) * 100.0
    measured = Measured(name, counts, tuple(genes), library, kinds, TYPES if abundance else ())
    return Observed(name, patient, {"image@112": features, "position": places.astype(np.float32)}, places, measured)


def cohort(n_patients=3, sections=1, **options):
    made = [make_section(f"P{p}S{s}", f"P{p}", **options) for p in range(n_patients) for s in range(sections)]
    return {one.name: one for one in made}


@pytest.fixture(scope="session")
def make():
    """The writers above: `make.section(name, patient)`, `make.cohort(n_patients, sections)`, `make.genes`."""
    return SimpleNamespace(section=make_section, cohort=cohort, genes=GENES)
