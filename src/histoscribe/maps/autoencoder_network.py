"""A fully convolutional autoencoder with image and gene channels from one decoder, and a smooth field over space.

The network knows neither the picture's size nor a pixel's place: its output at a pixel depends on the pixels within
`HALO_PX` alone, so that a picture may be cut into windows anywhere. What cannot be seen is left to the field: cubic
B-splines of several spacings. A Gaussian prior keeps their weights small, so that far from spots the field returns to
the mean. Nothing is normalised over a window; otherwise a result would depend on how the picture is cut.
"""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

REDUCTION = 8  # pixels to a place of the latent grid
HALO_PX = 48  # at least the network's receptive field beyond a pixel, a multiple of REDUCTION
LATENT = 64
_WIDTHS = (24, 48, LATENT)
_FIRST = 2  # pixels on a side that the first layer takes together


class Read(NamedTuple):
    """What the network makes of windows (b, 3, h, w).

    `image` of the same shape within 0 and 1, `genes` (b, r, h, w) of any sign, `latent` (b, LATENT, h / 8, w / 8).
    """

    image: torch.Tensor
    genes: torch.Tensor
    latent: torch.Tensor


class Autoencoder(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """Encoder, latent grid and one decoder for image and genes.

    Parameters
    ----------
    channels
        Gene channels.
    mean, scale
        (3,) of the tissue's pixels within 0 and 1, by which the input is standardised.
    """

    def __init__(self, channels: int, *, mean: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.reshape(1, 3, 1, 1))
        self.register_buffer("scale", scale.reshape(1, 3, 1, 1))
        a, b, c = _WIDTHS
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(_FIRST),
            *_step(3 * _FIRST**2, a),
            *_step(a, b, stride=2),
            *_step(b, c, stride=2),
        )
        self.context = nn.ModuleList([_conv(c, c, dilation=k) for k in (1, 2)])
        self.decoder = nn.Sequential(
            nn.Upsample(scale_factor=2), *_step(c, b), nn.Upsample(scale_factor=2), *_step(b, a)
        )
        self.image_head = nn.Conv2d(a, 3 * _FIRST**2, 1)
        self.gene_head = nn.Conv2d(a, channels * _FIRST**2, 1)
        nn.init.zeros_(self.gene_head.weight)  # at first every place is like the mean
        nn.init.zeros_(self.gene_head.bias)

    def encode(self, window: torch.Tensor) -> torch.Tensor:
        """Latent grid (b, LATENT, h / 8, w / 8) of windows (b, 3, h, w) within 0 and 1."""
        latent = self.encoder((window - self.mean) / self.scale)
        for conv in self.context:
            latent = latent + functional.gelu(conv(latent))
        return latent

    def forward(self, window: torch.Tensor) -> Read:
        """Read windows (b, 3, h, w) within 0 and 1; both sides are multiples of `REDUCTION`."""
        latent = self.encode(window)
        decoded = self.decoder(latent)
        image = torch.sigmoid(functional.pixel_shuffle(self.image_head(decoded), _FIRST))
        return Read(image, functional.pixel_shuffle(self.gene_head(decoded), _FIRST), latent)


class SpaceField(nn.Module):  # type: ignore[misc]
    """A smooth field for every gene channel: cubic B-splines on square lattices of several spacings.

    Parameters
    ----------
    channels
        Gene channels.
    extent_um
        (height, width) of the grid.
    spacing_um
        Of the lattices.
    """

    def __init__(self, channels: int, *, extent_um: tuple[float, float], spacing_um: Sequence[float]) -> None:
        super().__init__()
        self.spacing_um = tuple(spacing_um)
        shapes = [[ceil(side / s) + 3 for side in extent_um] for s in self.spacing_um]  # one node beyond each border
        self.nodes = nn.ParameterList([nn.Parameter(torch.zeros(channels, *shape)) for shape in shapes])
        self.level = nn.Parameter(torch.zeros(channels))

    def forward(self, x_um: torch.Tensor, y_um: torch.Tensor) -> torch.Tensor:
        """Return the field at columns (w,) and rows (h,), (r, h, w)."""
        found = self.level[:, None, None]
        for spacing, nodes in zip(self.spacing_um, self.nodes, strict=True):
            down, across = (
                _spline(place / spacing, count) for place, count in ((y_um, nodes.shape[1]), (x_um, nodes.shape[2]))
            )
            found = found + down @ nodes @ across.T
        return found

    def at(self, xy_um: torch.Tensor) -> torch.Tensor:
        """Return the field at places (n, 2), x before y: (r, n)."""
        found = self.level[:, None]
        for spacing, nodes in zip(self.spacing_um, self.nodes, strict=True):
            across = _spline(xy_um[:, 0] / spacing, nodes.shape[2])
            down = _spline(xy_um[:, 1] / spacing, nodes.shape[1])
            found = found + ((nodes @ across.T) * down.T).sum(dim=1)  # (r, n)
        return found

    def roughness(self) -> torch.Tensor:
        """Sum of squares of the weights, finer lattices counting more as their share of the variance is smaller."""
        coarsest = max(self.spacing_um)
        return sum((nodes**2).sum() * coarsest / s for s, nodes in zip(self.spacing_um, self.nodes, strict=True))


def activity(genes: torch.Tensor, field: torch.Tensor, fold: int) -> torch.Tensor:
    """Activity of the gene channels in cells, (r, h / fold, w / fold), never negative: about 1 at the mean.

    Parameters
    ----------
    genes
        (r, h, w) of the decoder.
    field
        (r, h / fold, w / fold).
    """
    pooled = functional.avg_pool2d(genes[None], fold)[0] if fold > 1 else genes
    return positive(pooled + field)


def positive(value: torch.Tensor) -> torch.Tensor:
    """Softplus, moved so that 0 becomes 1."""
    return functional.softplus(value + _AT_ONE)


_AT_ONE = 0.5413248546129181  # ln(e - 1), where softplus is 1


def _step(width_in: int, width_out: int, *, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return _conv(width_in, width_out, stride=stride), nn.GELU()


def _conv(width_in: int, width_out: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(width_in, width_out, 3, stride=stride, padding=dilation, dilation=dilation)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    nn.init.zeros_(conv.bias)
    return conv


def _spline(place: torch.Tensor, count: int) -> torch.Tensor:
    """Cubic B-splines about nodes -1, 0, 1, ... at places in units of the spacing: (m, count)."""
    node = torch.arange(count, dtype=place.dtype, device=place.device) - 1
    distance = (place[:, None] - node).abs()
    near = 2 / 3 - distance**2 * (1 - distance / 2)
    far = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far)
