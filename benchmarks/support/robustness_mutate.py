"""Damages to bytes and to text: each takes the content and a random generator, and gives other content.

What a disk, a download, a spreadsheet, another program or another author does to a file. All draw from the generator
alone, so a seed names a damaged file.
"""

import gzip
import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

Damage = Callable[[bytes, Random], bytes]

# what may stand where a number or a name is meant
_CELLS = (
    "", "NaN", "nan", "inf", "-inf", "1e400", "-1", "0", "-0", "1.5", "99999999999999999999", "1e308", "0x10", "text",
    "1,5", " ", "\x00", "\U0001f52c", "=1+1", "'", '"', "null", "True", "None", "../x", "/etc/passwd", "a" * 5000,
    "9223372036854775808", "-9223372036854775809", "4294967296", "\ufeff", "\u202e1", "1e-400", "１２",
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 0.5, 10**30, -(10**30), 1e308, 2**31, 2**63, "", "text", "1", "NaN", "../x", "/x",
    "a" * 5000, [], {}, [None], [[]], [1, [2, [3]]], {"a": {"b": None}}, float("nan"), float("inf"), ["x", 1, None],
)  # fmt: skip


def _span(data: bytes, rng: Random, most: int = 4096) -> tuple[int, int]:
    """Begin and end of a run, short ones as often as long ones."""
    length = min(len(data), int(2 ** rng.uniform(0, max(1, most).bit_length())))
    begin = rng.randrange(max(1, len(data) - length + 1))
    return begin, begin + length


def flip_bits(data: bytes, rng: Random) -> bytes:
    """Flip one to eight bits."""
    changed = bytearray(data or b"\0")
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flip_early_bits(data: bytes, rng: Random) -> bytes:
    """Flip bits within the first kilobyte, where headers are."""
    return flip_bits(data[:1024], rng) + data[1024:]


def random_bytes(data: bytes, rng: Random) -> bytes:
    """Put other bytes in the place of a run."""
    begin, end = _span(data, rng, 64)
    return data[:begin] + rng.randbytes(end - begin) + data[end:]


def zero_run(data: bytes, rng: Random) -> bytes:
    """Put zeros in the place of a run, as a hole in a file does."""
    begin, end = _span(data, rng)
    return data[:begin] + bytes(end - begin) + data[end:]


def remove_run(data: bytes, rng: Random) -> bytes:
    """Take a run out."""
    begin, end = _span(data, rng)
    return data[:begin] + data[end:]


def insert_run(data: bytes, rng: Random) -> bytes:
    """Put bytes in between."""
    begin, end = _span(data, rng, 512)
    return data[:begin] + rng.randbytes(end - begin) + data[begin:]


def double_run(data: bytes, rng: Random) -> bytes:
    """Write a run twice."""
    begin, end = _span(data, rng)
    return data[:end] + data[begin:]


