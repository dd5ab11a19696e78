"""Sample sheets: a csv or tsv with one row per section, checked whole before anything is read."""

import re
from collections import defaultdict
from pathlib import Path

from histoscribe.errors import ConfigError, InputError, listing, nearest
from histoscribe.io.formats import FORMATS
from histoscribe.io.frames import stated_frame
from histoscribe.io.reading import Request
from histoscribe.io.tables import delimiter, parse_rows, read_text
from histoscribe.store.received import expanded

COLUMNS = (
    "section", "patient", "format", "path", "image", "counts", "spots", "mpp", "scale", "bin_um", "abundance",
    "allow_damaged", "section_column",
)  # fmt: skip
_FILES = ("path", "image", "counts", "spots")
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OTHER_WORDS = {"sample": "section"}  # nf-core's sheets
_DECIMAL_COMMA = re.compile(r"0,\d+|\d+,(?!\d{3}$)\d+")  # 1,000 may be a thousand
_YES_NO = {"": False, "no": False, "yes": True}


def read_samplesheet(path: str | Path) -> list[Request]:
    """Read a sample sheet into one request per row.

    Columns: section, and path or spots; optional patient, format, image, counts, spots, mpp (microns per pixel of the
    image), scale (fullres, hires, lowres, or the factor from the spots' pixels to the image's, "0.2876" or
    "2000/6954"), bin_um, abundance, which `read_abundance_tables` gives, allow_damaged (yes or no: whether a
    picture that is known to be damaged is read with a note), and section_column (the column of obs that names the
    sections of an h5ad that holds several; "none" where it holds one). Paths are relative to the sheet. Empty cells
    mean "find out", and "no" for allow_damaged. `sample` is understood as section, and 0,69 as 0.69.

    Raises
    ------
    InputError
        All that is wrong with the sheet at once, with its lines.
    """
    path = Path(path)
    header, rows, lines = _table(path)
    problems = _header_problems(header)
    if problems:
        raise _refusal(path, problems)
    requests = []
    seen: defaultdict[str, list[int]] = defaultdict(list)
    for row, line in zip(rows, lines, strict=True):
        if len(row) > len(header):
            problems.append(f"line {line}: {len(row)} fields, the header has {len(header)}")
            continue
        cells = {name: cell.strip() for name, cell in zip(header, row, strict=False)}
        request, wrong = _request(cells, path.parent)
        problems += [f"line {line}: {problem}" for problem in wrong]
        seen[cells.get("section", "").lower()].append(line)
        if request is not None:
            requests.append(request)
    for name, at in seen.items():
        # folders of results that differ by case alone are one folder on many disks
        if name and len(at) > 1:
            problems.append(f"lines {', '.join(map(str, at))}: the section name {name!r} stands more than once")
    problems += _patients_spelt_differently(requests)
    if not requests and not problems:
        problems.append("there is no row below the header")
    if problems:
        raise _refusal(path, problems)
    return requests


def read_abundance_tables(path: str | Path) -> dict[str, Path]:
    """Read the column `abundance` of a sample sheet: section to its table of cell types by barcode, where it has one.

    Raises
    ------
    InputError
        What `read_samplesheet` refuses.
    """
    path = Path(path)
    read_samplesheet(path)
    header, rows, _ = _table(path)
    cells = [{name: cell.strip() for name, cell in zip(header, row, strict=False)} for row in rows]
    return {row["section"]: path.parent / expanded(row["abundance"]) for row in cells if row.get("abundance")}


