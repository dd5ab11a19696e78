"""One rule says where a network computes: a graphics card where there is one, else the processor."""

import pytest
import torch

from histoscribe.errors import ConfigError
from histoscribe.numerics.device import device_in_use


@pytest.mark.parametrize(
    ("cuda", "mps", "found"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_is_the_best_that_is_here(monkeypatch, cuda, mps, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert device_in_use("auto", where="a head") == found
    assert device_in_use("cpu", where="a head") == "cpu"


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "abacus"])
def test_a_device_that_is_not_here_is_refused_and_those_that_are_named(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=f"no device '{name}'") as refused:
        device_in_use(name, where="a head")
    assert refused.value.fix == "use one of: cpu, auto"
