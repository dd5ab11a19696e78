"""Wide tables are cut into blocks that cover every column once and stay small."""

from hypothesis import given
from hypothesis import strategies as st

from histoscribe.predict.columns import column_blocks


@given(st.integers(0, 10**7), st.integers(0, 5000))
def test_every_column_is_in_one_block(n, t):
    blocks = list(column_blocks(n, t))
    assert [start for block in blocks for start in range(block.start, block.stop)] == list(range(t))
    assert all((block.stop - block.start) * n <= 2**22 or block.stop - block.start == 1 for block in blocks)
