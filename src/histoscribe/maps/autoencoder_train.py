"""Training of the autoencoder: first on the picture alone, then on the picture and the spots' footprints together.

Every step uses one window of the picture, turned and mirrored at random, and the spots that lie wholly in it. A running
average of the weights is evaluated on held-out spots at regular steps; the weights that predict them best are kept.
"""

import copy
from collections.abc import Iterator, Sequence
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
    random_window,
    spots_within,
)
from histoscribe.maps.autoencoder_loss import dissimilarity, unevenness
from histoscribe.maps.autoencoder_network import HALO_PX, REDUCTION, Autoencoder, SpaceField, activity, positive
from histoscribe.maps.autoencoder_picture import Picture
from histoscribe.maps.autoencoder_settings import AutoencoderSettings
from histoscribe.maps.autoencoder_state import Checkpoints

Index = NDArray[np.intp]
Matrix = NDArray[np.float32]

_AVERAGED = 0.97  # decay of the running average of the weights, per step
_JUDGED_EVERY = 25
_GENTLER = 0.3  # factor on the learning rate of what has been fitted already


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
    """A model with the weights that predicted held-out spots best.

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


def save_member(kept: Checkpoints, name: str, member: Trained, *, um_per_px: float) -> None:
    """Save a trained member."""
    record = {"step": member.step, "errors": list(member.errors), "prior": member.prior, "um_per_px": um_per_px}
    kept.save(name, member.model, record)


def load_member(kept: Checkpoints, name: str, model: Model) -> Trained | None:
    """Return a member that was saved, its weights loaded into `model`; None where there is none."""
    record = kept.load(name, model)
    if record is None:
        return None
    return Trained(model.eval(), record["step"], tuple(record["errors"]), record["prior"])


def make_model(ground: Ground, settings: AutoencoderSettings) -> Model:
    """Make a new model; its random weights come from torch's generator, which `deterministic` seeds."""
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
    """Train the network on the picture alone; returns 1 - SSIM after every step."""
    rng = np.random.default_rng(settings.seed)
    model.to(place).train()
    steps = settings.pretrain_steps
    optimiser = torch.optim.AdamW(model.network.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    losses = []
    for step in range(steps):
        _set_rate(optimiser, step, steps)
        window = random_window(ground, rng, place)
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
        window = random_window(own, rng, place)
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
    channels = len(model.field.level)
    active = np.zeros((*grid.shape, channels), np.float32)
    latent: Matrix | None = None
    for row, column, side in _tiles(picture, tissue, tile_px):
        part = slice(row, row + side), slice(column, column + side)
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


def redraw(
    models: Sequence[Model], picture: Picture, tissue: NDArray[np.bool_], *, tile_px: int = 384
) -> NDArray[np.uint8]:
    """Return the picture as the networks draw it, their mean, of its own shape; tiles without tissue stay white."""
    place = next(models[0].parameters()).device
    made = np.full(picture.pixels.shape, 255, np.uint8)
    fold = picture.fold
    for row, column, side in _tiles(picture, tissue, tile_px):
        window = pixel_tensor(picture.window(row, column, side=side, halo_px=HALO_PX), place)
        with torch.inference_mode():
            drawn = torch.stack([model.network(window).image[0] for model in models]).mean(dim=0)  # (3, h, w)
            drawn = (255 * drawn[:, HALO_PX:-HALO_PX, HALO_PX:-HALO_PX]).round().to(torch.uint8)
        part = made[row * fold : (row + side) * fold, column * fold : (column + side) * fold]
        height, width = part.shape[:2]
        part[:] = drawn[:, :height, :width].permute(1, 2, 0).cpu().numpy()
    return made


def _tiles(picture: Picture, tissue: NDArray[np.bool_], tile_px: int) -> Iterator[tuple[int, int, int]]:
    """Row, column and side in cells of the tiles that hold tissue."""
    grid, fold = picture.grid, picture.fold
    unit = REDUCTION // np.gcd(REDUCTION, fold)  # the least number of cells that is whole places of the latent grid
    side = min(unit * max(1, tile_px // (unit * fold)), unit * -(-max(grid.shape) // unit))
    for row in range(0, grid.rows, side):
        for column in range(0, grid.columns, side):
            if tissue[row : row + side, column : column + side].any():
                yield row, column, side


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
    """Fit the field and the loadings alone, at the spots' centres; returns the prior that predicted `held` best.

    This is cheap; the network then learns what the field leaves unexplained.
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
    """Update the running average of the weights by one step."""
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
