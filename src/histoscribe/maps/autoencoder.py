"""Mapper "autoencoder": a convolutional network that decodes the picture and its genes from one latent grid.

It follows the idea of VisiumHistologyReconstruction, with these changes: pictures of any size, footprints as one sparse
operator, channels that cannot be negative, tissue only, smoothness where nothing was measured, and early stopping on
held-out spots. What the picture does not show is left to a smooth field over space.
"""

from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.encoders.deterministic import deterministic
from histoscribe.errors import ConfigError, InputError, nearest
from histoscribe.expression.normalise import log_per_10k
from histoscribe.maps.autoencoder_picture import likeness, read_picture
from histoscribe.maps.autoencoder_programmes import check_counts, find_programmes, fit_loadings
from histoscribe.maps.autoencoder_settings import AutoencoderSettings
from histoscribe.maps.hide import random_folds
from histoscribe.maps.interval import held_out_interval
from histoscribe.maps.mapper import FactorMap, HeldOut, MapProblem, Progress, Reconstruction
from histoscribe.maps.metrics import pearson
from histoscribe.numerics.device import device_in_use

if TYPE_CHECKING:
    from histoscribe.maps.autoencoder_ground import Ground
    from histoscribe.maps.autoencoder_train import Trained

Matrix = NDArray[np.float32]

_FOLDS = 6
_LEAST_SPOTS = 18
_REPORTED_GENES = 200


class AutoencoderMapper:
    """Networks on the picture's pixels, trained on means over footprints.

    Parameters
    ----------
    seed
        Of everything random.
    keep
        Folder in which training saves its progress, and from which it resumes; None to save nothing.
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
                    f"the mapper has no option {option!r}", where="autoencoder", fix=nearest(option, known)
                )
        self.settings, self.keep = AutoencoderSettings(seed=seed, **options), keep
        device_in_use(self.settings.device, where="autoencoder")

    def train(self, problem: MapProblem, *, progress: Progress | None = None) -> None:
        """Train the networks and keep them in the folder `keep`; see `Mapper.fit` for what is refused."""
        self._trained(problem, progress or (lambda done, total: None))

    def fit(self, problem: MapProblem, *, progress: Progress | None = None) -> FactorMap:
        """Learn the map with the networks in the folder `keep`; see `Mapper.fit`."""
        import torch

        from histoscribe.maps import autoencoder_train as training

        ground, members, fold = self._trained(problem, progress or (lambda done, total: None))
        place = torch.device(device_in_use(self.settings.device, where="autoencoder"))
        picture = ground.picture
        with deterministic(self.settings.seed, threads=self.settings.threads, device=place):
            read = [training.read_cells(member.model.to(place), picture, ground.tissue) for member in members]
            made = training.redraw([member.model for member in members], picture, ground.tissue)
        fine = ground.tissue.repeat(picture.fold, 0).repeat(picture.fold, 1)
        made[~fine] = 255  # what they draw there was never trained
        like = likeness(picture.pixels, made, fine)
        reconstruction = Reconstruction(made, picture.pixels, picture.um_per_px, like)
        return _factor_map(problem, ground, members, read, fold, reconstruction)

    def _trained(self, problem: MapProblem, report: Progress) -> "tuple[Ground, list[Trained], NDArray[np.intp]]":
        """Train what the folder lacks: ground, members, and each spot's fold."""
        import copy

        import torch

        from histoscribe.maps import autoencoder_train as training
        from histoscribe.maps.autoencoder_state import Checkpoints

        settings, kept = self.settings, Checkpoints(self.keep)
        place = torch.device(device_in_use(settings.device, where="autoencoder"))
        fold = random_folds(len(problem), max(_FOLDS, settings.members + 2), seed=settings.seed)
        with deterministic(settings.seed, threads=settings.threads, device=place):
            ground = _ground(problem, settings, fold >= settings.members)
            report(1, settings.members + 2)
            start = training.make_model(ground, settings)
            if kept.load("pretrained", start) is None:
                kept.save("pretrained", start, {"unlike": training.pretrain(start, ground, settings, place)})
            report(2, settings.members + 2)
            members = []
            for k in range(settings.members):
                member = training.load_member(kept, f"member_{k}", copy.deepcopy(start))
                if member is None:
                    fit, held = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
                    member = training.train(copy.deepcopy(start), ground, settings, place, fit=fit, held=held)
                    training.save_member(kept, f"member_{k}", member, um_per_px=ground.picture.um_per_px)
                members.append(member)
                report(3 + k, settings.members + 2)
        return ground, members, fold


