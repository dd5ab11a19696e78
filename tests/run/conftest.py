"""A tiny SpaceRanger folder of a phantom, made once, and a run of it."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def vendor(tmp_path_factory) -> Path:
    """SpaceRanger folder of a small phantom, with truth.csv."""
    from histoscribe.phantom import make_phantom, write_spaceranger

    folder = tmp_path_factory.mktemp("phantom") / "section"
    write_spaceranger(make_phantom(3, size_um=1400.0, mpp=1.0, n_domains=3), folder)
    return folder


@pytest.fixture(scope="session")
def finished(vendor, tmp_path_factory) -> Path:
    """A finished result of that section."""
    from histoscribe.run.verbs import run_sections

    out = tmp_path_factory.mktemp("finished") / "result"
    run_sections(vendor, out=out, encoder="morphology", n_domains=3)
    return out
