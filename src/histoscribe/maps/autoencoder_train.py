"""Training of the autoencoder: first on the picture alone, then on the picture and the spots' footprints together.

Every step sees one window of the picture, turned and mirrored by chance, and the spots that lie wholly in it. An
average of the latest weights is judged on held-out spots now and then; the weights that foretold them best are kept.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from histoscribe.maps.autoencoder_ground import (
    SPOTS_AT_ONCE,
    Ground,
    Window,
    pixel_tensor,
    spots_within,
    window_by_chance,
)
from histoscribe.maps.autoencoder_loss import dissimilarity, unevenness
from histoscribe.maps.autoencoder_network import HALO_PX, REDUCTION, Autoencoder, SpaceField, activity, positive
from histoscribe.maps.autoencoder_picture import Picture
from histoscribe.maps.autoencoder_settings import AutoencoderSettings
from histoscribe.maps.autoencoder_state import Kept

Index = NDArray[np.intp]
Matrix = NDArray[np.float32]

_AVERAGED = 0.97  # what an average of weights keeps of itself at every step
_JUDGED_EVERY = 25
_GENTLER = 0.3  # rate of what has been fitted already


class Model(torch.nn.Module):  # type: ignore[misc]  # torch is not typed here
    """Network, field and loadings: everything that is trained."""

    def __init__(self, network: Autoencoder, field: SpaceField, loadings: torch.Tensor) -> None:
        super().__init__()
        self.network, self.field = network, field
        self.log_loadings = torch.nn.Parameter(loadings.log())

    def decode(self, activity_at: torch.Tensor) -> torch.Tensor:
        """ln(1 + expected counts per 10,000) of places with activities (s, r): (s, m)."""
        return torch.log1p(activity_at @ self.log_loadings.exp())


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A model with the weights that foretold held-out spots best.

    Parameters
    ----------
    model
        In evaluation mode.
    step
        After which the weights were reached.
    errors
        On the held-out spots, each time they were judged.
    prior
        Strength of the field's prior that they chose.
    """

    model: Model
    step: int
    errors: tuple[float, ...]
    prior: float


def put_by(kept: Kept, name: str, member: Trained, *, um_per_px: float) -> None:
    """Keep a trained member."""
    told = {"step": member.step, "errors": list(member.errors), "prior": member.prior, "um_per_px": um_per_px}
    kept.save(name, member.model, told)


def take_up(kept: Kept, name: str, model: Model) -> Trained | None:
    """Return a member that was kept, its weights brought into `model`; None where there is none."""
    told = kept.load(name, model)
    return None if told is None else Trained(model.eval(), told["step"], tuple(told["errors"]), told["prior"])


