import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from histoscribe.maps.autoencoder_loss import dissimilarity, unevenness


@pytest.fixture
def pictures(rng):
    return [torch.from_numpy(rng.random((1, 3, 40, 50))) for _ in range(2)]


def test_it_is_one_minus_the_structural_similarity_of_another_library(pictures):
    a, b = (p[0].numpy() for p in pictures)
    _, full = structural_similarity(
        a, b, channel_axis=0, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    whole = full[:, 5:-5, 5:-5].mean()
    assert float(dissimilarity(*pictures)) == pytest.approx(1 - whole, abs=2e-4)  # its bell ends at another place


def test_a_picture_is_like_itself(pictures):
    assert float(dissimilarity(pictures[0], pictures[0])) == pytest.approx(0, abs=1e-9)


def test_what_is_off_the_tissue_does_not_count(pictures):
    a, b = pictures[0], pictures[0].clone()
    b[..., :20] = 1 - b[..., :20]
    weight = torch.zeros(1, 1, 40, 50, dtype=a.dtype)
    weight[..., 30:] = 1
    assert float(dissimilarity(a, b, weight)) == pytest.approx(0, abs=1e-9)


def test_an_even_map_has_no_unevenness():
    assert float(unevenness(torch.full((2, 6, 7), 3.0), torch.ones(6, 7))) == 0


def test_steps_under_spots_are_free():
    active, absence = torch.zeros(1, 4, 4), torch.ones(4, 4)
    active[:, :, 2:] = 1
    absence[:, 1:3] = 0
    assert float(unevenness(active, absence)) == 0
    assert float(unevenness(active, torch.ones(4, 4))) == pytest.approx(4 / (2 * 16))


def test_the_loss_leads_a_picture_to_its_original(pictures):
    truth = pictures[0]
    found = torch.full_like(truth, 0.5).requires_grad_()
    optimiser = torch.optim.Adam([found], lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        dissimilarity(found, truth).backward()
        optimiser.step()
    assert float(dissimilarity(found.detach(), truth)) < 0.1
    assert np.corrcoef(found.detach().numpy().ravel(), truth.numpy().ravel())[0, 1] > 0.9
