"""Losses of the autoencoder: dissimilarity of pictures, and roughness where nothing was measured."""

import torch
from torch.nn import functional

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


def dissimilarity(image: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
    """1 - SSIM over a Gaussian window of 11 x 11 pixels, whole windows only (Wang et al. 2004, eq. 13).

    Parameters
    ----------
    image, truth
        (b, c, h, w) within 0 and 1.
    weight
        (b, 1, h, w) not negative; every pixel counts the same where None.

    Returns
    -------
    Mean over pixels and channels, from 0 (the same) to 2.
    """
    channels = image.shape[1]
    place = torch.arange(_WINDOW, dtype=image.dtype, device=image.device) - _WINDOW // 2
    bell = torch.exp(-(place**2) / (2 * _SIGMA**2))
    bell = (bell / bell.sum()).repeat(5 * channels, 1)
    several = torch.cat([image, truth, image * image, truth * truth, image * truth], dim=1)
    blurred = functional.conv2d(several, bell[:, None, :, None], groups=5 * channels)
    blurred = functional.conv2d(blurred, bell[:, None, None, :], groups=5 * channels)
    mx, my, xx, yy, xy = blurred.chunk(5, dim=1)
    like = (2 * mx * my + _C1) * (2 * (xy - mx * my) + _C2)
    like = like / ((mx * mx + my * my + _C1) * (xx - mx * mx + yy - my * my + _C2))
    if weight is None:
        return 1 - like.mean()
    border = _WINDOW // 2
    weight = weight[..., border:-border, border:-border]
    return ((1 - like) * weight).sum() / (weight.sum() * channels).clamp(min=1e-6)


def unevenness(activity: torch.Tensor, absence: torch.Tensor) -> torch.Tensor:
    """Total variation between neighbouring cells, weighted by the absence of evidence (Rudin, Osher, Fatemi 1992).

    Parameters
    ----------
    activity
        (r, h, w).
    absence
        (h, w): 1 in tissue under no spot, 0 under a spot and off the tissue.
    """
    down = (activity[:, 1:] - activity[:, :-1]).abs() * (absence[1:] * absence[:-1])
    across = (activity[:, :, 1:] - activity[:, :, :-1]).abs() * (absence[:, 1:] * absence[:, :-1])
    return (down.sum() + across.sum()) / (2 * len(activity) * absence.sum().clamp(min=1))
