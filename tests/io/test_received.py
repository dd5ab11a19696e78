"""What is received is not trusted: contradicting matrices, absurd sizes, bombs, pipes, and parts of other kinds."""

import gzip
import json
import os
import shutil
import struct
import time
import zlib

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from histoscribe.cli import main
from histoscribe.errors import ConfigError, HistoscribeError, InputError
from histoscribe.io import Request, detect, read, read_samplesheet
from histoscribe.io.labels import read_labels
from histoscribe.io.matrix import read_counts
from histoscribe.io.matrix_market import read_matrix_market
from histoscribe.io.preflight import preflight
from histoscribe.io.tables import read_json, read_table, read_text
from histoscribe.run.section.settings import read_config
from histoscribe.store.compressed import require_compressed
from histoscribe.store.received import LIMIT, is_there, limit_bytes, read_received

pytestmark = pytest.mark.filterwarnings("ignore")

N, G = 12, 5


@pytest.fixture
def counts():
    """Counts of 12 spots and 5 genes, with a row of several."""
    values = np.random.default_rng(0).poisson(1.5, (N, G)).astype(np.float32)
    values[:2] = [[1, 2, 3, 4, 5], [5, 0, 4, 0, 3]]
    return values


@pytest.fixture
def h5ad(tmp_path, counts):
    """An h5ad that has a sparse matrix at every place where AnnData allows one."""

    def write(kind="csr", path=tmp_path / "a.h5ad"):
        X = sparse.csr_matrix(counts).asformat(kind)
        xy = np.column_stack([np.arange(N) % 4, np.arange(N) // 4]) * 30.0 + 10
        adata = AnnData(X=X, obs=pd.DataFrame(index=[f"s{k}" for k in range(N)]), obsm={"spatial": xy})
        adata.raw = adata.copy()
        adata.layers["counts"] = X.copy()
        for store, side in ((adata.obsm, N), (adata.varm, G)):
            store["loadings"] = sparse.csr_matrix(np.ones((side, 3)))
        adata.obsp["near"], adata.varp["near"] = sparse.csr_matrix(np.ones((N, N))), sparse.csr_matrix(np.ones((G, G)))
        adata.uns["spatial"] = {
            "lib": {"images": {"hires": np.full((90, 120, 3), 0.5)}, "scalefactors": {"tissue_hires_scalef": 1.0}}
        }
        adata.write_h5ad(path)
        return path

    return write


def change(path, name, values=None, **attributes):
    """Put other values, and other attributes, in the place of a dataset or group."""
    with h5py.File(path, "r+") as file:
        old = dict(file[name].attrs)
        if values is not None:
            del file[name]
            file[name] = values
        file[name].attrs.update(old | attributes)
    return path


def edit(path, name, function):
    with h5py.File(path, "r") as file:
        values = file[name][()]
    return change(path, name, function(values))


def at(place, value):
    def put(values):
        values = values.copy()
        values[place] = value
        return values

    return put


DAMAGES = {
    "an index beyond the row": ("indices", at(1, 10**6)),
    "a negative index": ("indices", at(1, -1)),
    "an index twice in a row": ("indices", at(1, 0)),
    "fractional indices": ("indices", lambda v: v.astype(float)),
    "fewer indices than values": ("indices", lambda v: v[:-2]),
    "fewer values than indices": ("data", lambda v: v[:-2]),
    "values that are text": ("data", lambda v: v.astype(int).astype("S")),
    "complex values": ("data", lambda v: v.astype(complex)),
    "values in two axes": ("data", lambda v: v[:, None]),
    "starts that begin late": ("indptr", at(0, 2)),
    "starts that fall": ("indptr", at(3, 10**6)),
    "a negative start": ("indptr", at(3, -5)),
    "starts that end early": ("indptr", at(-1, 7)),
    "starts that end late": ("indptr", at(-1, 10**9)),
    "too few starts": ("indptr", lambda v: v[:-1]),
    "too many starts": ("indptr", lambda v: np.append(v, v[-1])),
}
PLACES = ("X", "layers/counts", "raw/X", "obsm/loadings", "varm/loadings", "obsp/near", "varp/near")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["csr", "csc"])
def test_a_matrix_of_an_h5ad_whose_arrays_contradict_each_other_is_refused(h5ad, damage, kind):
    part, function = DAMAGES[damage]
    path = edit(h5ad(kind), f"X/{part}", function)
    with pytest.raises(InputError, match=r"a\.h5ad: X: the matrix's arrays contradict each other"):
        read(path, mpp=1.0)


@pytest.mark.parametrize("place", PLACES)
def test_every_place_of_an_h5ad_is_guarded(h5ad, place):
    path = edit(h5ad(), f"{place}/indices", at(1, 10**6))
    with pytest.raises(InputError, match=f"{place}: the matrix's arrays contradict"):
        read(path, mpp=1.0)


@pytest.mark.parametrize(
    "shape", [(-N, G), (N,), (N, G, 1), (N, 2**62), (N + 1, G), (2.5, 1), (N, G - 1), "text", (2**63 - 1, G)]
)
def test_an_absurd_shape_is_refused(h5ad, shape):
    with pytest.raises(InputError, match=r"a\.h5ad"):
        read(change(h5ad(), "X", shape=shape), mpp=1.0)


@pytest.mark.parametrize("kind", ["csr", "csc"])
def test_unsorted_indices_give_the_same_counts(h5ad, counts, kind):
    def turned(values):
        values = values.copy()
        values[:5] = values[:5][::-1]  # the first five stand in one row, or one column
        return values

    path = h5ad(kind)
    for part in ("indices", "data"):
        edit(path, f"X/{part}", turned)
    found = read(path, mpp=1.0).section.spots.X
    np.testing.assert_array_equal(found.toarray(), counts)
    assert found.has_sorted_indices


@pytest.mark.parametrize("damage", DAMAGES)
def test_10x_matrices_are_guarded_alike(visium, damage):
    part, function = DAMAGES[damage]
    edit(visium.matrix, f"matrix/{part}", function)
    with pytest.raises(InputError, match=r"filtered_feature_bc_matrix\.h5: "):
        read(visium.path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_guard_takes_any_kind_of_arrays(counts, damage):
    matrix = sparse.csr_matrix(counts)
    parts = {name: getattr(matrix, name) for name in ("data", "indices", "indptr")}
    require_compressed(*parts.values(), shape=matrix.shape, where="a", what="X")
    part, function = DAMAGES[damage]
    parts[part] = function(parts[part])
    with pytest.raises(InputError, match="contradict"):
        require_compressed(*parts.values(), shape=matrix.shape, where="a", what="X")


@settings(deadline=None, max_examples=200)
@given(
    indptr=st.lists(st.integers(-2, 6), min_size=1, max_size=5),
    indices=st.lists(st.integers(-2, 5), max_size=6),
    shape=st.tuples(st.integers(-1, 5), st.integers(-1, 5)),
)
def test_whatever_the_guard_lets_through_is_a_matrix_with_every_entry_once(indptr, indices, shape):
    data = np.arange(1, len(indices) + 1)
    try:
        require_compressed(data, np.array(indices, int), np.array(indptr), shape=shape, where="a", what="X")
    except InputError:
        return
    matrix = sparse.csr_matrix((data, np.array(indices, int), np.array(indptr)), shape=shape)
    assert sorted(matrix.toarray()[matrix.toarray() != 0]) == sorted(data)


# --- the limit -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a lot", "0", "-1", "nan", "inf"])
def test_a_limit_that_is_no_positive_number_is_refused(monkeypatch, text):
    monkeypatch.setenv(LIMIT, text)
    with pytest.raises(ConfigError, match=LIMIT):
        limit_bytes()


def test_the_limit_can_be_raised_and_lowered(monkeypatch, loose):
    monkeypatch.setenv(LIMIT, "0.000001")
    with pytest.raises(InputError, match="more memory than is allowed") as caught:
        read_table(loose.spots)
    assert LIMIT in str(caught.value)
    monkeypatch.setenv(LIMIT, "0.1")
    assert len(read_table(loose.spots)) == 12


def gzip_bomb(path, gigabytes):
    """Zeros, packed a thousandfold, without packing them here: one block of deflate, many times over."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    header = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    path.write_bytes(header + block * int(gigabytes * 64) + b"\x03\0" + struct.pack("<II", 0, 0))
    return path


@pytest.mark.parametrize("name", ["tissue_positions.csv.gz", "scalefactors_json.json.gz"])
def test_a_bomb_is_given_up_within_a_second(visium, name):
    shutil.rmtree(visium.path / "outs/spatial")
    (visium.path / "outs/spatial").mkdir()
    path = gzip_bomb(visium.spatial / name, 3)
    begun = time.perf_counter()
    with pytest.raises(InputError, match="unpacks to far more"):
        read_text(path)
    assert time.perf_counter() - begun < 2  # 64 MB of the 3 GB are unpacked


def test_a_gzip_of_several_members_is_read_whole(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n") + gzip.compress(b"1,2\n"))
    assert read_received(path) == b"a,b\n1,2\n"


@pytest.mark.parametrize("name", ["X/data", "X/indptr", "obsm/spatial", "uns/spatial/lib/images/hires"])
@pytest.mark.parametrize("shape", [(10**12,), (10**6, 10**6), (10**5, 10**4)])
def test_a_dataset_that_declares_any_size_is_refused(h5ad, name, shape):
    path = h5ad()
    with h5py.File(path, "r+") as file:
        attributes = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, shape, "f8", chunks=(1000,) * len(shape)).attrs.update(attributes)
    begun = time.perf_counter()
    with pytest.raises(InputError, match=r"a\.h5ad"):
        read(path, mpp=1.0)
    assert time.perf_counter() - begun < 1


@pytest.mark.parametrize("name", ["images/Train/S_1", "spots/Train/S_1"])
def test_a_challenge_file_that_declares_any_size_is_refused(challenge, name):
    with h5py.File(challenge, "r+") as file:
        kind = file[name].dtype
        del file[name]
        file.create_dataset(name, (10**6, 10**6, 3) if "images" in name else (10**12,), kind, chunks=True)
    with pytest.raises(InputError, match="more memory than is allowed"):
        read(challenge, section="S_1")


MTX = "%%MatrixMarket matrix coordinate integer general\n"
MARKETS = {
    "entries that the file cannot hold": (MTX + "6 9 50\n1 1 1\n", "too few for"),
    "more entries than memory": (MTX + "100000 100000 9000000000\n1 1 1\n", "more memory than is allowed"),
    "sides without end": (MTX + "6 900000000000000 1\n1 1 1\n", "more memory than is allowed"),
    "a dense matrix without end": ("%%MatrixMarket matrix array real general\n99999999 99999999\n1\n", "more memory"),
    "a negative side": (MTX + "-6 9 1\n1 1 1\n", "damaged"),
    "an entry twice": (MTX + "6 9 2\n1 1 1\n1 1 4\n", "twice"),
    "symmetry": (MTX.replace("general", "symmetric") + "6 6 1\n2 1 1\n", "symmetric"),
    "complex numbers": (MTX.replace("integer", "complex") + "6 9 1\n1 1 1 1\n", "complex"),
    "an entry beyond its side": (MTX + "6 9 1\n7 1 1\n", "damaged"),
    "an entry before the first": (MTX + "6 9 1\n0 1 1\n", "damaged"),
    "too many entries": (MTX + "6 9 1\n1 1 1\n2 2 2\n", "damaged"),
    "a number without end": (MTX + "6 9 1\n1 1 99999999999999999999999\n", "damaged"),
}


@pytest.mark.parametrize("case", MARKETS)
def test_matrix_market_headers_are_not_believed(tmp_path, case):
    text, words = MARKETS[case]
    (tmp_path / "matrix.mtx").write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        read_matrix_market(tmp_path / "matrix.mtx")
    assert "matrix.mtx" in str(caught.value)


def test_parquet_that_declares_more_than_the_limit(visium_hd, monkeypatch):
    monkeypatch.setenv(LIMIT, "0.00001")
    with pytest.raises(InputError, match=r"tissue_positions\.parquet: reading it would take more memory"):
        read(visium_hd)


# --- kinds of files --------------------------------------------------------------------------------------------------


@pytest.fixture
def pipe(tmp_path):
    """Make a named pipe in the place of a file; opening it blocks."""

    def make_at(path=tmp_path / "pipe"):
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        return path

    return make_at


READERS = {
    "a section": lambda path: read(path),
    "a section of a stated format": lambda path: read(path, format="anndata"),
    "detection": detect,
    "spots": lambda path: read(Request(spots=path)),
    "a sheet": read_samplesheet,
    "labels": read_labels,
    "a configuration": read_config,
    "counts": read_counts,
    "a table": read_table,
    "a JSON": read_json,
}


@pytest.mark.parametrize("suffix", ["", ".h5ad", ".h5", ".csv", ".parquet", ".toml"])
@pytest.mark.parametrize("reader", READERS)
def test_pipes_are_refused_by_every_reader(pipe, tmp_path, reader, suffix):
    with pytest.raises(HistoscribeError, match="pipe"):
        READERS[reader](pipe(tmp_path / f"strange{suffix}"))


@pytest.mark.parametrize("reader", READERS)
def test_devices_are_refused_by_every_reader(tmp_path, reader):
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(HistoscribeError, match="device"):
        READERS[reader](tmp_path / "zero")


@pytest.mark.parametrize(
    "name",
    ["outs/filtered_feature_bc_matrix.h5", "outs/spatial/tissue_positions.csv", "outs/spatial/scalefactors_json.json"],
)
def test_pipes_within_a_folder_are_refused(visium, pipe, name):
    pipe(visium.path / name)
    with pytest.raises(InputError, match="named pipe"):
        read(visium.path)


@pytest.mark.parametrize("column", ["path", "spots", "image", "counts"])
def test_pipes_that_a_sheet_names_are_refused(visium, loose, pipe, tmp_path, column):
    pipe()
    cells = {"section": "A", "spots": "spots.csv", "mpp": "0.5", column: "pipe"}
    (tmp_path / "sheet.csv").write_text(",".join(cells) + "\n" + ",".join(cells.values()) + "\n")
    (request,) = read_samplesheet(tmp_path / "sheet.csv")
    with pytest.raises(InputError, match="named pipe"):
        read(request)


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b", "~nobody-of-this-name/run", "run/outs/spatial/x/y"])
def test_paths_that_lead_nowhere_are_reported_as_such(tmp_path, name):
    with pytest.raises(InputError, match=r"cannot be followed|no such file"):
        read(tmp_path / name)


def test_links_that_lead_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a.h5ad").symlink_to("a.h5ad")
    with pytest.raises(InputError, match="cannot be followed"):
        is_there(tmp_path / "a.h5ad")


def test_values_in_other_files_of_this_machine_are_not_read(h5ad, tmp_path):
    h5ad(path=tmp_path / "secret.h5ad")
    path = h5ad()
    with h5py.File(path, "r+") as file:
        del file["obsm/spatial"]
        file["obsm/spatial"] = h5py.ExternalLink("secret.h5ad", "/obsm/spatial")
    with pytest.raises(InputError, match="names another file"):
        read(path, mpp=1.0)


@pytest.mark.parametrize("name", ["matrix", "matrix/data", "matrix/barcodes", "matrix/features", "matrix/features/id"])
def test_10x_files_do_not_lead_elsewhere_either(visium, name, tmp_path):
    shutil.copy(visium.matrix, tmp_path / "other.h5")
    with h5py.File(visium.matrix, "r+") as file:
        del file[name]
        file[name] = h5py.ExternalLink(str(tmp_path / "other.h5"), name)
    with pytest.raises(InputError, match="names another file"):
        read(visium.path)


def test_raw_bytes_of_other_files_are_not_read(h5ad, tmp_path):
    (tmp_path / "diary.txt").write_bytes(bytes(1000))
    path = h5ad()
    with h5py.File(path, "r+") as file:
        file.create_dataset("uns/more", (10,), "f8", external=[(str(tmp_path / "diary.txt"), 0, 80)])
    with pytest.raises(InputError, match="names another file"):
        read(path, mpp=1.0)


def test_a_group_that_holds_itself_is_refused(h5ad):
    path = h5ad()
    with h5py.File(path, "r+") as file:
        file["uns/spatial/again"] = file["uns"]
    with pytest.raises(InputError, match="occurs twice"):
        read(path, mpp=1.0)


def test_groups_that_multiply_are_refused(h5ad):
    path = h5ad()
    with h5py.File(path, "r+") as file:
        inner = file.create_group("uns/level")
        for level in range(12):
            outer = file.create_group(f"uns/level{level}")
            for k in range(10):
                outer[str(k)] = inner
            inner = outer
    with pytest.raises(InputError, match="occurs twice"):
        read(path, mpp=1.0)


# --- parts of another kind -------------------------------------------------------------------------------------------

KINDS = {
    "a matrix of one axis": ("X", np.ones(N, np.float32), "a.h5ad"),
    "a layer of one axis": ("layers/counts", np.ones(N, np.float32), "a.h5ad"),
    "scale factors that are numbers": ("uns/spatial/lib/scalefactors", np.ones(3), "no dictionary"),
    "pictures that are a picture": ("uns/spatial/lib/images", np.ones((5, 5, 3)), "no dictionary"),
    "a picture of one axis": ("uns/spatial/lib/images/hires", np.ones(30), "wrong shape"),
    "a picture of four axes": ("uns/spatial/lib/images/hires", np.ones((2, 5, 5, 3)), "wrong shape"),
    "a picture that is a number": ("uns/spatial/lib/images/hires", 0.5, "wrong shape"),
    "a picture of text": ("uns/spatial/lib/images/hires", np.full((90, 120, 3), b"a"), "no colours"),
    "a factor that is a list": ("uns/spatial/lib/scalefactors/tissue_hires_scalef", [1.0, 2.0], "positive number"),
    "a factor that is text": ("uns/spatial/lib/scalefactors/tissue_hires_scalef", "wide", "positive number"),
    "a factor that is nearly nothing": ("uns/spatial/lib/scalefactors/tissue_hires_scalef", 1e-320, "positive number"),
    "coordinates that are complex": ("obsm/spatial", np.ones((N, 2), complex), "numbers"),
    "coordinates of text": ("obsm/spatial", np.full((N, 2), b"left"), "numbers"),
}


@pytest.mark.parametrize("case", KINDS)
def test_a_part_of_an_h5ad_of_another_kind_is_refused(h5ad, case):
    name, values, words = KINDS[case]
    path = h5ad()
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = values
        kind = "string" if isinstance(values, str) else "array" if np.ndim(values) else "numeric-scalar"
        if getattr(values, "dtype", np.dtype("f8")).kind != "S":
            file[name].attrs.update({"encoding-type": kind, "encoding-version": "0.2.0"})
    with pytest.raises(InputError, match=words) as caught:
        read(path, mpp=1.0)
    assert "a.h5ad" in str(caught.value)


@pytest.mark.parametrize("values", [3, "group", np.ones(4), np.array([b"x"])])
@pytest.mark.parametrize("name", ["spots/Train/S_1", "images/Train/S_1", "spots/Train", "images", "spots"])
def test_a_part_of_the_challenge_of_another_kind_is_refused(challenge, name, values):
    with h5py.File(challenge, "r+") as file:
        del file[name]
        if isinstance(values, str):
            file.create_group(name)
        else:
            file[name] = values
    with pytest.raises(InputError, match=r"challenge\.h5"):
        read(challenge, section="S_1")


@pytest.mark.parametrize("name", ["id", "name", "feature_type"])
@pytest.mark.parametrize("values", [np.array([b"one"]), np.array([], "S1"), 4, np.arange(6), np.full((6, 2), b"a")])
def test_features_of_other_lengths_or_kinds_are_refused(visium, name, values):
    with h5py.File(visium.matrix, "r+") as file:
        del file[f"matrix/features/{name}"]
        file[f"matrix/features/{name}"] = values
    with pytest.raises(InputError, match=r"filtered_feature_bc_matrix\.h5"):
        read(visium.path)


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_lines_may_end_as_old_macs_and_windows_ended_them(visium, loose, st, end):
    paths = (visium.positions, loose.spots, loose.counts, st.spots)
    requests = (
        Request(path=visium.path),
        Request(spots=loose.spots, counts=loose.counts, image=loose.image, mpp=0.5),
        Request(spots=st.spots, counts=st.counts, image=st.image),
    )
    expected = [read(request).section for request in requests]
    for path in paths:
        path.write_bytes(path.read_bytes().replace(b"\n", end.encode()))
    for request, section in zip(requests, expected, strict=True):
        found = read(request).section
        np.testing.assert_array_equal(found.xy_px, section.xy_px)
        np.testing.assert_array_equal(found.spots.X.toarray(), section.spots.X.toarray())


@pytest.mark.parametrize("text", ['{"a": ' * 100_000, "[" * 100_000, '{"a": ' + "9" * 5000 + "}", "{}x", "null"])
def test_a_json_that_no_parser_can_hold_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("value", [10**400, "wide", None, True, [0.5], {}, -1, 0, 1e-320, 1e300])
def test_scale_factors_of_another_kind_are_refused(visium, value):
    visium.factors.write_text(json.dumps({"tissue_hires_scalef": value}))
    with pytest.raises(InputError, match="tissue_hires_scalef"):
        read(visium.path)


@pytest.mark.parametrize("value", ["date", "list", "object", "text", "nothing"])
@pytest.mark.parametrize("column", ["array_row", "pxl_row_in_fullres", "in_tissue"])
def test_positions_of_another_kind_are_refused(visium_hd, column, value):
    values = {"date": pd.Timestamp("2020-01-01"), "text": "left", "nothing": None}
    path = visium_hd / "outs/binned_outputs/square_008um/spatial/tissue_positions.parquet"
    table = pd.read_parquet(path)
    table[column] = {"list": [[1, 2]] * len(table), "object": [{"a": 1}] * len(table)}.get(value, values.get(value))
    table.to_parquet(path, index=False)
    with pytest.raises(InputError, match=rf"tissue_positions\.parquet: column '{column}'"):
        read(visium_hd)


@pytest.mark.parametrize("value", [2.0**24 + 2, 1.0 + 1e-12, 1e-46, 1e300, -1e-46])
def test_no_count_is_made_of_what_is_none_by_rounding(visium, make, value):
    matrix = make.counts_of(visium.barcodes).astype(np.float64)
    matrix.data[3] = value
    make.write_10x_h5(visium.matrix, visium.barcodes, matrix)
    with pytest.raises(InputError, match="the matrix holds"):
        read(visium.path)


@pytest.mark.parametrize("column", ["barcode", "label"])
def test_labels_with_a_column_twice_are_refused(tmp_path, column):
    (tmp_path / "l.csv").write_text(f"barcode,label,{column}\na,x,b\nc,y,d\n")
    with pytest.raises(InputError, match="more than once"):
        read_labels(tmp_path / "l.csv")


# --- stores ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(visium, tmp_path):
    path = tmp_path / "own.zarr"
    read(visium.path).section.to_spatialdata().write(path)
    return path


def declare(path, **changes):
    """Change what every description of the arrays below `path` says, in their groups' lists too."""
    for file in path.rglob("zarr.json"):
        meta = json.loads(file.read_text())
        listed = (meta.get("consolidated_metadata") or {}).get("metadata", {})
        for one in (meta, *listed.values()):
            if one.get("node_type") == "array":
                for name, value in changes.items():
                    if name == "chunk_shape":
                        one["chunk_grid"]["configuration"]["chunk_shape"] = value
                    else:
                        one[name] = value
        file.write_text(json.dumps(meta))


STORES = {
    "a picture of a million pixels a side": (
        "images/image",
        {"shape": [3, 10**6, 10**6]},
        "more memory|far more pixels",
    ),
    "a picture larger than any memory": ("images/image", {"shape": [3, 10**9, 10**9]}, "more memory"),
    "chunks larger than memory": ("images/image", {"chunk_shape": [3, 10**6, 10**6]}, "one chunk"),
    "chunks of a pixel": ("images/image", {"shape": [3, 4000, 4000], "chunk_shape": [1, 1, 1]}, "too many chunks"),
    "a negative side": ("images/image", {"shape": [3, -5, 10]}, "description is damaged"),
    "a side of text": ("images/image", {"shape": ["3", 5, 10]}, "description is damaged"),
    "no chunks": ("images/image", {"chunk_shape": [3, 0, 0]}, "description is damaged"),
    "values without end": ("tables/table/X/data", {"shape": [10**12]}, "more memory"),
    "items without end": (
        "tables/table/obs/_index",
        {"data_type": {"name": "fixed_length_utf32", "configuration": {"length_bytes": 10**12}}},
        "more memory",
    ),
    "fewer values": ("tables/table/X/data", {"shape": [5]}, "contradict"),
    "fewer starts": ("tables/table/X/indptr", {"shape": [5]}, "contradict"),
}


@pytest.mark.parametrize("case", STORES)
def test_what_a_store_declares_is_not_believed(store, case):
    place, changes, words = STORES[case]
    declare(store / place, **changes)
    begun = time.perf_counter()
    with pytest.raises(InputError, match=words):
        read(store)
    assert time.perf_counter() - begun < 2


def test_indices_of_a_store_are_guarded(store):
    import zarr

    array = zarr.open_array(str(store / "tables/table/X/indices"), mode="r+")
    array[3] = 10**6
    with pytest.raises(InputError, match="contradict"):
        read(store)


def test_pipes_within_a_store_are_refused(store, pipe):
    pipe(next(file for file in (store / "images/image").rglob("*") if file.is_file() and file.name != "zarr.json"))
    with pytest.raises(InputError, match="named pipe"):
        read(store)


def test_links_in_a_store_that_lead_back_are_refused(store):
    (store / "images/image/more").symlink_to(store)
    with pytest.raises(InputError, match="leads back"):
        read(store)


def test_pickles_are_found_however_they_are_written(store):
    (store / "images/.zattrs").write_text('{"filters": [{"id": "numcodecs.\\u0070ickle"}]}')
    with pytest.raises(InputError, match="pickled"):
        read(store)


def test_a_damaged_chunk_is_reported_when_its_pixels_are_read(store):
    for file in (store / "images").rglob("c/*/*/*"):
        file.write_bytes(file.read_bytes()[:20])
    reading = read(store)
    with pytest.raises(InputError, match=r"stored picture is damaged"):
        preflight(reading)


# --- memory ----------------------------------------------------------------------------------------------------------


def test_a_reader_that_runs_out_of_memory_says_so(visium, monkeypatch):
    def out_of_memory(*_, **__):
        raise MemoryError("Unable to allocate 900 GiB")

    monkeypatch.setattr("histoscribe.io.visium.read_folder", out_of_memory)
    with pytest.raises(InputError, match="not enough free memory"):
        read(visium.path)


def test_a_command_that_runs_out_of_memory_says_so(visium, monkeypatch, capsys):
    def out_of_memory(*_, **__):
        raise MemoryError

    monkeypatch.setattr("histoscribe.cli.sections.check_sections", out_of_memory, raising=False)
    monkeypatch.setattr("histoscribe.io.preflight.tissue_mask", out_of_memory)
    with pytest.raises(SystemExit) as ended:
        main(["check", str(visium.path)])
    assert ended.value.code == 2
    assert "not enough free memory" in " ".join(capsys.readouterr().err.split())
