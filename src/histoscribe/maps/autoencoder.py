"""Mapper "autoencoder": a convolutional network that paints the picture and its genes from one latent grid.

The idea is that of VisiumHistologyReconstruction, made sound: any size of picture, footprints as one sparse operator,
channels that cannot be negative, tissue only, smooth where nothing was measured, and stopped by spots that were held
out. Where nothing in the picture tells, a smooth field over space does.
"""

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
from histoscribe.maps.mapper import FactorMap, HeldOut, MapProblem, Progress
from histoscribe.maps.metrics import pearson

if TYPE_CHECKING:
    from histoscribe.maps.autoencoder_ground import Ground
    from histoscribe.maps.autoencoder_train import Trained

Matrix = NDArray[np.float32]

_FOLDS = 6
_LEAST_SPOTS = 18
_TOLD = 200


class AutoencoderMapper:
    """Networks on the picture's pixels, trained on means over footprints.

    Parameters
    ----------
    seed
        Of everything random.
    keep
        Folder in which training keeps what it has reached, and from which it goes on; None to keep nothing.
    options
        As of `AutoencoderSettings`.
    """

    name: ClassVar[str] = "autoencoder"
    needs_features: ClassVar[bool] = False
    trains: ClassVar[bool] = True

    def __init__(self, *, seed: int = 0, keep: Path | None = None, **options: Any) -> None:
        known = [field.name for field in fields(AutoencoderSettings)]
        for option in options:
            if option not in known:
                raise ConfigError(
                    f"the mapper has no option {option!r}", where="autoencoder", mend=nearest(option, known)
                )
        self.settings, self.keep = AutoencoderSettings(seed=seed, **options), keep
        _device(self.settings.device)

    def train(self, problem: MapProblem, *, progress: Progress | None = None) -> None:
        """Train the networks and keep them in the folder `keep`; see `Mapper.fit` for what is refused."""
        self._trained(problem, progress or (lambda done, total: None))

    def fit(self, problem: MapProblem, *, progress: Progress | None = None) -> FactorMap:
        """Learn the map, with the networks that the folder `keep` holds; see `Mapper.fit`."""
        from histoscribe.maps import autoencoder_train as training

        ground, members, fold, unlike = self._trained(problem, progress or (lambda done, total: None))
        place = _device(self.settings.device)
        with training.steady(self.settings.seed, threads=self.settings.threads, device=place):
            read = [training.read_cells(member.model.to(place), ground.picture, ground.tissue) for member in members]
        return _factor_map(problem, ground, members, read, fold, unlike)

    def _trained(
        self, problem: MapProblem, tell: Progress
    ) -> "tuple[Ground, list[Trained], NDArray[np.intp], list[float]]":
        """Train what the folder does not hold: ground, members, each spot's fold, and unlikeness of the picture."""
        import copy

        from histoscribe.maps import autoencoder_train as training
        from histoscribe.maps.autoencoder_state import Kept

        settings, kept = self.settings, Kept(self.keep)
        place = _device(settings.device)
        fold = random_folds(len(problem), max(_FOLDS, settings.members + 2), seed=settings.seed)
        with training.steady(settings.seed, threads=settings.threads, device=place):
            ground = _ground(problem, settings, fold >= settings.members)
            tell(1, settings.members + 2)
            start = training.make_model(ground, settings)
            told = kept.load("pretrained", start)
            if told is None:
                told = {"unlike": training.pretrain(start, ground, settings, place)}
                kept.save("pretrained", start, told)
            tell(2, settings.members + 2)
            members = []
            for k in range(settings.members):
                member = training.take_up(kept, f"member_{k}", copy.deepcopy(start))
                if member is None:
                    fit, held = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
                    member = training.train(copy.deepcopy(start), ground, settings, place, fit=fit, held=held)
                    training.put_by(kept, f"member_{k}", member, um_per_px=ground.picture.um_per_px)
                members.append(member)
                tell(3 + k, settings.members + 2)
        return ground, members, fold, told["unlike"]


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
    found = np.full(problem.counts.shape, np.nan, np.float32)
    for k, (member, part) in enumerate(zip(members, parts, strict=True)):
        learnt = member.model.log_loadings.detach().exp().cpu().numpy()
        loadings[part, taught] = learnt / len(members)
        held = np.flatnonzero(fold == k)
        others = answers(problem.counts[fold != k], problem.library[fold != k], under[fold != k, part])
        others[:, taught] = learnt
        found[held] = np.log1p(under[held, part] @ others)
    left_out = np.where(fold < len(members), fold, -1)
    held = np.flatnonzero(left_out >= 0)
    truth, guess = problem.log_values()[held], found[held]
    return FactorMap(
        factors=factors,
        loadings=loadings.astype(np.float32),
        level=np.zeros(len(problem.genes), np.float32),
        link="linear",
        spread=np.ones(len(cells), np.float32),
        interval=held_out_interval(truth - guess, np.ones(len(held))),
        evidence=_evidence(problem, members, (truth, guess), unlike) | {"um_per_px": ground.picture.um_per_px},
        latent=read[0][1].reshape(-1, read[0][1].shape[-1])[cells],
        held=HeldOut(left_out, found, np.ones(len(problem))),
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
