"""The network in ONNX Runtime gives what the same model gave in TensorFlow.

`data/tiny_he.zip` is a small StarDist model (four filters at the first level) trained for a minute on the stardist
package's own H&E sample; the expected arrays are what stardist 0.9.2 with TensorFlow 2.21 made of that sample, with
csbdeep's default normalisation and the thresholds 0.5 and 0.4.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from histoscribe.errors import ConfigError
from histoscribe.nuclei.stardist_network import StarDistNetwork, normalised, percentile_range
from histoscribe.nuclei.stardist_weights import read_model

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def network():
    return StarDistNetwork(read_model(DATA / "tiny_he.zip"))


@pytest.fixture(scope="module")
def sample():
    """(300, 500, 3) uint8: padded by the network, since neither side can be halved four times."""
    from stardist.data import test_image_he_2d

    return test_image_he_2d()


@pytest.fixture(scope="module")
def picture(sample):
    return normalised(sample, percentile_range(sample))


@pytest.fixture(scope="module")
def expected():
    return load_file(DATA / "tiny_he_expected.safetensors")


def test_probabilities_and_distances_equal_the_original(network, picture, expected):
    probability, distance = network.predict(picture)
    np.testing.assert_allclose(probability[40:90, 60:130], expected["prob"], atol=1e-4)
    np.testing.assert_allclose(distance[40:75, 60:95], expected["dist"], atol=1e-4)


def test_instances_equal_the_original_exactly(network, picture, expected):
    stars = network.stars(picture, prob_threshold=0.5, nms_threshold=0.4)
    np.testing.assert_array_equal(stars.labels, np.asarray(Image.open(DATA / "tiny_he_labels.png")))
    np.testing.assert_array_equal(stars.centre_yx, expected["points"])


def test_normalisation_is_that_of_csbdeep(sample):
    from csbdeep.utils import normalize

    np.testing.assert_allclose(normalised(sample, percentile_range(sample)), normalize(sample), rtol=1e-6)


def test_outlines_surround_their_centres(network, picture):
    stars = network.stars(picture)
    assert stars.outline_yx.shape == (len(stars.centre_yx), 32, 2)
    assert (stars.outline_yx.min(axis=1) <= stars.centre_yx).all()
    assert (stars.outline_yx.max(axis=1) >= stars.centre_yx).all()


def test_a_higher_threshold_keeps_fewer_nuclei(network, picture):
    assert len(network.stars(picture, prob_threshold=0.7).probability) < len(network.stars(picture).probability)


def test_nothing_probable_gives_no_nucleus(network, sample):
    blank = normalised(np.full((64, 80, 3), 245, np.uint8), percentile_range(sample))
    stars = network.stars(blank, prob_threshold=0.99)
    assert stars.labels.shape == (64, 80)
    assert not stars.labels.any()
    assert stars.outline_yx.shape == (0, 32, 2)


@pytest.mark.parametrize("wrong", [{"prob_threshold": 1.5}, {"nms_threshold": 0}])
def test_thresholds_lie_between_0_and_1(network, picture, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        network.stars(picture, **wrong)


@pytest.mark.parametrize("shape", [(33, 47), (16, 16), (20, 5)])
def test_pictures_of_any_size_are_taken(network, picture, shape):
    probability, distance = network.predict(picture[: shape[0], : shape[1]])
    assert probability.shape == (-(-shape[0] // 2), -(-shape[1] // 2))
    assert distance.shape == (*probability.shape, 32)
