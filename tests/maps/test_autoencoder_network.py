import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from histoscribe.maps.autoencoder_ground import pixel_tensor
from histoscribe.maps.autoencoder_network import HALO_PX, LATENT, Autoencoder, SpaceField, activity, positive
from histoscribe.maps.autoencoder_picture import Picture
from histoscribe.maps.autoencoder_train import Model, read_cells
from histoscribe.maps.grid import Grid


def network(channels: int = 3) -> Autoencoder:
    torch.manual_seed(0)
    made = Autoencoder(channels, mean=torch.full((3,), 0.5), scale=torch.full((3,), 0.2)).eval()
    torch.nn.init.normal_(made.gene_head.weight)  # it begins at 0, where nothing could be seen
    return made


@pytest.mark.parametrize(("height", "width"), [(96, 96), (104, 136), (8, 8)])
def test_any_size_is_read(height, width):
    read = network()(torch.rand(1, 3, height, width))
    assert read.image.shape == (1, 3, height, width)
    assert read.genes.shape == (1, 3, height, width)
    assert read.latent.shape == (1, LATENT, height // 8, width // 8)


def test_the_picture_lies_within_0_and_1_and_activities_are_never_negative():
    read = network()(torch.rand(1, 3, 64, 64) * 40 - 20)
    assert read.image.min() >= 0
    assert read.image.max() <= 1
    assert activity(read.genes[0], torch.randn(3, 32, 32) * 10, 2).min() >= 0


def test_nothing_beyond_the_halo_is_seen():
    window = torch.rand(1, 3, 2 * HALO_PX + 8, 2 * HALO_PX + 8, requires_grad=True)
    wide = torch.nn.functional.pad(window, (16, 16, 16, 16)).detach().requires_grad_()
    inner = slice(16 + HALO_PX, 16 + HALO_PX + 8)
    read = network()(wide)
    (read.genes[..., inner, inner].sum() + read.image[..., inner, inner].sum()).backward()
    seen = wide.grad.abs().amax(dim=(0, 1)) > 0
    assert seen[16:-16, 16:-16].any()
    seen[16:-16, 16:-16] = False
    assert not seen.any()


@pytest.mark.parametrize("fold", [1, 2, 3, 4])
def test_a_map_is_the_same_whatever_the_tile(rng, fold):
    grid = Grid(37, 50, 12.0, 1.0)
    pixels = rng.integers(0, 255, (37 * fold, 50 * fold, 3), dtype=np.uint8)
    picture, tissue = Picture(pixels, fold, grid), np.ones(grid.shape, bool)
    made = network()
    field = SpaceField(3, extent_um=(444.0, 600.0), spacing_um=(100.0, 200.0))
    for nodes in field.nodes:
        torch.nn.init.normal_(nodes)
    model = Model(made, field, torch.ones(3, 3))
    whole, latent = read_cells(model, picture, tissue, tile_px=10_000)
    cut, cut_latent = read_cells(model, picture, tissue, tile_px=48)
    assert np.allclose(whole, cut, atol=1e-4)
    assert np.allclose(latent, cut_latent, atol=1e-4)
    assert whole.std() > 0.1


def test_cells_without_tissue_are_left_zero(rng):
    grid = Grid(40, 40, 8.0, 1.0)
    picture = Picture(rng.integers(0, 255, (80, 80, 3), dtype=np.uint8), 2, grid)
    tissue = np.zeros(grid.shape, bool)
    tissue[:8, :8] = True
    model = Model(network(), SpaceField(3, extent_um=(320.0, 320.0), spacing_um=(100.0,)), torch.ones(3, 3))
    found, _ = read_cells(model, picture, tissue, tile_px=32)
    assert found[:8, :8].min() > 0
    assert not found[20:, 20:].any()


def test_beyond_its_border_a_picture_goes_on_as_it_ends(rng):
    picture = Picture(rng.integers(0, 255, (6, 4, 3), dtype=np.uint8), 2, Grid(3, 2, 8.0, 1.0))
    window = picture.window(0, 0, side=4, halo_px=3)
    assert window.shape == (14, 14, 3)
    assert np.array_equal(window[3:9, 3:7], picture.pixels)
    assert np.array_equal(window[0, 0], picture.pixels[0, 0])
    assert np.array_equal(window[-1, -1], picture.pixels[-1, -1])
    assert pixel_tensor(window, torch.device("cpu")).shape == (1, 3, 14, 14)


def test_the_field_is_a_cubic_spline(rng):
    field = SpaceField(1, extent_um=(50.0, 300.0), spacing_um=(100.0,))
    weights = rng.normal(size=field.nodes[0].shape[2])
    with torch.no_grad():
        field.nodes[0].copy_(torch.from_numpy(weights).broadcast_to(field.nodes[0].shape))
    x = np.linspace(0, 299, 40)
    truth = BSpline(np.arange(-3.0, len(weights) + 1.0), weights, 3)(x / 100)
    found = field(torch.from_numpy(x.astype(np.float32)), torch.tensor([10.0, 40.0]))
    # down the rows all weights are the same, and splines sum to 1
    assert np.allclose(found[0].detach().numpy(), truth, atol=1e-4)


def test_the_field_at_places_is_that_of_the_raster(rng):
    field = SpaceField(2, extent_um=(300.0, 500.0), spacing_um=(80.0, 160.0))
    for nodes in field.nodes:
        torch.nn.init.normal_(nodes)
    x, y = torch.tensor([30.0, 444.0, 210.0]), torch.tensor([12.0, 290.0, 150.0])
    assert torch.allclose(field.at(torch.stack([x, y], dim=1)), field(x, y)[:, [0, 1, 2], [0, 1, 2]], atol=1e-5)


def test_activity_is_1_at_the_mean():
    assert float(positive(torch.zeros(1))) == pytest.approx(1.0)
