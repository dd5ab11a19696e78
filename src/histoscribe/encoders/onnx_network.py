"""Backend "onnx": a network in a local ONNX file, run by ONNX Runtime on the graphics card or the processor.

`[model_args]` of the card names the file's tensors: `input`, `pooled` and, where it has one, `grid`. The input is
float32 (n, 3, h, w); `pooled` (n, d) and `grid` (n, d, gh, gw).
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from histoscribe.encoders.base import RGB, Availability, Choice, Encoder, Features, check_tiles, joined
from histoscribe.encoders.batches import cpu_count, run_batches
from histoscribe.encoders.card import Card
from histoscribe.encoders.onnx_file import check_onnx_file
from histoscribe.encoders.tuning import tuned
from histoscribe.encoders.weights import availability_of_weights, find_weights, refuse_pickle
from histoscribe.errors import ConfigError, WeightsError, listing, nearest
from histoscribe.store.onnx_runtime import device_of, first_line, open_session, runtime_errors

_TENSORS = ("input", "pooled", "grid")
BATCHES = (4, 8, 16)


@dataclass(frozen=True, slots=True)
class OnnxBackend:
    """Loads networks from ONNX files."""

    def build(self, card: Card, *, device: str, precision: str) -> Encoder:
        """Load the network of a card; raises ConfigError or WeightsError."""
        if precision not in ("auto", "float32"):
            raise ConfigError(
                "an ONNX encoder runs in float32", where=f"encoder {card.name}", found=f"precision {precision!r}"
            )
        path, sha256 = find_weights(card)
        card = replace(card, sha256=sha256)
        session = _session(card, path, device)
        place = device_of(session)
        return tuned(
            lambda choice: OnnxEncoder(card, session, choice),
            [Choice(batch_size=BATCHES[0])],
            batch_sizes=BATCHES,
            kind={"backend": "onnx", "sha256": sha256, "input_px": card.input_px, "device": place},
            input_px=card.input_px,
            clock=process_time if place == "cpu" else perf_counter,
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
                fix="name the file's output for it in the card: [model_args] grid",
            )
        if len(tiles) == 0:  # the grid's size is known only from a pass
            check_tiles(tiles, self.card)
            return self.encode_grid(np.zeros((1, self.card.input_px, self.card.input_px, 3), np.uint8))[:0]
        return np.concatenate([np.moveaxis(self._checked_grid(maps), 1, 3) for maps in self._run("grid", tiles)])

    def _checked_grid(self, maps: Features) -> Features:
        if maps.ndim != 4:
            raise WeightsError(
                "the network's grid is none",
                where=f"encoder {self.card.name}",
                expected="(n, d, gh, gw)",
                found=f"shape {maps.shape}",
                fix="correct `grid` in [model_args] of the card",
            )
        return maps

    def _run(self, output: str, tiles: RGB) -> list[Features]:
        check_tiles(tiles, self.card)
        forward = partial(self._forward, self.card.model_args[output])
        workers = cpu_count() if device_of(self._session) == "cpu" else 1
        return run_batches(forward, tiles, batch_size=self.choice.batch_size, workers=workers)

    def _forward(self, output: str, batch: RGB) -> Features:
        x = np.empty((len(batch), 3, *batch.shape[1:3]), np.float32)  # (b, 3, h, w)
        for channel in range(3):
            np.multiply(batch[..., channel], self._scale[channel], out=x[:, channel])
            x[:, channel] += self._shift[channel]
        try:
            found: Features = np.asarray(self._session.run([output], {self.card.model_args["input"]: x})[0], np.float32)
        except runtime_errors() as error:
            raise WeightsError(
                "the network cannot be run on these tiles",
                where=f"encoder {self.card.name}",
                found=first_line(error),
                fix="correct `input_px` or [model_args] of the card",
            ) from error
        if found.ndim < 2 or len(found) != len(batch):
            raise WeightsError(
                "the network does not give one row per tile",
                where=f"encoder {self.card.name}",
                expected=f"{len(batch)} rows",
                found=f"shape {found.shape}",
                fix="name another output in [model_args] of the card",
            )
        return found


def _session(card: Card, path: Path, device: str) -> Any:
    _check_names(card)
    refuse_pickle(path)
    check_onnx_file(path)
    try:
        # one thread: on a processor whole batches run side by side instead, see `batches`
        session = open_session(str(path), device=device, where=f"encoder {card.name}", threads=1)
    except runtime_errors() as error:
        raise WeightsError(
            "this file is damaged or not ONNX, or needs operators that ONNX Runtime lacks",
            where=path,
            found=first_line(error),
            fix="fetch the file again",
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
                fix="correct [model_args] of the card",
            )
    for tensor in session.get_inputs():
        if tensor.name == card.model_args["input"]:
            _check_input(card, tensor, path)


def _check_input(card: Card, tensor: Any, path: Path) -> None:
    """Refuse a network that declares tiles of another size; an axis with a name in place of a number takes any size."""
    side, shape = card.input_px, list(tensor.shape)
    axes = zip(shape[1:], (3, side, side), strict=False)
    if tensor.type != "tensor(float)" or len(shape) != 4 or any(isinstance(n, int) and n != m for n, m in axes):
        raise WeightsError(
            "the network takes other tiles than the card says",
            where=path,
            expected=f"float32 (n, 3, {side}, {side}), as `input_px` says",
            found=f"{tensor.type} {shape}",
            fix="correct `input_px` of the card",
        )
