import numpy as np

from histoscribe.domains.stability import choose_number


class Scripted:
    """Divides a line of 240 spots; numbers that are not stable are cut at another place by each repeat."""

    def __init__(self, repeat, stable):
        self.repeat, self.stable = repeat, stable

    def exactly(self, k):
        shift = 0 if k in self.stable else (self.repeat * 240) // (3 * k)
        return (((np.arange(240) + shift) % 240) * k) // 240, float("inf")


def choice(*stable):
    return choose_number([Scripted(repeat, stable) for repeat in range(3)], largest=9)


def test_the_most_stable_number_is_chosen():
    assert choice(5)["chosen"] == 5


def test_of_equally_stable_numbers_the_largest_is_chosen():
    assert choice(4, 6)["chosen"] == 6


def test_every_level_of_a_hierarchy_is_reported():
    assert choice(3, 6)["levels"] == [3, 6]


def test_the_finest_level_can_be_asked_for_where_a_coarse_one_is_as_stable_or_more():
    cuts = [Scripted(repeat, (3, 6)) for repeat in range(6)]
    cuts[5].stable = (3,)  # one repeat differs at six
    assert choose_number(cuts, largest=9)["chosen"] == 3
    found = choose_number(cuts, largest=9, finest=True)
    assert found["chosen"] == 6
    assert found["rule"].startswith("finest level")
