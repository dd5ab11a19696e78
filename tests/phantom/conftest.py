"""Small phantoms that the room's tests share."""

import pytest
from anndata import AnnData

from histoscribe.phantom import Phantom, make_phantom


@pytest.fixture(scope="session")
def tiny() -> Phantom:
    return make_phantom(3, size_um=700, n_genes=120)


@pytest.fixture(scope="session")
def section() -> Phantom:
    """Large enough for statistics: about 300 spots."""
    return make_phantom(5, size_um=2000, mpp=1.0, n_genes=300)


@pytest.fixture(scope="session")
def spots(section: Phantom) -> AnnData:
    return section.spots()