def _ground(problem: MapProblem, settings: AutoencoderSettings, shared: NDArray[np.bool_]) -> "Ground":
    """Gather what is trained on; `shared` are the spots that no member holds out, the only ones to find programmes."""
    from histoscribe.maps.autoencoder_ground import Ground, absent

    grid = problem.grid
    check_counts(problem.counts, problem.library)
    least = max(_LEAST_SPOTS, settings.members + 2)  # so that no fold is empty
    if len(problem) < least:
        raise InputError(
            "too little was measured to learn a map from",
            where="map",
            expected=f"at least {least:,} spots",
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
            fix="check that the spots lie on the picture",
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
    reconstruction: Reconstruction,
) -> FactorMap:
    """Average the members: as the map is linear, it is enough to put their activities side by side."""
    cells, taught = problem.cells, ground.programmes.genes
    factors = np.hstack([active.reshape(-1, active.shape[-1])[cells] for active, _ in read])  # (c, k * r)
    under = np.asarray(problem.footprint @ factors, np.float64)  # (n, k * r)
    loadings = fit_loadings(problem.counts, problem.library, under)  # (k * r, t)
    edges = np.linspace(0, factors.shape[1], len(members) + 1).astype(int)
    parts = [slice(a, b) for a, b in pairwise(edges)]
    found = np.full(problem.counts.shape, np.nan, np.float32)
    for k, (member, part) in enumerate(zip(members, parts, strict=True)):
        learnt = member.model.log_loadings.detach().exp().cpu().numpy()
        loadings[part, taught] = learnt / len(members)
        held = np.flatnonzero(fold == k)
        others = fit_loadings(problem.counts[fold != k], problem.library[fold != k], under[fold != k, part])
        others[:, taught] = learnt
        found[held] = np.log1p(under[held, part] @ others)
    held_fold = np.where(fold < len(members), fold, -1)
    held = np.flatnonzero(held_fold >= 0)
    truth, guess = problem.log_values()[held], found[held]
    return FactorMap(
        factors=factors,
        loadings=loadings.astype(np.float32),
        level=np.zeros(len(problem.genes), np.float32),
        link="linear",
        spread=np.ones(len(cells), np.float32),
        interval=held_out_interval(truth - guess, np.ones(len(held))),
        evidence=_evidence(problem, members, (truth, guess), reconstruction),
        latent=read[0][1].reshape(-1, read[0][1].shape[-1])[cells],
        held=HeldOut(held_fold, found, np.ones(len(problem))),
        reconstruction=reconstruction,
    )


def _evidence(
    problem: MapProblem, members: "list[Trained]", held: tuple[Any, Any], reconstruction: Reconstruction
) -> dict[str, Any]:
    abundant = np.argsort(-np.asarray(problem.counts.sum(axis=0)).ravel(), kind="stable")[:_REPORTED_GENES]
    score = pearson(held[0][:, abundant], held[1][:, abundant])
    known = score[np.isfinite(score)]
    return {
        "components": sum(len(member.model.field.level) for member in members),
        "members": len(members),
        "held_out_pearson_200": round(float(known.mean()), 4) if len(known) else None,
        "held_out_spots": len(held[0]),
        "stopped_at_step": [member.step for member in members],
        "field_prior": [member.prior for member in members],
        "held_out_error": [round(min(member.errors), 4) for member in members],
        "picture_ssim": None if reconstruction.ssim is None else round(reconstruction.ssim, 4),
        "um_per_px": reconstruction.um_per_px,
    }
