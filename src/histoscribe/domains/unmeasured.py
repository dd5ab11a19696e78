"""Domains of spots that took no part in finding them, because their measurement failed."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from histoscribe.domains.result import DomainResult

_AROUND = 6


def with_unmeasured(found: DomainResult, xy_um: NDArray[np.float64], *, measured: NDArray[np.bool_]) -> DomainResult:
    """Give every spot that took no part the domain that most of the nearest six spots have, with confidence 0.

    Parameters
    ----------
    found
        Result of the measured spots, in their order.
    xy_um
        All spots, (n, 2), x before y.
    measured
        (n,) those that took part.

    Returns
    -------
    Result of all n spots. Of equally frequent domains the nearest spot decides; features are the mean of the six.
    """
    if measured.all():
        return found
    near = cKDTree(xy_um[measured]).query(xy_um[~measured], k=np.arange(1, min(_AROUND, len(found.labels)) + 1))[1]
    labels, confidence = np.zeros(len(xy_um), np.int64), np.zeros(len(xy_um))
    labels[measured], confidence[measured] = found.labels, found.confidence
    # argmax takes the first of the most frequent, and the neighbours stand in the order of their distance
    votes = found.labels[near]  # (failed, k)
    frequent = (votes[:, :, None] == votes[:, None, :]).sum(axis=2).argmax(axis=1)
    labels[~measured] = votes[np.arange(len(votes)), frequent]
    latent = None
    if found.latent is not None:
        latent = np.empty((len(xy_um), found.latent.shape[1]), np.float32)
        latent[measured], latent[~measured] = found.latent, found.latent[near].mean(axis=1)
    evidence = found.evidence | {"dead_spots": int((~measured).sum())}
    return replace(found, labels=labels, confidence=confidence, evidence=evidence, latent=latent)
