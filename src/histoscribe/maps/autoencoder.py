"""Mapper "autoencoder": a convolutional network that paints the picture and its genes from one latent grid.

The idea is that of VisiumHistologyReconstruction, made sound: any size of picture, footprints as one sparse operator,
channels that cannot be negative, tissue only, smooth where nothing was measured, and stopped by spots that were held
out. Where nothing in the picture tells, a smooth field over space does.
"""

from collections.abc import Mapping
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import ConfigError, InputError, nearest
from histoscribe.expression.normalise import log_per_10k
from histoscribe.maps.autoencoder_picture import read_picture
from histoscribe.maps.autoencoder_programmes import answers, check_counts, find_programmes
from histoscribe.maps.autoencoder_settings import AutoencoderSettings
from histoscribe.maps.hide import random_folds
from histoscribe.maps.interval import held_out_interval
from histoscribe.maps.mapper import FactorMap, MapProblem, Progress
from histoscribe.maps.metrics import pearson

if TYPE_CHECKING:
    from histoscribe.maps.autoencoder_ground import Ground
    from histoscribe.maps.autoencoder_network import Autoencoder
    from histoscribe.maps.autoencoder_train import Trained

Matrix = NDArray[np.float32]
State = dict[str, NDArray[Any]]

_FOLDS = 6
_LEAST_SPOTS = 18
_TOLD = 200


class AutoencoderMapper:
    """Networks on the picture's pixels, trained on means over footprints.

    Parameters
    ----------
    seed
        Of everything random.
    options
        As of `AutoencoderSettings`.

    Attributes
    ----------
    state_
        Weights of every member as plain arrays by name, after `fit`.
    """

    name: ClassVar[str] = "autoencoder"
    needs_features: ClassVar[bool] = False
    state_: State

    def __init__(self, *, seed: int = 0, **options: Any) -> None:
        known = [field.name for field in fields(AutoencoderSettings)]
        for option in options:
            if option not in known:
                raise ConfigError(
                    f"the mapper has no option {option!r}", where="autoencoder", mend=nearest(option, known)
                )
        self.settings = AutoencoderSettings(seed=seed, **options)

    def fit(self, problem: MapProblem, *, progress: Progress | None = None) -> FactorMap:
        """Learn the map; see `Mapper.fit`."""
        import copy

        from histoscribe.maps import autoencoder_train as training

        settings, tell = self.settings, progress or (lambda done, total: None)
        place = _device(settings.device)
        fold = random_folds(len(problem), max(_FOLDS, settings.members + 2), seed=settings.seed)
        with training.steady(settings.seed, threads=settings.threads, device=place):
            ground = _ground(problem, settings, fold >= settings.members)
            tell(1, settings.members + 2)
            start = training.make_model(ground, settings)
            unlike = training.pretrain(start, ground, settings, place)
            tell(2, settings.members + 2)
            members = []
            for k in range(settings.members):
                fit, held = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
                members.append(training.train(copy.deepcopy(start), ground, settings, place, fit=fit, held=held))
                tell(3 + k, settings.members + 2)
            read = [training.read_cells(member.model, ground.picture, ground.tissue) for member in members]
        self.state_ = _state(members)
        return _factor_map(problem, ground, members, read, fold, unlike)


