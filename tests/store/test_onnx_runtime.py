"""Where a network in ONNX Runtime computes: what is asked for, or a refusal, and never something else silently."""

import pytest

from histoscribe.errors import ConfigError
from histoscribe.store.onnx_runtime import device_of, open_session

GPU, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class Session:
    """Stands for a network on a machine with a graphics card."""

    works = True

    def __init__(self, model, options, *, providers, enable_fallback):
        self.given, self.options = providers, options

    def get_providers(self):
        names = [one if isinstance(one, str) else one[0] for one in self.given]
        return names if self.works else [CPU]


@pytest.fixture
def graphics_card(monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [GPU, CPU])
    monkeypatch.setattr("onnxruntime.InferenceSession", Session)


@pytest.mark.parametrize(("device", "place"), [("auto", "cuda"), ("cuda", "cuda"), ("cuda:1", "cuda"), ("cpu", "cpu")])
def test_a_graphics_card_is_used_where_there_is_one(graphics_card, device, place):
    session = open_session(b"", device=device, where="test")
    assert device_of(session) == place
    if place == "cuda":
        settings = session.given[0][1]
        assert settings["device_id"] == (1 if device == "cuda:1" else 0)
        assert settings["cudnn_conv_algo_search"] != "EXHAUSTIVE"  # timed anew on every start
    assert session.options.use_deterministic_compute


def test_a_graphics_card_that_does_not_work_is_said(graphics_card, monkeypatch):
    monkeypatch.setattr(Session, "works", False)
    with pytest.raises(ConfigError, match="could not use the graphics card"):
        open_session(b"", device="cuda", where="test")
    assert device_of(open_session(b"", device="auto", where="test")) == "cpu"


@pytest.mark.parametrize("device", ["cuda", "mps", "gpu"])
def test_a_device_that_is_not_here_is_refused(monkeypatch, device):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [CPU])
    with pytest.raises(ConfigError, match=f"no device '{device}'"):
        open_session(b"", device=device, where="test")
