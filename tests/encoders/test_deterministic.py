"""Torch's switches are turned for a while, and turned back."""

import torch

from histoscribe.encoders.deterministic import deterministic


def test_one_seed_gives_the_same_numbers():
    drawn = []
    for _ in range(2):
        with deterministic(3):
            drawn.append(torch.rand(4))
    assert torch.equal(*drawn)


def test_torch_is_left_as_it_was():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    with deterministic(0, threads=threads + 1, device=torch.device("cpu")):
        torch.rand(7)
        assert torch.get_num_threads() == threads + 1
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
