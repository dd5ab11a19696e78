"""One small section, as the field's tools hold it in memory."""

import matplotlib
import pytest

import histoscribe as hs
from histoscribe.phantom import write_spaceranger


@pytest.fixture(scope="session")
def outs(tmp_path_factory):
    """A Space Ranger folder of 110 spots."""
    phantom = hs.make_phantom(7, size_um=1200.0, mpp=1.0, n_domains=3)
    return write_spaceranger(phantom, tmp_path_factory.mktemp("api") / "section")


@pytest.fixture
def sdata(outs):
    return hs.read(outs)


@pytest.fixture
def adata(outs):
    """As scanpy reads it: spots off tissue too, and the small pictures in `uns`."""
    scanpy = pytest.importorskip("scanpy")
    with pytest.warns((FutureWarning, UserWarning, DeprecationWarning)):
        return scanpy.read_visium(outs)


@pytest.fixture(autouse=True)
def _no_screen():
    matplotlib.use("Agg")
    yield
    matplotlib.pyplot.close("all")
