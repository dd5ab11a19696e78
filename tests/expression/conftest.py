"""Small measured sections: a programme in space that some genes follow, and noise."""

import numpy as np
import pytest
from scipy import sparse

from histoscribe.expression.measured import Measured
from histoscribe.graph.lattice import lattice_graph


def make_measured(name="S1", *, n_genes=20, side=14, seed=0, genes=None, depth=400.0):
    """Genes G00, G01, ...: ever fewer molecules; every other one follows a wave in space, up or down in turn."""
    rng = np.random.default_rng(seed)
    row, column = np.divmod(np.arange(side * side), side)
    xy_um = np.column_stack([column, row]) * 100.0
    wave = np.sin(2 * np.pi * column / side)[:, None]
    follows = np.array([0, 1, 0, -1])[np.arange(n_genes) % 4]  # the total stays, so that the others do not follow too
    level = np.exp(-0.12 * np.arange(n_genes)) * np.exp(1.2 * wave * follows)
    share = level / level.sum(axis=1, keepdims=True)
    counts = rng.poisson(depth * rng.lognormal(0, 0.3, (len(wave), 1)) * share)
    names = genes or tuple(f"G{k:02d}" for k in range(n_genes))
    graph = lattice_graph(xy_um, kind="square", pitch_um=100.0)
    abundance = rng.gamma(2.0, 1.0, (len(wave), 3))
    return Measured(name, sparse.csr_matrix(counts.astype(float)), names, None, abundance, ("a", "b", "c"), graph)


@pytest.fixture(scope="session")
def measured_of():
    return make_measured


@pytest.fixture(scope="session")
def sections():
    return [make_measured(f"S{k}", seed=k) for k in range(3)]
