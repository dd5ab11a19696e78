"""A phantom must need more than colour: that is what makes a score on it mean something."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from histoscribe.phantom import make_phantom

HALF_UM = 56.0


@pytest.fixture(scope="module")
def measured():
    """Picture, spots in pixels, true domains, and each spot with its six neighbours."""
    phantom = make_phantom(1, size_um=2800, mpp=1.0, n_genes=60)
    layout = phantom.layout()
    xy = layout.take(phantom.on_tissue(layout)).xy_um / phantom.mpp
    height, width = phantom.shape
    picture = phantom.image.read(0, 0, width, height)
    return picture, xy, phantom.domain_at(xy), cKDTree(xy).query(xy, k=7)[1]


def spot_means(maps, xy):
    """Means of maps (h, w) over the squares around spots, by sums over rectangles: (n, maps)."""
    shape = maps[0].shape
    low = np.maximum(xy - HALF_UM, 0).astype(int)
    high = np.minimum(xy + HALF_UM, np.array(shape[::-1])).astype(int)
    (x0, y0), (x1, y1) = low.T, high.T
    means = []
    for values in maps:
        total = np.zeros((shape[0] + 1, shape[1] + 1))
        np.cumsum(values, axis=0, out=total[1:, 1:])
        np.cumsum(total, axis=1, out=total)
        means.append((total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0]) / np.prod(high - low, axis=1))
    return np.column_stack(means)


def nuclear_means(haematoxylin, xy):
    """Number, size, length, tone and mottling of thresholded nuclei around spots."""
    labels, n = ndimage.label(ndimage.binary_opening(haematoxylin > 0.6))
    y, x = np.nonzero(labels)
    which, tone = labels[y, x] - 1, haematoxylin[y, x]
    area = np.bincount(which, minlength=n)
    mx, my, mt, mxx, myy, mxy, mtt = (
        np.bincount(which, v.astype(float), n) / area for v in (x, y, tone, x * x, y * y, x * y, tone**2)
    )
    xx, yy, cross = mxx - mx**2, myy - my**2, mxy - mx * my
    split = np.sqrt((xx - yy) ** 2 + 4 * cross**2)
    length = np.log((xx + yy + split + 1) / (xx + yy - split + 1))
    each = np.column_stack([np.sqrt(area), area > 60, length, mt, np.sqrt(np.maximum(mtt - mt**2, 0))])
    near = cKDTree(np.column_stack([mx, my])).query_ball_point(xy, HALF_UM * 1.2)
    return np.array([[len(k), *each[k].mean(axis=0)] if k else np.zeros(6) for k in near])


def texture_means(picture, xy):
    """Energies of bands and coherence of directions of haematoxylin and eosin around spots, and of nuclei."""
    absorbance = -np.log((picture.astype(np.float32) + 1) / 245)
    haematoxylin, eosin = absorbance[..., 0], absorbance[..., 1] - 0.9 * absorbance[..., 0]
    maps = [picture.min(axis=2) > 225]
    for stain in (haematoxylin, eosin):
        blurred = [ndimage.gaussian_filter(stain, sigma) for sigma in (0.7, 1.5, 3, 6)]
        maps += [(a - b) ** 2 for a, b in pairwise(blurred)]
    dy, dx = np.gradient(ndimage.gaussian_filter(eosin, 1.5))
    tensor = spot_means([dx * dx, dy * dy, dx * dy], xy)
    xx, yy, cross = tensor.T
    coherence = np.sqrt((xx - yy) ** 2 + 4 * cross**2) / (xx + yy)
    energy = np.log(spot_means(maps, xy) + 1e-4)
    return np.column_stack([energy, coherence, nuclear_means(haematoxylin, xy)])


def agreements(features, truth, n_domains=6, seeds=3):
    """Adjusted Rand indices of k-means and of Gaussian mixtures over seeds."""
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    labels = []
    for seed in range(seeds):
        labels.append(KMeans(n_domains, n_init=5, random_state=seed).fit_predict(scaled))
        mixture = GaussianMixture(n_domains, n_init=2, random_state=seed, reg_covar=1e-2)
        labels.append(mixture.fit_predict(scaled))
    return np.array([adjusted_rand_score(truth, found) for found in labels])


def test_smoothed_colour_does_not_find_the_domains(measured):
    picture, xy, truth, neighbours = measured
    colour = spot_means(np.moveaxis(picture, 2, 0), xy)
    assert agreements(colour, truth).max() < 0.5
    assert agreements(colour[neighbours].mean(axis=1), truth).max() < 0.5


def test_coordinates_do_not_find_the_domains(measured):
    _, xy, truth, _ = measured
    assert agreements(xy, truth).max() < 0.35


def test_texture_and_nuclei_find_them(measured):
    picture, xy, truth, neighbours = measured
    features = texture_means(picture, xy)[neighbours].mean(axis=1)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    components = PCA(8, whiten=True, random_state=0).fit_transform(scaled)
    found = [KMeans(6, n_init=10, random_state=seed).fit_predict(components) for seed in range(3)]
    assert np.mean([adjusted_rand_score(truth, labels) for labels in found]) > 0.7
