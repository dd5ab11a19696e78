"""The three-branch network is HEVisum's, and branches are joined by name."""

import torch

from histoscribe.predict.networks import FlipMean, RankNetwork, ThreeBranches


def test_it_has_as_many_weights_as_the_original():
    assert sum(p.numel() for p in ThreeBranches(35, 32).parameters()) == 6_679_843


def test_batch_normalisation_keeps_its_statistics_where_it_must():
    def backbone():
        return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten())

    for keep in (True, False):
        network = RankNetwork(backbone(), keep_statistics=keep, mean=(0.5,) * 3, deviation=(0.2,) * 3).train()
        before = network.backbone[1].running_mean.clone()
        found = network(torch.rand(4, 3, 8, 8))
        assert torch.equal(network.backbone[1].running_mean, before) is keep
        assert ((found > 0) & (found < 1)).all()


def test_four_views_make_a_flipped_tile_the_same():
    network = FlipMean(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64, 2))).eval()
    tile = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(network(tile), network(tile.flip(-1)))
