"""The networks of the multiscale heads: one branch per name, joined by name, so that their order does not matter."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from torch import Tensor, cat, nn, tensor

BRANCHES = ("centre", "subtiles", "tile")


class Residual(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """Two convolutions beside an identity or a 1 x 1 convolution, added after the second activation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_convolution(inputs, outputs), *_convolution(outputs, outputs))
        same = inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) to (b, outputs, h, w)."""
        result: Tensor = self.body(x) + self.shortcut(x)
        return result


class Trunk(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """Residual stages between maximum poolings, then averages on several grids.

    Parameters
    ----------
    width
        Channels of the first stage; each later one has twice as many.
    stages
        Number of residual stages.
    pools
        Sides of the grids on which the last stage is averaged.
    """

    def __init__(self, width: int, stages: int, pools: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_convolution(3, width)]
        for k in range(stages):
            layers += [nn.MaxPool2d(2), Residual(width << k, width << (k + 1))]
            layers += [Residual(width << (k + 1), width << (k + 1))]
        self.layers = nn.Sequential(*layers)
        self.pools = nn.ModuleList(nn.AdaptiveAvgPool2d(side) for side in pools)
        self.outputs = (width << stages) * sum(side * side for side in pools)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, h, w) to (b, outputs)."""
        maps = self.layers(x)
        return cat([pool(maps).flatten(1) for pool in self.pools], 1)


class ThreeBranches(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """A tile as a whole, the mean of the nine parts of its 3 x 3 grid, and the middle part, each by its own branch.

    Parameters
    ----------
    outputs
        Number of targets.
    width
        Channels of the first stage.
    """

    def __init__(self, outputs: int, width: int) -> None:
        super().__init__()
        self.trunks = nn.ModuleDict(
            {
                "tile": Trunk(width, 3, (1, 3)),
                "subtiles": Trunk(width, 2, (1, 2, 3)),
                "centre": Trunk(width, 2, (1, 2, 3)),
            }
        )
        size = 4 * width
        steps = {"tile": (4 * size, 2 * size, size), "subtiles": (2 * size, size), "centre": (2 * size, size)}
        self.heads = nn.ModuleDict({name: _dense(self.trunks[name].outputs, *steps[name]) for name in BRANCHES})
        self.decoder = nn.Sequential(_decoder(3 * size, (2 * size, size, size // 2)), nn.Linear(size // 2, outputs))

    def forward(self, tiles: Tensor) -> Tensor:
        """(b, 3, s, s) with s a multiple of 3, to (b, outputs)."""
        result: Tensor = self.decoder(join(self.branches(tiles)))
        return result

    def branches(self, tiles: Tensor) -> dict[str, Tensor]:
        """Compute the output of each branch, (b, size) by name."""
        b, c, side = tiles.shape[0], tiles.shape[1], tiles.shape[2] // 3
        parts = tiles.unflatten(2, (3, side)).unflatten(4, (3, side))  # (b, c, 3, s, 3, s)
        parts = parts.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (b, 9, c, s, s)
        every = self.trunks["subtiles"](parts.reshape(b * 9, c, side, side)).unflatten(0, (b, 9)).mean(1)
        seen = {"tile": self.trunks["tile"](tiles), "subtiles": every, "centre": self.trunks["centre"](parts[:, 4])}
        return {name: self.heads[name](seen[name]) for name in BRANCHES}


class BlockBranches(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """A small branch per named block of features, joined by name.

    Parameters
    ----------
    widths
        Block to its number of columns. Branches are kept under numbers in the order of the names, because torch
        allows no dots in theirs.
    hidden
        Units of each branch.
    outputs
        Number of targets.
    """

    def __init__(self, widths: Mapping[str, int], hidden: int, outputs: int) -> None:
        super().__init__()
        self.names = sorted(widths)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Linear(widths[name], hidden), nn.GELU(), nn.Dropout(0.3)) for name in self.names
        )
        joined = hidden * len(self.names)
        self.decoder = nn.Sequential(nn.Linear(joined, hidden), nn.GELU(), nn.Dropout(0.1), nn.Linear(hidden, outputs))

    def forward(self, **blocks: Tensor) -> Tensor:
        """Blocks by name, (b, d_b) each, to (b, outputs)."""
        said = {name: branch(blocks[name]) for name, branch in zip(self.names, self.branches, strict=True)}
        result: Tensor = self.decoder(join(said))
        return result


def join(branches: Mapping[str, Tensor]) -> Tensor:
    """Join (b, d) tensors in the order of their names, whatever the order they are given in."""
    return cat([branches[name] for name in sorted(branches)], 1)


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.SiLU()]


def _dense(*sizes: int) -> nn.Sequential:
    layers: list[Any] = []
    for before, after in pairwise(sizes):
        layers += [nn.Dropout(0.1), nn.Linear(before, after), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers)


def _decoder(inputs: int, sizes: tuple[int, ...]) -> nn.Sequential:
    layers: list[Any] = []
    for after in sizes:
        layers += [nn.Linear(inputs, after), nn.LeakyReLU(0.01), nn.Dropout(0.1)]
        inputs = after
    return nn.Sequential(*layers)


class RankNetwork(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """A backbone on tiles in [0, 1], followed by a sigmoid.

    Parameters
    ----------
    backbone
        Of timm; pixels reach it with `mean` taken out and divided by `deviation`.
    keep_statistics
        Whether batch normalisation keeps its statistics in training.
    """

    def __init__(
        self, backbone: Any, *, keep_statistics: bool, mean: tuple[float, ...], deviation: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.backbone, self.keep_statistics = backbone, keep_statistics
        self.register_buffer("mean", tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", tensor(deviation)[:, None, None], persistent=False)

    def forward(self, tiles: Tensor) -> Tensor:
        """(b, 3, h, w) to (b, targets) in [0, 1]."""
        found: Tensor = self.backbone((tiles - self.mean) / self.deviation).sigmoid()
        return found

    def train(self, mode: bool = True) -> "RankNetwork":
        """Set to training, but for the batch normalisation that keeps its statistics."""
        super().train(mode)
        if self.keep_statistics:
            for module in self.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


class FlipMean(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """Mean of a network's outputs over a tile and its three flips."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tiles: Tensor) -> Tensor:
        """(b, 3, h, w) to what the network gives."""
        views = [self.network(tiles.flip(axes) if axes else tiles) for axes in ((), (-1,), (-2,), (-2, -1))]
        mean: Tensor = sum(views) / len(views)
        return mean
