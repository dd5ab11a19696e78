"""Backend "timm": any network that timm knows, with weights from a safetensors file."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from histoscribe.encoders.architecture import make_network
from histoscribe.encoders.base import RGB, Availability, Choice, Encoder, Features, check_tiles, joined
from histoscribe.encoders.batches import cpu_count, run_batches
from histoscribe.encoders.card import Card
from histoscribe.encoders.tuning import tuned
from histoscribe.encoders.weights import availability_of_weights, count_weights, find_weights, read_weights
from histoscribe.errors import ConfigError
from histoscribe.numerics.device import device_in_use

# tiles that go through together: few on a processor, where they then stay in its cache; many on a graphics card
CPU_BATCHES = (4, 8, 16)
GPU_BATCHES = (64, 128, 256)


@dataclass(frozen=True, slots=True)
class TimmBackend:
    """Loads networks of timm."""

    def build(self, card: Card, *, device: str, precision: str) -> Encoder:
        """Load the network of a card; raises ConfigError or WeightsError."""
        device = device_in_use(device, where=f"encoder {card.name}")
        path, sha256 = find_weights(card)
        card = replace(card, sha256=sha256)
        network = _network(card, path)
        kind = {"backend": "timm", "model": card.model, "input_px": card.input_px, "args": card.model_args}
        return tuned(
            lambda choice: TimmEncoder(card, path, device, choice, network),
            _ways(device, precision),
            batch_sizes=CPU_BATCHES if device == "cpu" else GPU_BATCHES,
            kind=kind | {"device": device, "precision": precision},
            input_px=card.input_px,
            clock=process_time if device == "cpu" else perf_counter,
        )

    def availability(self, card: Card) -> Availability:
        """Say whether the weights are on this machine."""
        return availability_of_weights(card)


BACKEND = TimmBackend()


class TimmEncoder:
    """A network of timm without its classifier, in evaluation mode."""

    def __init__(self, card: Card, path: Path, device: str, choice: Choice, network: Any = None) -> None:
        import torch

        self.card = card
        self.choice = choice
        self.device = device
        self._path = path
        self._dtype = getattr(torch, choice.precision)
        self._layout = torch.channels_last if choice.channels_last else torch.contiguous_format
        network = _network(card, path) if network is None else _copied(network)
        self._network = network.to(device=device, dtype=self._dtype, memory_format=self._layout)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (card.mean, card.std))
        self._scale = (1 / (255 * std)).to(device)
        self._shift = (-mean / std).to(device)

    def with_choice(self, choice: Choice) -> "TimmEncoder":
        """Load the same network again, run in another way."""
        return TimmEncoder(self.card, self._path, self.device, choice)

    def encode(self, tiles: RGB) -> Features:
        """Pooled features, (n, dimension) float32; see `Encoder`."""
        pooled = self._run(self._pooled, tiles)
        return joined(pooled, self.card)

    def encode_grid(self, tiles: RGB) -> Features:
        """Features on the network's last grid, (n, gh, gw, d) float32; see `Encoder`."""
        if len(tiles) == 0:  # the grid's size is known only from a pass
            empty = np.zeros((1, self.card.input_px, self.card.input_px, 3), np.uint8)
            check_tiles(tiles, self.card)
            return self.encode_grid(empty)[:0]
        return np.concatenate(self._run(self._grid, tiles))

    def _run(self, output: Callable[[Any], Any], tiles: RGB) -> list[Features]:
        import torch

        check_tiles(tiles, self.card)
        alone = self.device == "cpu"
        threads = torch.get_num_threads()
        function = partial(self._forward, output, one_thread=alone)
        try:
            return run_batches(
                function,
                tiles,
                batch_size=self.choice.batch_size,
                workers=cpu_count() if alone else 1,
                out_of_memory=(MemoryError, torch.OutOfMemoryError),
            )
        finally:
            torch.set_num_threads(threads)

    def _forward(self, output: Callable[[Any], Any], batch: RGB, *, one_thread: bool) -> Features:
        import torch

        if one_thread:
            torch.set_num_threads(1)
        with torch.inference_mode():
            x = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device)  # (b, h, w, 3)
            x = x.permute(0, 3, 1, 2).to(torch.float32)  # (b, 3, h, w), channels last in memory
            x = torch.addcmul(self._shift, x, self._scale)
            x = x.to(dtype=self._dtype).contiguous(memory_format=self._layout)
            features: Features = output(x).float().cpu().numpy()
        return features

    def _pooled(self, x: Any) -> Any:
        if self.card.pooling == "network":
            return self._network(x)
        import torch

        tokens = self._network.forward_features(x)  # (b, t, d)
        prefix = _prefix_tokens(self._network, self.card)
        parts = {"cls": tokens[:, 0], "avg": tokens[:, prefix:].float().mean(dim=1)}
        return torch.cat([parts[name].float() for name in self.card.pooling.split("+")], dim=1)

    def _grid(self, x: Any) -> Any:
        maps = self._network.forward_features(x)
        if maps.ndim == 3:  # (b, t, d): leave out class and register tokens
            side_h, side_w = _token_grid(self._network, x)
            return maps[:, -side_h * side_w :].unflatten(1, (side_h, side_w))
        if maps.ndim != 4:
            raise ConfigError("this network gives no grid of features", where=f"encoder {self.card.name}")
        channels_last = getattr(self._network, "output_fmt", "NCHW") == "NHWC"
        return maps if channels_last else maps.permute(0, 2, 3, 1)


def _copied(network: Any) -> Any:
    from copy import deepcopy

    return deepcopy(network)


def _ways(device: str, precision: str) -> list[Choice]:
    """Precisions and layouts to try, plainest first."""
    ways = [("float32", False), ("float32", True), ("bfloat16", False), ("bfloat16", True)]
    if device == "mps":  # bfloat16 is emulated there
        ways = ways[:1]
    wanted = [way for way in ways if precision in ("auto", way[0])]
    if not wanted:
        raise ConfigError(f"there is no {precision} on {device}", fix="use --precision float32")
    size = (CPU_BATCHES if device == "cpu" else GPU_BATCHES)[0]
    return [Choice(name, last, size) for name, last in wanted]


def _network(card: Card, path: Path) -> Any:
    """Make the network, load its weights strictly, take its classifier off."""
    where = f"encoder {card.name}, {path.name}"
    arguments = dict(card.model_args)
    classes = int(arguments.pop("num_classes", 0))
    network = make_network(
        card.model,
        arguments,
        where=where,
        n_outputs=classes,
        n_numbers=count_weights(path),
        weights=partial(read_weights, path),
    )
    if classes:
        network.reset_classifier(0)
    return network.eval().requires_grad_(False)


def _prefix_tokens(network: Any, card: Card) -> int:
    if not hasattr(network, "num_prefix_tokens"):
        raise ConfigError(
            f"`pooling` {card.pooling!r} needs a transformer", where=f"encoder {card.name}", fix='use "network"'
        )
    return int(network.num_prefix_tokens)


def _token_grid(network: Any, x: Any) -> tuple[int, int]:
    patch_h, patch_w = network.patch_embed.patch_size
    return int(x.shape[2]) // int(patch_h), int(x.shape[3]) // int(patch_w)
