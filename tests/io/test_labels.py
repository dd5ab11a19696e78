import pandas as pd
import pytest
from anndata import AnnData

from histoscribe.errors import ConfigError, InputError
from histoscribe.io.labels import labels_of_spots, read_labels


def written(folder, text, name="labels.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_a_table_of_barcode_and_label(tmp_path):
    labels = read_labels(written(tmp_path, "barcode,label\nA-1,WM\nB-1,L1\n"))
    assert labels.to_dict() == {"A-1": "WM", "B-1": "L1"}


def test_loupes_export(tmp_path):
    labels = read_labels(written(tmp_path, "Barcode,my regions\nA-1,tumour\nB-1,\n"))
    assert labels.to_dict() == {"A-1": "tumour"}


@pytest.mark.parametrize("name", ["ID", "spot", "cell_id", ""])
def test_the_first_column_holds_the_barcodes_where_none_is_called_so(tmp_path, name):
    labels = read_labels(written(tmp_path, f"{name},label\nA-1,WM\nB-1,L1\n"))
    assert labels.to_dict() == {"A-1": "WM", "B-1": "L1"}


def test_a_column_of_an_h5ad(tmp_path):
    spots = AnnData(obs=pd.DataFrame({"layer": ["L1", None, "WM"], "depth": [1.0, 2.0, 3.0]}, index=["a", "b", "c"]))
    spots.write_h5ad(tmp_path / "labels.h5ad")
    assert read_labels(tmp_path / "labels.h5ad").to_dict() == {"a": "L1", "c": "WM"}


def test_unknown_spots_have_no_label(tmp_path):
    labels = read_labels(written(tmp_path, "barcode,label\na,undetermined\nb,NA\nc,fat\n"))
    assert labels.to_dict() == {"c": "fat"}


def test_the_column_can_be_named(tmp_path):
    path = written(tmp_path, "barcode\tfirst\tsecond\na\t1\t2\n", "labels.tsv")
    assert read_labels(path, column="second").to_dict() == {"a": "2"}
    with pytest.raises(ConfigError, match="not clear which column"):
        read_labels(path)
    with pytest.raises(ConfigError, match="did you mean second"):
        read_labels(path, column="secnd")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("label\n1\n", "a single column"),
        ("barcode,label\na,1\na,2\n", "not unique"),
        ("barcode,label\na,\nb,NA\n", "not one spot has a label"),
    ],
)
def test_tables_without_labels_are_refused(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read_labels(written(tmp_path, text))


def test_labels_stand_in_the_order_of_the_spots(tmp_path):
    labels = pd.Series({"b": "x", "a": "y"})
    assert labels_of_spots(labels, pd.Index(["a", "c", "b"]), path=tmp_path).tolist() == ["y", None, "x"]


def test_the_number_that_10x_appends_does_not_matter(tmp_path):
    labels = pd.Series({"AAC": "x", "GGT": "y"})
    assert labels_of_spots(labels, pd.Index(["GGT-1", "AAC-1"]), path=tmp_path).tolist() == ["y", "x"]


def test_labels_of_another_section_are_refused_with_examples(tmp_path):
    with pytest.raises(InputError, match=r"(?s)not one of the labels.*S1.*T1"):
        labels_of_spots(pd.Series({"T1": "x"}), pd.Index(["S1"]), path=tmp_path)
