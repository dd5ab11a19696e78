"""Backend "onnx": a network in a local ONNX file, run by ONNX Runtime on the processor.

`[model_args]` of the card names the file's tensors: `input`, `pooled` and, where it has one, `grid`. The input is
float32 (n, 3, h, w); `pooled` (n, d) and `grid` (n, d, gh, gw).
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from histoscribe.encoders.base import RGB, Availability, Choice, Encoder, Features, check_tiles, joined
from histoscribe.encoders.batches import cpu_count, run_batches
from histoscribe.encoders.card import Card
from histoscribe.encoders.tuning import tuned
from histoscribe.encoders.weights import availability_of_weights, find_weights, refuse_pickle
from histoscribe.errors import ConfigError, WeightsError, listing, nearest

_TENSORS = ("input", "pooled", "grid")
BATCHES = (4, 8, 16)


@dataclass(frozen=True, slots=True)
class OnnxBackend:
    """Loads networks from ONNX files."""

    def build(self, card: Card, *, device: str, precision: str) -> Encoder:
        """Load the network of a card; raises ConfigError or WeightsError."""
        if device not in ("auto", "cpu") or precision not in ("auto", "float32"):
            raise ConfigError(
                "an ONNX encoder runs on the processor in float32",
                where=f"encoder {card.name}",
                found=f"device {device!r}, precision {precision!r}",
            )
        path, sha256 = find_weights(card)
        card = replace(card, sha256=sha256)
        session = _session(card, path)
        return tuned(
            lambda choice: OnnxEncoder(card, session, choice),
            [Choice(batch_size=BATCHES[0])],
            batch_sizes=BATCHES,
            kind={"backend": "onnx", "sha256": sha256, "input_px": card.input_px},
            input_px=card.input_px,
            clock=process_time,
        )

    def availability(self, card: Card) -> Availability:
        """Say whether the file is on this machine."""
        return availability_of_weights(card)


BACKEND = OnnxBackend()


class OnnxEncoder:
    """A network in an ONNX file."""

    def __init__(self, card: Card, session: Any, choice: Choice) -> None:
        self.card = card
        self.choice = choice
        self._session = session
        std = np.array(card.std, np.float32)
        self._scale = 1 / (255 * std)  # (3,)
        self._shift = -np.array(card.mean, np.float32) / std  # (3,)

    def with_choice(self, choice: Choice) -> "OnnxEncoder":
        """Return the same network, run with another batch size."""
        return OnnxEncoder(self.card, self._session, choice)

    def encode(self, tiles: RGB) -> Features:
        """Pooled features, (n, dimension) float32; see `Encoder`."""
        pooled = self._run("pooled", tiles)
        return joined(pooled, self.card)

    def encode_grid(self, tiles: RGB) -> Features:
        """Features on the network's grid, (n, gh, gw, d) float32; see `Encoder`."""
        if "grid" not in self.card.model_args:
            raise ConfigError(
                "this encoder gives no grid of features",
                where=f"encoder {self.card.name}",
                mend="name the file's output for it in the card: [model_args] grid",
            )
        if len(tiles) == 0:  # the grid's size is known only from a pass
            check_tiles(tiles, self.card)
            return self.encode_grid(np.zeros((1, self.card.input_px, self.card.input_px, 3), np.uint8))[:0]
        return np.concatenate([np.moveaxis(maps, 1, 3) for maps in self._run("grid", tiles)])

    def _run(self, output: str, tiles: RGB) -> list[Features]:
        check_tiles(tiles, self.card)
        forward = partial(self._forward, self.card.model_args[output])
        return run_batches(forward, tiles, batch_size=self.choice.batch_size, workers=cpu_count())

    def _forward(self, output: str, batch: RGB) -> Features:
        x = np.empty((len(batch), 3, *batch.shape[1:3]), np.float32)  # (b, 3, h, w)
        for channel in range(3):
            np.multiply(batch[..., channel], self._scale[channel], out=x[:, channel])
            x[:, channel] += self._shift[channel]
        features: Features = self._session.run([output], {self.card.model_args["input"]: x})[0]
        return features


def _session(card: Card, path: Path) -> Any:
    import onnxruntime

    _check_names(card)
    refuse_pickle(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # whole batches run side by side instead: see `batches`
    options.inter_op_num_threads = 1
    errors = onnxruntime.capi.onnxruntime_pybind11_state
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (errors.InvalidProtobuf, errors.Fail, errors.InvalidGraph, errors.NotImplemented) as error:
        raise WeightsError(
            "this file is damaged or not ONNX", where=path, found=error, mend="fetch the file again"
        ) from error
    _check_tensors(card, session, path)
    return session


def _check_names(card: Card) -> None:
    unknown = card.model_args.keys() - set(_TENSORS)
    missing = {"input", "pooled"} - card.model_args.keys()
    problems = [f"unknown `{key}` ({nearest(key, _TENSORS)})" for key in sorted(unknown)]
    problems += [f"`{key}` is missing" for key in sorted(missing)]
    if problems:
        raise ConfigError("; ".join(problems), where=f"encoder {card.name}, [model_args]")


def _check_tensors(card: Card, session: Any, path: Path) -> None:
    there = {
        "input": [tensor.name for tensor in session.get_inputs()],
        "pooled": [tensor.name for tensor in session.get_outputs()],
    }
    there["grid"] = there["pooled"]
    for key, name in card.model_args.items():
        if name not in there[key]:
            raise WeightsError(
                f"this file has no tensor {name!r}, which the card names as `{key}`",
                where=path,
                found=listing(there[key]),
                mend="correct [model_args] of the card",
            )
