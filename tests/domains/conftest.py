"""A synthetic field of features with known domains: curved layers and a round nest on a hexagonal lattice."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import sparse

from histoscribe.graph.lattice import lattice_graph


@dataclass(frozen=True)
class Field:
    image: np.ndarray
    truth: np.ndarray
    xy_um: np.ndarray
    graph: sparse.csr_matrix

    @property
    def blocks(self):
        return {"image": self.image, "position": self.xy_um}

    @property
    def places(self):
        return {"graph": self.graph, "xy_um": self.xy_um}

    def reordered(self, order):
        return Field(self.image[order], self.truth[order], self.xy_um[order], self.graph[order][:, order])


def make_field(columns=26, rows=24, *, n_domains=4, noise=2.0, seed=0):
    """Features of 48 columns: a domain's mean, strong texture of rank 6 that no domain explains, and white noise."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:rows, :columns]
    xy_um = np.column_stack([((column + 0.5 * (row % 2)) * 100.0).ravel(), (row * 100.0 * 3**0.5 / 2).ravel()])
    unit = xy_um / xy_um.max(axis=0)
    depth = unit[:, 1] + 0.06 * np.sin(7 * unit[:, 0])
    truth = np.minimum((depth * (n_domains - 1)).astype(int).clip(0), n_domains - 2)
    truth[((unit - [0.55, 0.45]) ** 2).sum(axis=1) < 0.18**2] = n_domains - 1
    means = rng.normal(0, 1, (n_domains, 48)) * (rng.random(48) < 0.4)
    texture = rng.normal(0, 1, (len(truth), 6)) @ rng.normal(0, 0.7, (6, 48))
    image = means[truth] + texture + rng.normal(0, noise, (len(truth), 48))
    return Field(image, truth, xy_um, lattice_graph(xy_um, kind="hex", pitch_um=100.0))


@pytest.fixture(scope="session")
def field():
    return make_field()


@pytest.fixture(scope="session")
def hard_field():
    return make_field(noise=3.0, seed=3)


@pytest.fixture(scope="session")
def fields():
    """Maker of further fields."""
    return make_field
