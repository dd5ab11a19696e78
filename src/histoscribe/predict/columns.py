"""Process wide tables block by block: thousands of targets on tens of thousands of spots fit in memory."""

from collections.abc import Iterator

_VALUES_AT_ONCE = 1 << 22


def column_blocks(n: int, t: int) -> Iterator[slice]:
    """Cut t columns of n rows into blocks of at most about four million values, at least one column each."""
    width = max(1, _VALUES_AT_ONCE // max(n, 1))
    for start in range(0, t, width):
        yield slice(start, min(start + width, t))