def swap_runs(data: bytes, rng: Random) -> bytes:
    """Exchange two runs of one length."""
    begin, end = _span(data[: len(data) // 2], rng)
    other = rng.randrange(len(data) // 2, max(len(data) // 2 + 1, len(data) - (end - begin) + 1))
    length = min(end - begin, len(data) - other)
    return (
        data[:begin] + data[other : other + length] + data[begin + length : other] + data[begin : begin + length]
        + data[other + length :]
    )  # fmt: skip


def truncate(data: bytes, rng: Random) -> bytes:
    """Cut the end off, anywhere."""
    return data[: rng.randrange(max(1, len(data)))]


def truncate_little(data: bytes, rng: Random) -> bytes:
    """Cut the last 1 to 512 bytes off."""
    return data[: max(0, len(data) - rng.randint(1, 512))]


def append(data: bytes, rng: Random) -> bytes:
    """Add bytes at the end: zeros, noise, or the file's own beginning."""
    more = rng.randint(1, 2048)
    return data + rng.choice((bytes(more), rng.randbytes(more), data[:more]))


def empty(data: bytes, rng: Random) -> bytes:
    """Leave nothing."""
    return b""


def line_ends_of_text(data: bytes, rng: Random) -> bytes:
    """Convert the line ends as if the bytes were text, as FTP did."""
    return data.replace(b"\n", b"\r\n")


BYTES: dict[str, Damage] = {
    one.__name__: one
    for one in (
        flip_bits, flip_early_bits, random_bytes, zero_run, remove_run, insert_run, double_run, swap_runs, truncate,
        truncate_little, append, empty, line_ends_of_text,
    )
}  # fmt: skip


def within_gzip(damage: Damage) -> Damage:
    """Do the same damage to the content of a gzip file."""

    def damaged(data: bytes, rng: Random) -> bytes:
        return gzip.compress(damage(gzip.decompress(data), rng), mtime=0, compresslevel=1)

    return damaged


# ---- JSON ----


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all parts of a JSON value."""
    found = [path]
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            found += _places(part, (*path, key))
    return found


def _edit_json(data: bytes, rng: Random, change: Callable[[Any, Any], None]) -> bytes:
    whole = json.loads(data)
    # short paths as often as long ones: the top decides what all the rest means
    by_depth: dict[int, list[tuple[Any, ...]]] = {}
    for path in _places(whole)[1:] or [()]:
        by_depth.setdefault(len(path), []).append(path)
    path = rng.choice(by_depth[rng.choice(sorted(by_depth))])
    if not path:
        return json.dumps(rng.choice(_VALUES)).encode()
    holder = whole
    for key in path[:-1]:
        holder = holder[key]
    change(holder, path[-1])
    return json.dumps(whole, indent=2).encode()


def json_value(data: bytes, rng: Random) -> bytes:
    """Put a value of another kind in the place of one."""

    def change(holder: Any, key: Any) -> None:
        holder[key] = rng.choice(_VALUES)

    return _edit_json(data, rng, change)


def json_number(data: bytes, rng: Random) -> bytes:
    """Change a number: its sign, its size; or a text's letters."""

    def change(holder: Any, key: Any) -> None:
        value = holder[key]
        if isinstance(value, int | float) and not isinstance(value, bool):
            holder[key] = rng.choice((-value, value * 1000, value + 1, value / 7, value * 10**12, -1, 0))
        elif isinstance(value, str):
            holder[key] = rng.choice((value[::-1], value + "x", value.upper(), "", value * 50))
        elif isinstance(value, list):
            rng.shuffle(value)
            del value[rng.randrange(len(value) + 1) :]
        else:
            holder[key] = rng.choice(_VALUES)

    return _edit_json(data, rng, change)


def json_drop(data: bytes, rng: Random) -> bytes:
    """Take a key or an element out."""

    def change(holder: Any, key: Any) -> None:
        del holder[key]

    return _edit_json(data, rng, change)


def json_wrap(data: bytes, rng: Random) -> bytes:
    """Put a value into a list or an object of its own, or a hundred of them."""

    def change(holder: Any, key: Any) -> None:
        for _ in range(rng.choice((1, 2, 100))):
            holder[key] = rng.choice(([holder[key]], {"value": holder[key]}))

    return _edit_json(data, rng, change)


def json_whole(data: bytes, rng: Random) -> bytes:
    """Put another JSON text in the place of all."""
    deep = 100_000
    return rng.choice(
        (b"null", b"[]", b"{}", b'"text"', b"0", b"[" * deep + b"]" * deep, b'{"a":' * deep + b"1" + b"}" * deep,
         b"NaN", b"\xef\xbb\xbf" + data, data + data, b"[" + data + b"]", data.decode().encode("utf-16"),
         b'{"a": ' + b"9" * 10_000 + b"}", data.replace(b'"', b"'"), b'{"\\ud800": 1}')
    )  # fmt: skip


JSON: dict[str, Damage] = {one.__name__: one for one in (json_value, json_number, json_drop, json_wrap, json_whole)}


# ---- TOML ----

_TOML = (
    "-1", "0", "1e308", "inf", "nan", "true", '""', '"text"', '"../x"', "[]", "{}", "[[1], [2]]", "1979-05-27",
    "07:32:00", "99999999999999999999999999", '["a", "b"]', '{a = 1}', "0.5", "'/etc/passwd'", '"${HOME}"', "[0, 0, 0]",
    '"local-dir:/x"', '"hf-hub:a/b"', "[1.0, 2.0]",
)  # fmt: skip


def toml_value(data: bytes, rng: Random) -> bytes:
    """Give a key a value of another kind."""
    lines = data.decode().splitlines()
    at = rng.choice([k for k, line in enumerate(lines) if "=" in line])
    lines[at] = f"{lines[at].partition('=')[0]}= {rng.choice(_TOML)}"
    return "\n".join(lines).encode() + b"\n"


def toml_key(data: bytes, rng: Random) -> bytes:
    """Misspell a key, drop it, write it twice, or add a table."""
    lines = data.decode().splitlines()
    at = rng.choice([k for k, line in enumerate(lines) if "=" in line])
    way = rng.randrange(5)
    if way == 0:
        lines[at] = "x" + lines[at]
    elif way == 1:
        del lines[at]
    elif way == 2:
        lines.insert(at, lines[at])
    elif way == 3:
        lines[at:at] = [f"[{lines[at].partition('=')[0].strip()}]"]
    else:
        lines.append(rng.choice(("[model_args]\nx = 1", "[weights]\na = 'b'", "a.b.c = 1", "[[x]]", '"" = 1')))
    return "\n".join(lines).encode() + b"\n"


def toml_whole(data: bytes, rng: Random) -> bytes:
    """Put another text in the place of all."""
    deep = 50_000
    return rng.choice(
        (b"x = " + b"[" * deep + b"]" * deep, b"x" + b".x" * deep + b" = 1", b"{}", b"\0",
         data.decode().encode("utf-16"),
         b"\xef\xbb\xbf" + data, data.replace(b"\n", b"\r"), data + data, b"# only a remark", b"x = " + b"9" * 10_000)
    )  # fmt: skip


TOML: dict[str, Damage] = {one.__name__: one for one in (toml_value, toml_key, toml_whole)}


# ---- tables of text ----


def _separator(text: str) -> str:
    return "\t" if "\t" in text.partition("\n")[0] else ","


def _edit_rows(data: bytes, rng: Random, change: Callable[[list[list[str]]], None]) -> bytes:
    text = data.decode()
    rows = [line.split(_separator(text)) for line in text.splitlines()]
    change(rows)
    return ("\n".join(_separator(text).join(row) for row in rows) + "\n").encode()


def table_cell(data: bytes, rng: Random) -> bytes:
    """Write something else into one cell, or into a few."""

    def change(rows: list[list[str]]) -> None:
        for _ in range(rng.choice((1, 1, 1, 5))):
            row = rng.choice(rows)
            row[rng.randrange(len(row))] = rng.choice(_CELLS)

    return _edit_rows(data, rng, change)


def table_column(data: bytes, rng: Random) -> bytes:
    """Drop a column, double it, empty it, fill it, or exchange it with another."""

    def change(rows: list[list[str]]) -> None:
        at, way, value = rng.randrange(len(rows[0])), rng.randrange(5), rng.choice(_CELLS)
        other = rng.randrange(len(rows[0]))
        for row in rows:
            if max(at, other) >= len(row):
                continue
            if way == 0:
                del row[at]
            elif way == 1:
                row.insert(at, row[at])
            elif way == 2 and row is not rows[0]:
                row[at] = ""
            elif way == 3 and row is not rows[0]:
                row[at] = value
            else:
                row[at], row[other] = row[other], row[at]

    return _edit_rows(data, rng, change)


def table_row(data: bytes, rng: Random) -> bytes:
    """Cut a row, lengthen it, double it, drop it, or drop the header; or shuffle all."""

    def change(rows: list[list[str]]) -> None:
        at, way = rng.randrange(len(rows)), rng.randrange(7)
        if way == 0:
            rows[at] = rows[at][: rng.randrange(len(rows[at]) + 1)]
        elif way == 1:
            rows[at] = rows[at] + ["1"]
        elif way == 2:
            rows.insert(at, list(rows[at]))
        elif way == 3:
            del rows[at]
        elif way == 4:
            del rows[0]
        elif way == 5:
            del rows[1:]
        else:
            rng.shuffle(rows)

    return _edit_rows(data, rng, change)


def table_text(data: bytes, rng: Random) -> bytes:
    """Change how the whole text is written: line ends, quotes, separators, encoding, NUL."""
    text = data.decode()
    at = rng.randrange(len(text))
    ways = (
        lambda: text.replace("\n", "\r"),
        lambda: text.replace("\n", "\r\n"),
        lambda: text[:at] + '"' + text[at:],
        lambda: text[:at] + "\0" + text[at:],
        lambda: text[:at] + "\n" + text[at:],
        lambda: text[:at] + "\x1a" + text[at:],
        lambda: text.replace(_separator(text), ";"),
        lambda: text.replace(_separator(text), " "),
        lambda: text.replace(_separator(text), _separator(text) * 2),
        lambda: "\ufeff" + text,
        lambda: "\n\n" + text + "\n\n",
        lambda: re.sub(r"([^,\t\n]+)", r'"\1"', text),
        lambda: text[:at] + "x" * 200_000 + text[at:],
        lambda: text.upper(),
        lambda: text + text,
        lambda: text.rstrip("\n"),
        lambda: text.replace(".", ","),
        lambda: text[:at] + "\u2028" + text[at:],
        lambda: text.split("\n", 1)[0] + "\r" + text.split("\n", 1)[-1],
    )
    changed = rng.choice(ways)()
    return changed.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-8", "utf-16", "utf-32", "cp1252")), "replace")


TABLE: dict[str, Damage] = {one.__name__: one for one in (table_cell, table_column, table_row, table_text)}
