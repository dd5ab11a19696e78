"""Settings of EfNST, under the names that its paper and its program use."""

from dataclasses import asdict, dataclass
from typing import Any

from histoscribe.errors import ConfigError
from histoscribe.numerics.device import DEVICES


@dataclass(frozen=True, slots=True)
class EfnstSettings:
    """Settings of EfNST (Zhao et al. 2024, Communications Biology).

    Parameters
    ----------
    pca_n_comps
        Principal components of each feature block that the network is given; the published program takes 200.
    neighbour_k
        How many spots lend a spot their features: the most similar ones within three pitches; 0 for none.
    strength
        Weight of what they add, the spot itself having 1.
    linear_encoder_hidden, conv_hidden, linear_decoder_hidden
        Widths of the layers. The embedding holds the last of the first two side by side.
    mask_rate
        Share of the inputs that is hidden in training and must be restored.
    pre_epochs, epochs
        Passes over all spots before and during the refinement of the clusters.
    mse_weight, bce_kld_weight, kl_weight, domain_weight
        Weights of four losses: of restoring the input, of the graph autoencoder, of the clusters' refinement, and of
        the adversary that must not be able to distinguish sections (several sections only).
    alpha
        Degrees of freedom of the Student's t in the soft assignment to clusters.
    stride
        Epochs of refinement between two updates of its target.
    learning_rate, weight_decay, grad_down
        Of Adam; `grad_down` is the largest norm of a gradient.
    batch_spots
        Spots in one step of training; a section with fewer is taken whole.
    device
        "auto" (a graphics card where there is one), "cpu", "cuda", "cuda:1" or "mps". Only the CPU gives the same bytes
        every time.

    Raises
    ------
    ConfigError
        Impossible values; the message names all of them.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.domains.efnst import efnst
    >>> from histoscribe.domains.efnst_settings import EfnstSettings
    >>> from histoscribe.graph.lattice import lattice_graph
    >>> row, column = (axis.ravel() for axis in np.mgrid[:12, :12])
    >>> xy_um = 200.0 * np.column_stack([column, row])
    >>> graph = lattice_graph(xy_um, kind="square", pitch_um=200.0)
    >>> level = np.where(row[:, None] < 7, np.arange(1, 31), np.arange(30, 0, -1))  # 30 genes in two layers
    >>> counts = np.random.default_rng(0).poisson(level)
    >>> settings = EfnstSettings(pre_epochs=30, epochs=10)
    >>> found = efnst({"counts": counts}, graph=graph, xy_um=xy_um, n_domains=2, seed=0, settings=settings)
    >>> found.labels.reshape(12, 12)[:, 0]
    array([1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2])
    """

    pca_n_comps: int = 50
    neighbour_k: int = 4
    strength: float = 0.2
    linear_encoder_hidden: tuple[int, ...] = (32, 20)
    conv_hidden: tuple[int, int] = (64, 8)
    linear_decoder_hidden: tuple[int, ...] = (32,)
    mask_rate: float = 0.2
    pre_epochs: int = 100
    epochs: int = 40
    mse_weight: float = 10.0
    bce_kld_weight: float = 0.1
    kl_weight: float = 1.0
    domain_weight: float = 0.0
    alpha: float = 0.8
    stride: int = 10
    learning_rate: float = 6e-3
    weight_decay: float = 1e-4
    grad_down: float = 5.0
    batch_spots: int = 4096
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        counted = ("pca_n_comps", "stride", "batch_spots")
        weights = ("strength", "mse_weight", "bce_kld_weight", "kl_weight", "domain_weight", "weight_decay")
        least = dict.fromkeys(counted, 1) | dict.fromkeys(("neighbour_k", "pre_epochs", "epochs", *weights), 0)
        problems = [
            f"`{name}` must be {lowest} or more, not {getattr(self, name)}"
            for name, lowest in least.items()
            if not getattr(self, name) >= lowest
        ]
        for name in ("alpha", "learning_rate", "grad_down"):
            if not getattr(self, name) > 0:
                problems.append(f"`{name}` must be positive, not {getattr(self, name)}")
        if not 0 <= self.mask_rate < 1:
            problems.append(f"`mask_rate` must be at least 0 and below 1, not {self.mask_rate}")
        widths = (*self.linear_encoder_hidden, *self.conv_hidden, *self.linear_decoder_hidden)
        if not self.linear_encoder_hidden or len(self.conv_hidden) != 2 or min(widths) < 1:
            problems.append("layers need widths of 1 or more: one or more in the encoder, two in the graph part")
        if self.device.partition(":")[0] not in DEVICES:
            problems.append(f"`device` must be one of {', '.join(DEVICES)}, not {self.device!r}")
        if problems:
            raise ConfigError("; ".join(problems), where="efnst")

    def to_dict(self) -> dict[str, Any]:
        """All settings, fit for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