def _table(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Names of the columns, the rows below them and their lines; commas at the end of a line mean nothing."""
    text = read_text(path)
    rows, lines = parse_rows(path, text, delimiter(text.lstrip("\n").partition("\n")[0]))
    header = _trimmed([name.strip().lower() for name in rows[0]])
    if "section" not in header:
        header = [_OTHER_WORDS.get(name, name) for name in header]
    return header, [row if len(row) <= len(header) else _trimmed(row) for row in rows[1:]], lines[1:]


def _trimmed(cells: list[str]) -> list[str]:
    while cells and not cells[-1].strip():
        cells = cells[:-1]
    return cells


def _refusal(path: Path, problems: list[str]) -> InputError:
    if len(problems) == 1:
        return InputError(problems[0], where=path)
    return InputError(f"{len(problems)} problems:\n    " + "\n    ".join(problems), where=path)


def _patients_spelt_differently(requests: list[Request]) -> list[str]:
    """Name patients that differ only in spelling: taken for two, one patient would stand in training and test."""
    spellings: defaultdict[str, set[str]] = defaultdict(set)
    for request in requests:
        if request.patient is not None:
            plain = re.sub(r"[\s_-]+", "-", request.patient.casefold())
            spellings[re.sub(r"0*(\d+)", r"\1", plain)].add(request.patient)
    return [
        f"the patients {listing(sorted(names))} differ only in spelling: write one patient in one way, or tell two "
        "patients apart by more than capitals, leading zeros, blanks and dashes"
        for names in spellings.values()
        if len(names) > 1
    ]


def _header_problems(header: list[str]) -> list[str]:
    unknown = [name for name in header if name not in COLUMNS]
    problems = [f"unknown column {name!r}; {nearest(name, COLUMNS)}" for name in unknown]
    problems += [f"column {name!r} stands more than once" for name in sorted(set(header)) if header.count(name) > 1]
    if "section" not in header:
        problems.append("the column 'section' is missing")
    if not {"path", "spots"} & set(header):
        problems.append("there must be a column 'path' (vendor folder or file) or 'spots' (loose files)")
    return problems


def _request(cells: dict[str, str], folder: Path) -> tuple[Request | None, list[str]]:
    """Return the request of a row, and all that is wrong with it."""
    wrong = []
    section = cells.get("section", "")
    if not _SAFE_NAME.fullmatch(section):
        wrong.append(
            f"section {section!r}: a name holds letters, digits, '.', '-', '_' and starts with a letter or digit"
            if section
            else "the section has no name"
        )
    files = {name: folder / expanded(cells[name]) for name in _FILES if cells.get(name)}
    if not {"path", "spots"} & set(files):
        wrong.append("give a path, or spots with image and counts")
    kind = cells.get("format") or None
    if kind is not None and kind not in FORMATS.names():
        wrong.append(f"unknown format {kind!r}; {nearest(kind, FORMATS.names())}")
    mpp, fault = _number(cells.get("mpp", ""), "mpp")
    bin_um, bin_fault = _number(cells.get("bin_um", ""), "bin_um")
    if bin_um is not None and bin_um != int(bin_um):
        bin_fault = f"bin_um {cells['bin_um']!r} is no whole number of microns"
    damaged = cells.get("allow_damaged", "").lower()
    damaged_fault = None if damaged in _YES_NO else f"allow_damaged {damaged!r} is neither yes nor no"
    faults = (fault, bin_fault, _scale_fault(cells.get("scale", "")), damaged_fault)
    wrong += [problem for problem in faults if problem]
    if wrong:
        return None, wrong
    request = Request(
        path=files.get("path"),
        section=section,
        patient=cells.get("patient") or None,
        format=kind,
        image=files.get("image"),
        counts=files.get("counts"),
        spots=files.get("spots"),
        mpp=mpp,
        scale=cells.get("scale") or None,
        bin_um=None if bin_um is None else int(bin_um),
        allow_damaged=_YES_NO[damaged],
        section_column=cells.get("section_column") or None,
    )
    return request, []


def _number(text: str, column: str) -> tuple[float | None, str | None]:
    if not text:
        return None, None
    try:
        value = float(text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text)
    except ValueError:
        return None, f"{column} {text!r} is not a number"
    return (value, None) if 0 < value < float("inf") else (None, f"{column} {text!r} is not a positive number")


def _scale_fault(text: str) -> str | None:
    if not text:
        return None
    try:
        stated_frame(text, {"hires": 1.0, "lowres": 1.0}, None)
    except ConfigError as error:
        return error.problem + (f"; expected {error.expected}" if error.expected else "")
    return None
