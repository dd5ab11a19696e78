"""Tables of counts: any layout of the text gives the same matrix."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from histoscribe.errors import InputError
from histoscribe.io.counts import count_fault, unique_genes
from histoscribe.io.matrix import read_10x_h5, read_counts, read_counts_table

any_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)


@any_folder
@given(
    counts=st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=6),
    separator=st.sampled_from([",", "\t", ";"]),
    short_header=st.booleans(),
    ends=st.sampled_from(["\n", "\r\n"]),
)
def test_a_text_table_in_any_layout(tmp_path, counts, separator, short_header, ends):
    header = ["G1", "G2", "G3"] if short_header else ["", "G1", "G2", "G3"]
    lines = [header, *([f"s{k}", *map(str, row)] for k, row in enumerate(counts))]
    path = tmp_path / "counts.txt"
    path.write_bytes(ends.join(separator.join(line) for line in lines).encode())
    table = read_counts_table(path).table
    assert table.var_names.tolist() == ["G1", "G2", "G3"]
    np.testing.assert_array_equal(table.X.toarray(), counts)


@given(st.lists(st.text("AB-12", max_size=4), max_size=12))
def test_genes_become_unique_and_first_names_stay(names):
    fresh, note = unique_genes(names)
    assert len(set(fresh)) == len(names)
    assert (note is None) == (len(set(names)) == len(names))
    for name in names:
        assert fresh[names.index(name)] == name


def test_counts_written_as_floats_are_counts(tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text("barcode,G1,G2\na,1.0,0.0\nb,2,3e0\n")
    np.testing.assert_array_equal(read_counts_table(path).table.X.toarray(), [[1, 0], [2, 3]])


def test_quoted_names_hold_separators(tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text('"","G,1","G2"\n"a",1,2\n')
    assert read_counts_table(path).table.var_names.tolist() == ["G,1", "G2"]


@pytest.mark.parametrize(("value", "fault"), [(-1, "negative"), (0.5, "whole"), (np.inf, "finite"), (2, None)])
def test_what_cannot_be_a_count(value, fault):
    found = count_fault(np.array([1.0, value]))
    assert found is None if fault is None else fault in found


def test_a_wide_table_of_180_spots_by_15000_genes_reads_in_two_seconds(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.poisson(0.3, (180, 15000)), index=[f"{k}x1" for k in range(180)])
    path = tmp_path / "wide.tsv.gz"
    table.to_csv(path, sep="\t", compression={"method": "gzip", "compresslevel": 1})
    start = time.process_time()
    counts = read_counts_table(path).table
    assert time.process_time() - start < 2.0
    assert counts.X.sum() == table.to_numpy().sum()


def test_a_normalised_h5ad_is_refused_as_counts(tmp_path):
    from anndata import AnnData

    path = tmp_path / "log.h5ad"
    AnnData(X=np.log1p(np.arange(6.0).reshape(3, 2))).write_h5ad(path)
    with pytest.raises(InputError, match="no layer holds raw counts"):
        read_counts(path)


@pytest.mark.parametrize("kind", ["Gene Expression", "Gene expression", "gene_expression", "Gene", " genes "])
def test_genes_are_known_by_any_spelling_of_their_type(tmp_path, make, kind):
    barcodes = ["a-1", "b-1", "c-1"]
    path = make.write_10x_h5(tmp_path / "m.h5", barcodes, make.counts_of(barcodes), kinds=[kind] * 6)
    assert read_10x_h5(path).table.shape == (3, 6)


@pytest.mark.parametrize("kind", ["Antibody Capture", "chr1"])
def test_a_matrix_without_a_gene_is_refused(tmp_path, make, kind):
    barcodes = ["a-1", "b-1", "c-1"]
    path = make.write_10x_h5(tmp_path / "m.h5", barcodes, make.counts_of(barcodes), kinds=[kind] * 6)
    with pytest.raises(InputError, match=f"no feature of this matrix is a gene(.|\n)*{kind}"):
        read_10x_h5(path)