def make_model(ground: Ground, settings: AutoencoderSettings) -> Model:
    """Make a new model; its random weights come from torch's generator, which `steady` seeds."""
    tissue = ground.tissue.repeat(ground.picture.fold, 0).repeat(ground.picture.fold, 1)
    seen = ground.picture.pixels[tissue]  # (p, 3)
    colours = seen[:: max(1, len(seen) // 100_000)] / np.float32(255)
    mean, scale = torch.from_numpy(colours.mean(axis=0)), torch.from_numpy(np.maximum(colours.std(axis=0), 0.02))
    channels = len(ground.programmes.loadings)
    grid = ground.picture.grid
    spacing = [ground.pitch_um * step for step in settings.spacing]
    field = SpaceField(channels, extent_um=(grid.rows * grid.um, grid.columns * grid.um), spacing_um=spacing)
    loadings = np.maximum(ground.programmes.loadings, 1e-4 * ground.programmes.loadings.max(axis=0))
    return Model(Autoencoder(channels, mean=mean, scale=scale), field, torch.from_numpy(loadings.astype(np.float32)))


def pretrain(model: Model, ground: Ground, settings: AutoencoderSettings, place: torch.device) -> list[float]:
    """Teach the network the picture; returns 1 - SSIM after every step."""
    rng = np.random.default_rng(settings.seed)
    model.to(place).train()
    steps = settings.pretrain_steps
    optimiser = torch.optim.AdamW(model.network.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    losses = []
    for step in range(steps):
        _set_rate(optimiser, step, steps)
        window = window_by_chance(ground, rng, place)
        optimiser.zero_grad()
        loss = _image_loss(model.network(window.turned()).image, window)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def train(
    model: Model, ground: Ground, settings: AutoencoderSettings, place: torch.device, *, fit: Index, held: Index
) -> Trained:
    """Train on the spots `fit` and stop by the spots `held`."""
    rng = np.random.default_rng([settings.seed, int(held[0])])
    own = ground.take(fit)
    model.to(place).train()
    weight = torch.from_numpy(ground.programmes.weight.astype(np.float32)).to(place)
    prior = _warm_up(model, ground, (fit, held), weight, settings)
    optimiser = _optimiser(model, settings)
    smooth = copy.deepcopy(model)
    errors: list[float] = []
    best, kept = 0, copy.deepcopy(model)
    for step in range(1, settings.steps + 1):
        _set_rate(optimiser, step - 1, settings.steps)
        window = window_by_chance(own, rng, place)
        optimiser.zero_grad()
        _joint_loss(model, own, window, weight, (prior, settings)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        _follow(smooth, model)
        if step % _JUDGED_EVERY and step < settings.steps:
            continue
        errors.append(_error(smooth, ground, held, weight))
        if errors[-1] <= min(errors):
            best, kept = step, copy.deepcopy(smooth)
        elif step - best >= settings.patience:
            break
    return Trained(kept.eval(), best, tuple(errors), prior)


def read_cells(model: Model, picture: Picture, tissue: NDArray[np.bool_], *, tile_px: int = 384) -> tuple[Any, Any]:
    """Activities (rows, columns, r) and latent values (rows, columns, LATENT) of all cells, float32.

    The result is the same, but for rounding, whatever the tile; tiles without tissue stay 0.
    """
    place = next(model.parameters()).device
    grid, fold = picture.grid, picture.fold
    unit = REDUCTION // np.gcd(REDUCTION, fold)  # cells from one place of the latent grid to the next in step with it
    side = min(unit * max(1, tile_px // (unit * fold)), unit * -(-max(grid.shape) // unit))
    channels = len(model.field.level)
    active = np.zeros((*grid.shape, channels), np.float32)
    latent: Matrix | None = None
    for row in range(0, grid.rows, side):
        for column in range(0, grid.columns, side):
            part = slice(row, row + side), slice(column, column + side)
            if not tissue[part].any():
                continue
            pixels = picture.window(row, column, side=side, halo_px=HALO_PX)
            with torch.inference_mode():
                read = model.network(pixel_tensor(pixels, place))
                genes = read.genes[0, :, HALO_PX:-HALO_PX, HALO_PX:-HALO_PX]
                found = activity(genes, _field(model, picture, row, column, side, place), fold)
                inner = _to_cells(read.latent, side, fold)
            height, width = active[part].shape[:2]
            active[part] = found[:, :height, :width].permute(1, 2, 0).cpu().numpy()
            if latent is None:
                latent = np.zeros((*grid.shape, inner.shape[0]), np.float32)
            latent[part] = inner[:, :height, :width].permute(1, 2, 0).cpu().numpy()
    return active, latent


@contextmanager
def steady(seed: int, *, threads: int, device: torch.device) -> Iterator[None]:
    """Give torch a fixed number of threads, seeded random numbers and deterministic kernels; as before afterwards.

    On a graphics card a kernel without a deterministic form is used with torch's warning.
    """
    before, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.random.default_generator.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(strict, warn_only=lenient)


def _image_loss(turned: torch.Tensor, window: Window) -> torch.Tensor:
    inner = slice(HALO_PX, -HALO_PX)
    return dissimilarity(window.back(turned)[..., inner, inner], window.pixels[..., inner, inner], window.tissue)


def _joint_loss(
    model: Model, ground: Ground, window: Window, weight: torch.Tensor, how: tuple[float, AutoencoderSettings]
) -> torch.Tensor:
    prior, settings = how
    read = model.network(window.turned())
    inner = slice(HALO_PX, -HALO_PX)
    place = read.genes.device
    genes = window.back(read.genes)[0, :, inner, inner]
    field = _field(model, ground.picture, window.row, window.column, window.side, place)
    active = activity(genes, field, ground.picture.fold)  # (r, h, w)
    absence = np.zeros((window.side, window.side), np.float32)
    part = ground.absence[window.row : window.row + window.side, window.column : window.column + window.side]
    absence[: part.shape[0], : part.shape[1]] = part
    loss = settings.image_weight * _image_loss(read.image, window)
    loss = loss + settings.smoothness * unevenness(active, torch.from_numpy(absence).to(place))
    loss = loss + prior * model.field.roughness() / ground.footprint.shape[0]
    spots, averaging = spots_within(ground, window)
    if len(spots):
        under = averaging(active.flatten(1).T)  # (s, r)
        truth = torch.from_numpy(ground.values[spots].toarray()).to(place)
        loss = loss + (((model.decode(under) - truth) ** 2) * weight).mean()
    return loss


def _warm_up(
    model: Model, ground: Ground, parts: tuple[Index, Index], weight: torch.Tensor, settings: AutoencoderSettings
) -> float:
    """Fit the field and the loadings alone, at the spots' centres; returns the prior that foretold `held` best.

    It costs next to nothing, and the network then learns what they leave.
    """
    fit, held = parts
    best, chosen, kept = np.inf, settings.priors[0], model.state_dict()
    start = copy.deepcopy(kept)
    for prior in settings.priors:
        model.load_state_dict(start)
        _fit_field(model, ground, fit, weight, (prior, settings))
        with torch.no_grad():
            error = float(_error_at_centres(model, ground, held, weight))
        if error < best:
            best, chosen, kept = error, prior, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return chosen


def _fit_field(
    model: Model, ground: Ground, fit: Index, weight: torch.Tensor, how: tuple[float, AutoencoderSettings]
) -> None:
    prior, settings = how
    rng = np.random.default_rng([settings.seed, int(fit[0])])
    optimiser = torch.optim.Adam([*model.field.parameters(), model.log_loadings], lr=settings.field_rate)
    for step in range(settings.field_steps):
        _set_rate(optimiser, step, settings.field_steps)
        spots = fit if len(fit) <= SPOTS_AT_ONCE else rng.choice(fit, SPOTS_AT_ONCE, replace=False)
        optimiser.zero_grad()
        loss = _error_at_centres(model, ground, spots, weight) + prior * model.field.roughness() / len(fit)
        loss.backward()
        optimiser.step()


def _error_at_centres(model: Model, ground: Ground, spots: Index, weight: torch.Tensor) -> torch.Tensor:
    places = torch.from_numpy(ground.xy_um[spots].astype(np.float32)).to(weight.device)
    truth = torch.from_numpy(ground.values[spots].toarray()).to(weight.device)
    return (((model.decode(positive(model.field.at(places)).T) - truth) ** 2) * weight).mean()


def _follow(smooth: Model, model: Model) -> None:
    """Bring the average of weights one step on."""
    with torch.no_grad():
        for mean, latest in zip(smooth.parameters(), model.parameters(), strict=True):
            mean.lerp_(latest, 1 - _AVERAGED)


def _error(model: Model, ground: Ground, held: Index, weight: torch.Tensor) -> float:
    """Weighted squared error of held-out spots."""
    active, _ = read_cells(model.eval(), ground.picture, ground.tissue)
    under = ground.footprint[held] @ active.reshape(-1, active.shape[-1])
    with torch.inference_mode():
        found = model.decode(torch.from_numpy(under.astype(np.float32)).to(weight.device))
        truth = torch.from_numpy(ground.values[held].toarray()).to(weight.device)
        error = (((found - truth) ** 2) * weight).mean()
    model.train()
    return float(error)


def _field(model: Model, picture: Picture, row: int, column: int, side: int, place: torch.device) -> torch.Tensor:
    cells = torch.arange(side, device=place) + 0.5
    return model.field((cells + column) * picture.grid.um, (cells + row) * picture.grid.um)


def _to_cells(latent: torch.Tensor, side: int, fold: int) -> torch.Tensor:
    """Latent grid (1, d, h, w) of a window with its halo to its cells, (d, side, side)."""
    skip = HALO_PX // REDUCTION
    inner = latent[..., skip:-skip, skip:-skip]
    fine = functional.interpolate(inner, scale_factor=REDUCTION, mode="nearest")
    return functional.avg_pool2d(fine, fold)[0, :, :side, :side]


def _optimiser(model: Model, settings: AutoencoderSettings) -> Any:
    rate = settings.learning_rate
    groups = [
        {"params": model.network.parameters(), "lr": rate, "weight_decay": settings.weight_decay},
        {"params": [*model.field.parameters(), model.log_loadings], "lr": _GENTLER * settings.field_rate},
    ]
    for group in groups:
        group["full"] = group["lr"]
    return torch.optim.AdamW(groups, lr=rate, weight_decay=0.0)


def _set_rate(optimiser: Any, step: int, steps: int) -> None:
    """Rise for a tenth of the steps, then half a cosine down."""
    warm = max(1, steps // 10)
    share = (step + 1) / warm if step < warm else 0.5 * (1 + np.cos(np.pi * (step - warm) / max(steps - warm, 1)))
    for group in optimiser.param_groups:
        group.setdefault("full", group["lr"])
        group["lr"] = group["full"] * max(float(share), 0.02)
