"""Colours: distinguishable by everybody, and the same for the same domain."""

import numpy as np
import pytest

from histoscribe.report.palette import (
    DOMAIN_HEX,
    NO_DOMAIN_HEX,
    component_rgb,
    domain_hex,
    domain_rgb,
    is_outlined,
)

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
# OKLab, Ottosson (2020)
LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def oklab(rgb, vision="normal"):
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(np.clip(linear @ np.array(VISION[vision]).T, 0, 1) @ LMS.T) @ LAB.T


@pytest.mark.parametrize("vision", VISION)
def test_any_two_colours_differ_for_every_kind_of_vision(vision):
    lab = oklab(domain_rgb(np.arange(1, 21)), vision)
    distance = np.sqrt(((lab[:, None] - lab[None]) ** 2).sum(-1))
    assert distance[np.triu_indices(20, 1)].min() > 0.07


def test_twenty_domains_have_twenty_colours_and_then_they_come_again_outlined():
    assert len({domain_hex(k) for k in range(1, 21)}) == len(DOMAIN_HEX) == 20
    assert domain_hex(21) == domain_hex(1)
    assert not is_outlined(20)
    assert is_outlined(21)


def test_a_spot_without_domain_has_a_colour_of_its_own():
    assert domain_hex(0) == NO_DOMAIN_HEX
    assert NO_DOMAIN_HEX not in DOMAIN_HEX


def test_colours_of_components_can_be_shown_on_a_screen():
    corners = np.stack(np.meshgrid(*[[0.0, 0.5, 1.0]] * 3), -1).reshape(-1, 3)
    rgb = component_rgb(corners)
    assert rgb.min() >= 0
    assert rgb.max() <= 1


def test_the_first_component_is_lightness_whatever_the_hue():
    inner = np.random.default_rng(0).uniform(0.35, 0.65, (200, 3))
    lightness = oklab(component_rgb(inner))[:, 0]
    np.testing.assert_allclose(lightness, 0.34 + 0.58 * inner[:, 0], atol=1e-3)
