from dataclasses import replace

import numpy as np
import pytest
import torch

from histoscribe.errors import ConfigError, InputError, ResultError
from histoscribe.maps import MAPPERS, autoencoder_train
from histoscribe.maps.autoencoder import AutoencoderMapper
from histoscribe.maps.autoencoder_network import Autoencoder
from histoscribe.maps.autoencoder_picture import likeness, read_picture
from histoscribe.maps.autoencoder_state import network_of, read_state
from histoscribe.maps.footprint import footprint_operator
from histoscribe.maps.grid import make_grid
from histoscribe.maps.mapper import MapProblem
from histoscribe.slide.image import ArraySource, SlideImage

QUICK = {"rank": 6, "members": 1, "pretrain_steps": 12, "steps": 25, "field_steps": 60, "priors": (5e-4,)}


@pytest.fixture(scope="module")
def learnt(problem):
    return AutoencoderMapper(**QUICK).fit(problem)


def small(problem, *, side: int = 40, mpp: float = 8.0) -> MapProblem:
    """A problem on a picture of few pixels, with the spots' counts of another."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(120, 240, (side, side, 3), dtype=np.uint8)
    image = SlideImage(ArraySource([pixels]), mpp=mpp)
    grid = make_grid(image, um=16.0)
    xy_px = rng.uniform(0.1, 0.9, (30, 2)) * side
    return MapProblem(
        grid=grid,
        cells=np.arange(grid.size),
        footprint=footprint_operator(xy_px, grid, diameter_um=55.0),
        xy_um=xy_px * mpp,
        counts=problem.counts[:30],
        library=problem.library[:30],
        genes=problem.genes,
        image=image,
    )


def test_it_is_registered_and_reads_pixels():
    assert MAPPERS.get("autoencoder") is AutoencoderMapper
    assert not AutoencoderMapper.needs_features


def test_expected_values_are_never_negative(learnt):
    assert learnt.per_10k().min() >= 0
    assert learnt.factors.min() >= 0
    assert learnt.loadings.min() >= 0


def test_spots_it_learnt_from_are_followed(problem, learnt):
    from histoscribe.maps.metrics import pearson

    assert np.nanmean(pearson(problem.log_values(), learnt.at(problem.footprint))) > 0.3


def test_the_evidence_says_what_was_held_out_and_when_training_stopped(problem, learnt):
    evidence = learnt.evidence
    assert evidence["held_out_spots"] == -(-len(problem) // 6)
    assert 1 <= evidence["stopped_at_step"][0] <= QUICK["steps"]
    assert np.isfinite(learnt.interval).all()
    assert (learnt.interval[0] <= learnt.interval[1]).all()


def test_the_latent_grid_is_kept_for_every_cell(problem, learnt):
    assert learnt.latent.shape == (len(problem.cells), 64)
    assert np.isfinite(learnt.latent).all()
    assert (learnt.latent.std(axis=0) > 0).all()


def test_the_picture_that_is_reconstructed_is_like_the_true_one(problem, learnt):
    from skimage.metrics import structural_similarity

    found = learnt.reconstruction
    assert found.made.shape == found.truth.shape
    fold = round(problem.grid.um / found.um_per_px)
    tissue = np.zeros(problem.grid.size, bool)
    tissue[problem.cells] = True
    tissue = tissue.reshape(problem.grid.shape).repeat(fold, 0).repeat(fold, 1)
    _, like = structural_similarity(found.truth, found.made, channel_axis=2, full=True)
    assert found.ssim == pytest.approx(like[tissue].mean(), abs=1e-4)
    assert learnt.evidence["picture_ssim"] == round(found.ssim, 4)
    flat = np.broadcast_to(found.truth[tissue].mean(axis=0).astype(np.uint8), found.truth.shape)
    assert found.ssim > likeness(found.truth, flat, tissue)  # better than the mean colour everywhere


def test_the_picture_is_the_same_however_it_is_cut(problem):
    held = small(problem, side=60)
    picture = read_picture(held.image, held.grid, held.cells, um_per_px=8.0)
    model = torch.nn.Module()
    model.network = Autoencoder(3, mean=torch.full((3,), 0.7), scale=torch.full((3,), 0.1)).eval()
    tissue = np.ones(held.grid.shape, bool)
    whole, cut = (autoencoder_train.redraw([model], picture, tissue, tile_px=side).astype(int) for side in (384, 16))
    assert np.abs(whole - cut).max() <= 1
    assert whole.std() > 0


def test_the_same_seed_gives_the_same_map_on_one_and_two_threads(problem):
    held = small(problem)
    before = torch.get_num_threads()
    maps = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            maps.append(AutoencoderMapper(**QUICK, seed=3).fit(held))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(maps[0].factors, maps[1].factors)
    assert np.array_equal(maps[0].loadings, maps[1].loadings)


def test_the_problem_is_left_as_it_was(problem):
    held = small(problem)
    before = held.footprint.toarray()
    AutoencoderMapper(**QUICK | {"steps": 1}).fit(held)
    assert np.array_equal(held.footprint.toarray(), before)


@pytest.fixture
def kept(problem, tmp_path):
    AutoencoderMapper(**QUICK | {"members": 2, "steps": 5}, keep=tmp_path).train(small(problem))
    return tmp_path


def test_the_network_is_restored_from_plain_arrays(kept):
    networks = [network_of(read_state(kept / f"member_{k}.safetensors")) for k in (0, 0, 1)]
    window = torch.rand(1, 3, 64, 64)
    latent = [network(window).latent.detach().numpy() for network in networks]
    assert np.array_equal(latent[0], latent[1])
    assert not np.array_equal(latent[0], latent[2])


def test_an_interrupted_training_goes_on_and_ends_the_same(problem, kept, monkeypatch):
    options = QUICK | {"members": 2, "steps": 5}
    whole = AutoencoderMapper(**options).fit(small(problem))
    (kept / "member_1.json").unlink()
    begun = []
    monkeypatch.setattr(autoencoder_train, "pretrain", None)
    train = autoencoder_train.train
    monkeypatch.setattr(autoencoder_train, "train", lambda *a, **k: begun.append(1) or train(*a, **k))
    resumed = AutoencoderMapper(**options, keep=kept).fit(small(problem))
    assert begun == [1]
    assert np.array_equal(whole.factors, resumed.factors)
    assert whole.evidence == resumed.evidence


def test_a_damaged_file_of_weights_is_refused(kept):
    path = kept / "member_0.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ResultError, match="damaged or not safetensors"):
        read_state(path)


def test_a_state_without_a_network_is_refused():
    with pytest.raises(ConfigError, match="holds no network"):
        network_of({})


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("network.mean"),
        lambda state: state.update({"network.gene_head.bias": np.zeros(400, np.float32)}),
        lambda state: state.update({"network.mean": np.zeros(7, np.float32)}),
        lambda state: state.update({"network.gene_head.bias": np.float32(1)}),
        lambda state: state.update({"network.mean": np.zeros(3, np.uint64)}),
    ],
)
def test_a_state_of_another_network_is_refused(kept, change):
    state = read_state(kept / "member_0.safetensors")
    change(state)
    with pytest.raises(ConfigError, match="another network"):
        network_of(state)


def test_held_out_spots_have_values_and_all_others_have_none(problem, learnt):
    held = learnt.held
    assert set(held.fold) == {-1, 0}
    assert (np.isfinite(held.values).all(axis=1) == (held.fold >= 0)).all()


@pytest.mark.parametrize("side", [5, 12])
def test_a_picture_smaller_than_the_latent_grid_is_mapped(problem, side):
    held = small(problem, side=side)
    found = AutoencoderMapper(**QUICK | {"steps": 2}).fit(held)
    assert found.factors.shape[0] == held.grid.size
    assert np.isfinite(found.factors).all()
    assert (found.reconstruction.ssim is None) == (side < 7)


def test_a_constant_gene_is_mapped_as_constant_as_the_rest_allows(problem):
    held = small(problem)
    counts = held.counts.tolil()
    counts[:, 0] = 0
    found = AutoencoderMapper(**QUICK | {"steps": 2}).fit(replace(held, counts=counts.tocsr()))
    assert not found.per_10k(slice(0, 1)).any()


def test_counts_that_are_no_numbers_are_refused(problem):
    held = small(problem)
    counts = held.counts.copy()
    counts.data[0] = np.nan
    with pytest.raises(InputError, match="no numbers"):
        AutoencoderMapper(**QUICK).fit(replace(held, counts=counts))


def test_too_few_spots_are_refused(problem):
    with pytest.raises(InputError, match="too little was measured"):
        AutoencoderMapper(**QUICK).fit(problem.take(np.arange(5)))


def test_spots_that_cover_no_cell_are_refused(problem):
    held = small(problem)
    empty = held.footprint.copy()
    empty.data[:] = 0
    empty.eliminate_zeros()
    with pytest.raises(InputError, match="cover no cell"):
        AutoencoderMapper(**QUICK).fit(replace(held, footprint=empty))


def test_a_problem_without_a_picture_is_refused(problem):
    with pytest.raises(InputError, match="no picture"):
        AutoencoderMapper(**QUICK).fit(replace(problem, image=None))


@pytest.mark.parametrize("options", [{"rank": 0}, {"rank": 70, "members": 2}, {"ranks": 3}, {"steps": 0}])
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ConfigError):
        AutoencoderMapper(**options)


def test_an_unknown_device_is_refused_at_once():
    with pytest.raises(ConfigError, match="no device 'abacus'"):
        AutoencoderMapper(**QUICK, device="abacus")
