"""The networks of EfNST: a denoising autoencoder and a variational graph autoencoder that share an encoder.

Where the published program differs from its paper, this one follows the paper: the decoder ends in a linear layer
because its output has both signs, edges are scored by logits, and the gates of the graph layer use every edge once.
"""

from typing import Any, NamedTuple

import torch
from torch import nn

from histoscribe.domains.efnst_settings import EfnstSettings

_HIDDEN_OF_ADVERSARY = 32


class Encoded(NamedTuple):
    """What the encoder makes of spots: `feature` (n, f), `mean` and `log_sd` (n, g) of the graph part."""

    feature: torch.Tensor
    mean: torch.Tensor
    log_sd: torch.Tensor


class GatedGraphConv(nn.Module):  # type: ignore[misc]
    """Residual gated graph convolution (Bresson and Laurent 2017, arXiv:1711.07553, equations 11 and 12).

    h_i' = A h_i + mean over neighbours j of sigmoid(B h_i + C h_j) * (D h_j). The mean stands where the paper has a
    sum, so that spots at the rim of the tissue do not stand out by having few neighbours.
    """

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.own, self.towards, self.away, self.value = (_linear(width_in, width_out) for _ in range(4))

    def forward(self, h: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Convolve h (n, width_in) along edges from `source` to `target`, (e,) each; (n, width_out)."""
        gate = torch.sigmoid(self.towards(h).index_select(0, target) + self.away(h).index_select(0, source))
        message = gate * self.value(h).index_select(0, source)  # (e, width_out)
        own = self.own(h)
        total = torch.zeros_like(own).index_add(0, target, message)
        degree = torch.zeros_like(own[:, :1]).index_add(0, target, torch.ones_like(message[:, :1]))
        return own + total / degree.clamp(min=1)


class EfnstNetwork(nn.Module):  # type: ignore[misc]
    """Encoder, graph part, decoder and, for several sections, the adversary.

    Parameters
    ----------
    width
        Features of a spot.
    n_sections
        How many sections the adversary classifies; with one there is no adversary.
    """

    def __init__(self, width: int, *, settings: EfnstSettings, n_sections: int = 1) -> None:
        super().__init__()
        encoder, (hidden, latent) = settings.linear_encoder_hidden, settings.conv_hidden
        self.encoder = _blocks(width, encoder)
        self.conv = GatedGraphConv(encoder[-1], hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.mean = GatedGraphConv(hidden, latent)
        self.log_sd = GatedGraphConv(hidden, latent)
        joined = encoder[-1] + latent
        decoder = settings.linear_decoder_hidden
        self.decoder = nn.Sequential(_blocks(joined, decoder), _linear((joined, *decoder)[-1], width))
        self.adversary = (
            nn.Sequential(_linear(joined, _HIDDEN_OF_ADVERSARY), nn.ELU(), _linear(_HIDDEN_OF_ADVERSARY, n_sections))
            if n_sections > 1
            else None
        )

    def encode(self, x: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> Encoded:
        """Encode spots x (n, width) with the edges among them."""
        feature = self.encoder(x)
        hidden = torch.relu(self.norm(self.conv(feature, source, target)))
        # a bounded logarithm: one large step must not end in infinity
        log_sd = self.log_sd(hidden, source, target).clamp(-8.0, 4.0)
        return Encoded(feature, self.mean(hidden, source, target), log_sd)


def build_network(width: int, *, settings: EfnstSettings, n_sections: int, generator: torch.Generator) -> EfnstNetwork:
    """Make a network with initial weights from `generator` alone (Glorot and Bengio 2010)."""
    network = EfnstNetwork(width, settings=settings, n_sections=n_sections)
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
    return network


def edge_logits(z: torch.Tensor, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
    """Inner product of each pair, (pairs,): the logit that it is an edge (Kipf and Welling 2016)."""
    return (z.index_select(0, i) * z.index_select(0, j)).sum(dim=1)


def divergence(mean: torch.Tensor, log_sd: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence of N(mean, sd^2) from N(0, 1), summed over dimensions, mean over spots."""
    return -0.5 * (1 + 2 * log_sd - mean**2 - torch.exp(2 * log_sd)).sum(dim=1).mean()


def soft_assignment(z: torch.Tensor, centres: torch.Tensor, *, alpha: float) -> torch.Tensor:
    """Student's t between embeddings (n, d) and centres (k, d), rows adding up to 1 (Xie et al. 2016, equation 1)."""
    squared = (z**2).sum(dim=1, keepdim=True) - 2 * z @ centres.T + (centres**2).sum(dim=1)  # (n, k)
    q = (1 + squared.clamp(min=0) / alpha) ** (-(alpha + 1) / 2)
    return q / q.sum(dim=1, keepdim=True)


def target_distribution(q: torch.Tensor) -> torch.Tensor:
    """Sharpen a soft assignment, with each cluster's size taken out (Xie et al. 2016, equation 3)."""
    weight = q**2 / q.sum(dim=0)
    return weight / weight.sum(dim=1, keepdim=True)


def reversed_gradient(z: torch.Tensor) -> torch.Tensor:
    """Return z unchanged, with the sign of its gradient reversed (Ganin and Lempitsky 2015)."""
    return 2 * z.detach() - z


def _blocks(width: int, hidden: tuple[int, ...]) -> Any:
    layers: list[nn.Module] = []
    for before, after in zip((width, *hidden), hidden, strict=False):
        layers += [_linear(before, after), nn.BatchNorm1d(after), nn.ELU()]
    return nn.Sequential(*layers)


def _linear(width_in: int, width_out: int) -> Any:
    # left uninitialised: the usual first values would draw from, and change, torch's global generator
    return nn.utils.skip_init(nn.Linear, width_in, width_out)