def write_state(path: Path, state: Mapping[str, NDArray[Any]]) -> None:
    """Write the networks' weights as safetensors: plain arrays and nothing that could run code."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(values) for name, values in state.items()}, str(path))


def read_state(path: Path) -> State:
    """Read what `write_state` wrote."""
    from safetensors.numpy import load_file

    return dict(load_file(str(path)))


def network_of(state: Mapping[str, NDArray[Any]], *, member: int = 0) -> "Autoencoder":
    """Rebuild one member's network, in evaluation mode: it reads windows of any picture of the same microns per pixel.

    Raises
    ------
    ConfigError
        Where there is no such member.
    """
    import torch

    from histoscribe.maps.autoencoder_network import Autoencoder

    start = f"{member}.network."
    own = {
        name.removeprefix(start): torch.from_numpy(np.array(v)) for name, v in state.items() if name.startswith(start)
    }
    if not own:
        raise ConfigError("the state holds no such member", where="member", found=member)
    network = Autoencoder(len(own["gene_head.bias"]) // 4, mean=own["mean"], scale=own["scale"])
    network.load_state_dict(own)
    network.eval()
    return network


def _ground(problem: MapProblem, settings: AutoencoderSettings, shared: NDArray[np.bool_]) -> "Ground":
    """Gather what is trained on; `shared` are the spots that no member holds out, the only ones to find programmes."""
    from histoscribe.maps.autoencoder_ground import Ground, absent

    grid = problem.grid
    check_counts(problem.counts, problem.library)
    if len(problem) < _LEAST_SPOTS:
        raise InputError(
            "too little was measured to learn a map from",
            where="map",
            expected=f"at least {_LEAST_SPOTS} spots",
            found=f"{len(problem):,} spots",
        )
    programmes = find_programmes(
        problem.counts[shared],
        problem.library[shared],
        rank=settings.rank,
        most_genes=settings.most_genes,
        seed=settings.seed,
    )
    tissue = np.zeros(grid.size, bool)
    tissue[problem.cells] = True
    tissue = tissue.reshape(grid.shape)
    if problem.footprint.shape[1] == 0 or (np.diff(problem.footprint.indptr) == 0).any():
        raise InputError(
            "some spots cover no cell of the map",
            where="map",
            expected="footprints on the tissue's cells",
            mend="check that the spots lie on the picture",
        )
    footprint = sparse.csr_matrix(
        (problem.footprint.data, problem.cells[problem.footprint.indices], problem.footprint.indptr),
        shape=(len(problem), grid.size),
        copy=True,  # sorting it must not disturb the problem's own
    )
    footprint.sort_indices()
    return Ground(
        picture=read_picture(problem.image, grid, problem.cells, um_per_px=settings.input_um),
        tissue=tissue,
        absence=absent(footprint, tissue),
        footprint=footprint,
        values=log_per_10k(problem.counts[:, programmes.genes], library=problem.library),
        programmes=programmes,
        pitch_um=problem.pitch_um,
        xy_um=problem.xy_um,
    )


def _factor_map(
    problem: MapProblem,
    ground: "Ground",
    members: "list[Trained]",
    read: list[tuple[Matrix, Matrix]],
    fold: NDArray[np.intp],
    unlike: list[float],
) -> FactorMap:
    """Average the members: their activities side by side, for what is linear needs no more."""
    cells, taught = problem.cells, ground.programmes.genes
    factors = np.hstack([active.reshape(-1, active.shape[-1])[cells] for active, _ in read])  # (c, k * r)
    under = np.asarray(problem.footprint @ factors, np.float64)  # (n, k * r)
    loadings = answers(problem.counts, problem.library, under)  # (k * r, t)
    edges = np.linspace(0, factors.shape[1], len(members) + 1).astype(int)
    parts = [slice(a, b) for a, b in pairwise(edges)]
    residual, found = [], []
    for k, (member, part) in enumerate(zip(members, parts, strict=True)):
        learnt = member.model.log_loadings.detach().exp().cpu().numpy()
        loadings[part, taught] = learnt / len(members)
        held = np.flatnonzero(fold == k)
        others = answers(problem.counts[fold != k], problem.library[fold != k], under[fold != k, part])
        others[:, taught] = learnt
        found.append(np.log1p(under[held, part] @ others))
        residual.append(held)
    held = np.concatenate(residual)
    truth, guess = problem.log_values()[held], np.vstack(found)
    return FactorMap(
        factors=factors,
        loadings=loadings.astype(np.float32),
        level=np.zeros(len(problem.genes), np.float32),
        link="linear",
        spread=np.ones(len(cells), np.float32),
        interval=held_out_interval(truth - guess, np.ones(len(held))),
        evidence=_evidence(problem, members, (truth, guess), unlike),
        latent=read[0][1].reshape(-1, read[0][1].shape[-1])[cells],
    )


def _evidence(
    problem: MapProblem, members: "list[Trained]", held: tuple[Any, Any], unlike: list[float]
) -> dict[str, Any]:
    abundant = np.argsort(-np.asarray(problem.counts.sum(axis=0)).ravel(), kind="stable")[:_TOLD]
    score = pearson(held[0][:, abundant], held[1][:, abundant])
    known = score[np.isfinite(score)]
    last = unlike[-20:]
    return {
        "components": sum(len(member.model.field.level) for member in members),
        "members": len(members),
        "held_out_pearson_200": round(float(known.mean()), 4) if len(known) else None,
        "held_out_spots": len(held[0]),
        "stopped_at_step": [member.step for member in members],
        "field_prior": [member.prior for member in members],
        "held_out_error": [round(min(member.errors), 4) for member in members],
        "picture_ssim": round(1 - float(np.mean(last)), 4) if last else None,
    }


def _state(members: "list[Trained]") -> State:
    return {
        f"{k}.{name}": values.detach().cpu().numpy().copy()
        for k, member in enumerate(members)
        for name, values in member.model.state_dict().items()
    }


def _device(name: str) -> Any:
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    known = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not known.get(name, False):
        raise ConfigError(
            "this device is not there",
            where="device",
            expected="auto or " + ", ".join(key for key, there in known.items() if there),
            found=name,
        )
    return torch.device(name)
