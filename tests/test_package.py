"""The package as a whole: quick to import, and every public name is there."""

import subprocess
import sys

import pytest

import histoscribe


def test_importing_it_loads_nothing_heavy():
    code = (
        "import histoscribe, sys; print([m for m in ('torch', 'numpy', 'pandas', 'spatialdata') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_had_and_is_documented():
    for name in set(histoscribe.__all__) - {"__version__"}:
        assert getattr(histoscribe, name).__doc__, name


def test_an_unknown_name_is_an_attribute_error_that_lists_what_there_is():
    with pytest.raises(AttributeError, match="Section"):
        histoscribe.sektion  # noqa: B018
