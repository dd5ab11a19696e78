"""Tables of counts: any layout of the text gives the same matrix."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from histoscribe.errors import InputError
from histoscribe.io.counts import count_fault, unique_genes
from histoscribe.io.features import gene_columns, genes_of
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


def test_probes_of_one_gene_are_summed_and_said(tmp_path, make):
    import h5py

    barcodes = ["a-1", "b-1", "c-1"]
    matrix = make.counts_of(barcodes)
    path = make.write_10x_h5(tmp_path / "raw_probe_bc_matrix.h5", barcodes, matrix)
    one, other = "ENSG00000000003", "ENSG00000000005"
    ids = [f"{one}|TSPAN6|8eab823", f"{one}|TSPAN6|9d7fe51", f"{other}|TNMD|d2b5833", f"{one}|TSPAN6|d2b5834"]
    ids += ["DEPRECATED_ENSG00000000007|OLD|abc1234", "ENSG00000000008|LAST|abc1235"]
    with h5py.File(path, "r+") as file:
        for name, values in (("id", ids), ("name", ids)):
            del file[f"matrix/features/{name}"]
            file[f"matrix/features/{name}"] = np.array(values, "S")
    counts = read_10x_h5(path)
    assert counts.table.var_names.tolist() == ["TSPAN6", "TNMD", "LAST"]
    dense = matrix.toarray()
    np.testing.assert_array_equal(
        counts.table.X.toarray(), np.column_stack([dense[:, [0, 1, 3]].sum(1), dense[:, 2], dense[:, 5]])
    )
    assert "5 probes were summed to 3 genes, as of TSPAN6 (3)" in counts.notes[0]
    assert "1 deprecated probes were left out" in counts.notes[1]


def test_one_identifier_is_one_gene_and_two_genes_of_one_name_are_numbered(tmp_path):
    names = ["TSPAN6", "TSPAN6-1", "TNMD", "TNMD", "x1", "x2"]
    ids = ["ENSG00000000003", "ENSG00000000003", "ENSG00000000005", "ENSG00000000009", "nan", "nan"]
    found = genes_of(sparse.csr_matrix(np.arange(12.0).reshape(2, 6)), names, ids=ids)
    assert found.names == ["TSPAN6", "TNMD", "TNMD-1", "x1", "x2"]
    np.testing.assert_array_equal(found.matrix.toarray()[0], [1, 2, 3, 4, 5])


@pytest.mark.parametrize(
    ("names", "genomes", "expected"),
    [
        (["GRCh38_ACTB", "GRCh38_VIM", "mm10___Actb"], None, ["GRCh38", "GRCh38", "mm10"]),
        (["ACTB", "VIM", "Actb"], ["GRCh38", "GRCh38", "mm10"], ["GRCh38", "GRCh38", "mm10"]),
        (["hg19_ACTB", "hg19_VIM", "rn6_Actb"], ["x", "x", "x"], ["hg19", "hg19", "rn6"]),
        (["ENSG00000000003", "ENSMUSG00000000003", "ENSG00000000005"], None, ["ENSG", "ENSMUSG", "ENSG"]),
        (["ACTB", "VIM", "mouse"], ["GRCh38"] * 3, None),
        (["GRCh38_ACTB", "GRCh38_VIM", "GRCh38_KRT5"], None, None),
    ],
)
def test_genes_of_two_genomes_are_known(names, genomes, expected):
    found = genes_of(sparse.csr_matrix(np.ones((2, 3))), names, genomes=genomes).genomes
    assert (None if found is None else found.tolist()) == expected


def test_two_genomes_are_named_by_the_preflight(visium, make):
    import h5py

    from histoscribe.io import read
    from histoscribe.io.preflight import preflight

    with h5py.File(visium.matrix, "r+") as file:
        file["matrix/features/genome"] = np.array(["GRCh38"] * 4 + ["mm10"] * 2, "S")
    (finding,) = [one for one in preflight(read(visium.path)).findings if one.name == "genomes"]
    assert finding.level == "warning"
    assert "GRCh38 (4 genes" in finding.message
    assert "mm10 (2 genes" in finding.message


@pytest.mark.parametrize(
    "column",
    ["total", "Total", "n_counts", "total_counts", "nCount_Spatial", "nFeature_RNA", "in_tissue", "array_row", "x",
     "pxl_col_in_fullres", "percent.mt", "n_genes_by_counts", "UMIs", "library_id", "sample", "pixel_y"],
)  # fmt: skip
def test_columns_that_are_no_genes_are_left_out_and_said(tmp_path, column):
    path = tmp_path / "counts.csv"
    path.write_text(f"barcode,ACTB,{column},VIM\na,1,text,2\nb,3,0.5,4\n")
    counts = read_counts_table(path)
    assert counts.table.var_names.tolist() == ["ACTB", "VIM"]
    np.testing.assert_array_equal(counts.table.X.toarray(), [[1, 2], [3, 4]])
    assert f"the columns {column} are no genes and were left out" in counts.notes[0]


def test_genes_that_look_like_columns_stay():
    names = ["T", "TOTALGENE", "SUMO1", "NGEF", "SAMD1", "XIST", "COL1A1", "TIMP1", "CLUSTERIN", "CELF1", "NCOUNT", "C"]
    assert gene_columns(names)[0].all()


def test_quotation_marks_around_names_are_taken_off(tmp_path, make):
    barcodes = ["AAAC-1", "AAAG-1", "AAAT-1"]
    folder = make.write_mtx(tmp_path / "m", barcodes, make.counts_of(barcodes), zipped=False)
    for name in ("barcodes.tsv", "features.tsv"):
        lines = (folder / name).read_text().splitlines()
        quoted = ["\t".join(f'"{cell}"' for cell in line.split("\t")) for line in lines]
        (folder / name).write_text("\n".join(quoted) + "\n")
    table = read_counts(folder).table
    assert table.obs_names.tolist() == barcodes
    assert table.var_names.tolist()[:2] == ["Actb", "Gapdh"]
    path = tmp_path / "counts.csv"
    path.write_text("'barcode','ACTB'\n'a',1\n")
    table = read_counts_table(path).table
    assert (table.obs_names.tolist(), table.var_names.tolist()) == (["a"], ["ACTB"])
