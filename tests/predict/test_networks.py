"""The three-branch network is HEVisum's, and branches are joined by name."""

import pytest
import torch

from histoscribe.predict.networks import BRANCHES, BlockBranches, FlipMean, RankNetwork, ThreeBranches, join


@pytest.fixture
def three():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield ThreeBranches(2, 4).eval()


def part(tiles, row, column):
    """One of the nine parts of tiles of side 36."""
    return tiles[:, :, 12 * row : 12 * row + 12, 12 * column : 12 * column + 12]


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


def test_the_centre_branch_reads_the_centre_part_and_nothing_else(three):
    tiles = torch.rand(3, 3, 36, 36)
    said = three.branches(tiles)["centre"]
    torch.testing.assert_close(said, three.heads["centre"](three.trunks["centre"](part(tiles, 1, 1))))
    around = torch.rand_like(tiles)
    part(around, 1, 1).copy_(part(tiles, 1, 1))
    torch.testing.assert_close(three.branches(around)["centre"], said)


def test_the_subtile_branch_is_the_mean_over_all_nine_parts(three):
    tiles = torch.rand(3, 3, 36, 36)
    every = [three.trunks["subtiles"](part(tiles, row, column)) for row in range(3) for column in range(3)]
    torch.testing.assert_close(three.branches(tiles)["subtiles"], three.heads["subtiles"](torch.stack(every).mean(0)))


def test_branches_are_joined_by_name_whatever_their_order(three):
    said = three.branches(torch.rand(2, 3, 36, 36))
    turned = {name: said[name] for name in reversed(BRANCHES)}
    assert torch.equal(join(turned), join(said))
    assert torch.equal(three.decoder(join(turned)), three.decoder(join(said)))


def test_each_branch_has_a_say(three):
    said = three.branches(torch.rand(2, 3, 36, 36))
    whole = three.decoder(join(said))
    for name in BRANCHES:
        assert not torch.equal(three.decoder(join(said | {name: said[name] + 1})), whole)


def test_blocks_reach_the_branch_of_their_name():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = BlockBranches({"image@224": 3, "image@112": 3}, 4, 2).eval()
    blocks = {"image@224": torch.rand(5, 3), "image@112": torch.rand(5, 3)}
    found = network(**blocks)
    assert torch.equal(network(**dict(reversed(list(blocks.items())))), found)
    assert not torch.equal(network(**{"image@224": blocks["image@112"], "image@112": blocks["image@224"]}), found)
