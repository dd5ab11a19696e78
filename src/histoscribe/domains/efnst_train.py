"""EfNST's training: restore hidden inputs, predict the edges between neighbours, then sharpen the clusters."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch.nn import functional

from histoscribe.domains import efnst_network as parts
from histoscribe.domains.efnst_batches import Batch, Neighbourhoods
from histoscribe.domains.efnst_settings import EfnstSettings
from histoscribe.numerics.device import device_in_use

# pairs of spots that are no neighbours, drawn for each pair that is; their loss is weighed so that both count alike
_NEGATIVES = 2


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """Embedding of all spots, and the final losses.

    Parameters
    ----------
    embedding
        (n, f + g) float64: features of the spots beside those of their neighbourhoods.
    losses
        Mean of each loss in the last epoch, by name.
    """

    embedding: NDArray[np.float64]
    losses: dict[str, float]


class Trainer:
    """One network on one graph; train it with `pretrain`, then `refine`.

    Parameters
    ----------
    X
        (n, d) features, of variance about 1 a column in what matters.
    graph
        Spatial neighbours, (n, n), symmetric.
    xy_um
        (n, 2).
    section
        (n,) which section each spot belongs to, from 0.
    settings, seed
        The same settings, seed and data give the same bytes on the CPU.
    """

    def __init__(
        self,
        X: NDArray[np.float64],
        *,
        graph: sparse.csr_matrix,
        xy_um: NDArray[np.float64],
        section: NDArray[np.intp],
        settings: EfnstSettings,
        seed: int,
    ) -> None:
        self.settings = settings
        self.device = device_in_use(settings.device, where="efnst")
        self._device = torch.device(self.device)
        # drawn on the CPU whatever the device, so that every device is given the same numbers
        self._draw = torch.Generator().manual_seed(seed)
        self._order = np.random.default_rng(seed)
        n_sections = int(section.max()) + 1
        adversary = n_sections if settings.domain_weight > 0 else 1
        self._network = parts.build_network(
            X.shape[1], settings=settings, n_sections=adversary, generator=self._draw
        ).to(self._device)
        self._X = torch.from_numpy(np.ascontiguousarray(X, np.float32))
        self._section = torch.from_numpy(section.astype(np.int64))
        # so that the adversary does not simply guess the section with most spots
        self._rarity = (len(section) / (n_sections * torch.bincount(self._section))).float()
        self._neighbourhoods = Neighbourhoods(graph, xy_um, batch_spots=settings.batch_spots)

    def pretrain(self) -> Trained:
        """Train both autoencoders for `pre_epochs`."""
        with one_thread():
            optimiser = self._optimiser([])
            losses: dict[str, float] = {}
            for _ in range(self.settings.pre_epochs):
                losses = self._epoch(optimiser)
            return Trained(self._embedding().double().numpy(), losses)

    def refine(self, centres: NDArray[np.float64]) -> Trained:
        """Train on for `epochs` while clusters are pulled together (deep embedded clustering, Xie et al. 2016).

        Parameters
        ----------
        centres
            (k, f + g) where the clusters' centres are at first.
        """
        with one_thread():
            moving = torch.nn.Parameter(torch.from_numpy(np.asarray(centres, np.float32)).to(self._device))
            optimiser = self._optimiser([moving])
            losses: dict[str, float] = {}
            target = None
            for epoch in range(self.settings.epochs):
                if epoch % self.settings.stride == 0:
                    target = parts.target_distribution(self._assignment(moving))
                losses = self._epoch(optimiser, moving, target)
            return Trained(self._embedding().double().numpy(), losses)

    def _optimiser(self, further: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        settings = self.settings
        return torch.optim.Adam(
            [*self._network.parameters(), *further],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    def _epoch(
        self,
        optimiser: torch.optim.Optimizer,
        centres: torch.nn.Parameter | None = None,
        target: torch.Tensor | None = None,
    ) -> dict[str, float]:
        self._network.train()
        sums: dict[str, float] = {}
        n_batches = 0
        for batch in self._neighbourhoods.epoch(self._order):
            losses, z = self._losses(batch)
            if centres is not None and target is not None:
                q = parts.soft_assignment(z, centres, alpha=self.settings.alpha)
                p = target[torch.from_numpy(batch.rows[: batch.n_core])].to(self._device)
                losses["kl"] = self.settings.kl_weight * functional.kl_div(q.log(), p, reduction="batchmean")
            optimiser.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            for group in optimiser.param_groups:
                torch.nn.utils.clip_grad_norm_(group["params"], self.settings.grad_down)
            optimiser.step()
            n_batches += 1
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
        return {name: round(total / n_batches, 6) for name, total in sums.items()}

    def _losses(self, batch: Batch) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Weighed losses of a batch, and the embedding of its core, (n_core, f + g)."""
        settings, core = self.settings, batch.n_core
        x, source, target = self._tensors(batch)
        kept = torch.rand(x.shape, generator=self._draw) >= settings.mask_rate
        encoded = self._network.encode(x * kept.to(self._device), source, target)
        noise = torch.randn(encoded.mean.shape, generator=self._draw).to(self._device)
        latent = encoded.mean + noise * encoded.log_sd.exp()
        z = torch.cat([encoded.feature, latent], dim=1)[:core]
        restored = self._network.decoder(z)
        losses = {
            "mse": settings.mse_weight * functional.mse_loss(restored, x[:core]),
            "bce": settings.bce_kld_weight * self._edge_loss(latent, source, target, core),
            "kld": settings.bce_kld_weight * parts.divergence(encoded.mean[:core], encoded.log_sd[:core]),
        }
        if self._network.adversary is not None:
            guessed = self._network.adversary(parts.reversed_gradient(z))
            section = self._section[torch.from_numpy(batch.rows[:core])].to(self._device)
            losses["domain"] = settings.domain_weight * functional.cross_entropy(
                guessed, section, weight=self._rarity.to(self._device)
            )
        return losses, torch.cat([encoded.feature, encoded.mean], dim=1)[:core]

    def _edge_loss(self, latent: torch.Tensor, source: torch.Tensor, target: torch.Tensor, core: int) -> torch.Tensor:
        """Cross entropy of neighbours, logit up, and of random pairs, logit down; both kinds count alike."""
        counted = target < core
        positive = parts.edge_logits(latent, source[counted], target[counted])
        pairs = torch.randint(core, (2, _NEGATIVES * len(positive)), generator=self._draw).to(self._device)
        logits = torch.cat([positive, parts.edge_logits(latent, pairs[0], pairs[1])])
        truth = torch.cat([torch.ones_like(positive), torch.zeros(pairs.shape[1], device=self._device)])
        weight = torch.tensor(float(_NEGATIVES), device=self._device)
        return functional.binary_cross_entropy_with_logits(logits, truth, pos_weight=weight)

    def _tensors(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows, source, target = (torch.from_numpy(a) for a in (batch.rows, batch.source, batch.target))
        return self._X[rows].to(self._device), source.to(self._device), target.to(self._device)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _embedding(self) -> torch.Tensor:
        """Embedding of all spots with nothing hidden and no noise, (n, f + g) on the CPU."""
        self._network.eval()
        rows, found = [], []
        for batch in self._neighbourhoods.epoch():
            encoded = self._network.encode(*self._tensors(batch))
            found.append(torch.cat([encoded.feature, encoded.mean], dim=1)[: batch.n_core].cpu())
            rows.append(batch.rows[: batch.n_core])
        back = np.argsort(np.concatenate(rows))
        return torch.cat(found)[torch.from_numpy(back)]

    def _assignment(self, centres: torch.nn.Parameter) -> torch.Tensor:
        return parts.soft_assignment(self._embedding(), centres.detach().cpu(), alpha=self.settings.alpha).clone()


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread, so that sums are always added up in the same order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
