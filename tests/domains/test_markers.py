import numpy as np
import pytest
from scipy import sparse

from histoscribe.domains.markers import describe_features, domain_neighbours, marker_genes
from histoscribe.errors import InputError

# 0 - 1 - 2 - 3 - 4 - 5
PATH = sparse.diags([np.ones(5), np.ones(5)], [-1, 1], format="csr")
LABELS = np.array([1, 1, 1, 1, 2, 2])
# every spot has 10 molecules: "a" fills domain 1, "b" domain 2, "c" is everywhere
COUNTS = sparse.csr_matrix(np.array([[8, 0, 2]] * 4 + [[0, 8, 2]] * 2, np.float32))


@pytest.fixture(scope="module")
def markers():
    return marker_genes(COUNTS, LABELS, genes=["a", "b", "c"], graph=PATH)


def test_each_domain_has_its_own_genes(markers):
    assert markers.groupby("domain")["gene"].apply(list).to_dict() == {1: ["a"], 2: ["b"]}


def test_a_gene_found_in_one_domain_alone_is_fully_specific(markers):
    assert markers["specificity"].tolist() == [1.0, 1.0]
    assert markers["share_inside"].tolist() == [1.0, 1.0]
    assert markers["share_outside"].tolist() == [0.0, 0.0]


def test_fold_changes_are_of_counts_per_ten_thousand(markers):
    # 8 of 10 molecules are 8,000 of 10,000, against none; 0.1 is added to both
    assert markers["log2_fold_change"].to_numpy() == pytest.approx(np.log2(8000.1 / 0.1), abs=1e-4)


def test_a_section_of_one_domain_has_no_markers():
    assert len(marker_genes(COUNTS, np.ones(6, int), genes=["a", "b", "c"], graph=PATH)) == 0


def test_genes_that_do_not_fit_the_counts_are_refused():
    with pytest.raises(InputError, match="do not fit each other"):
        marker_genes(COUNTS, LABELS, genes=["a", "b"], graph=PATH)


def test_the_look_of_a_domain_is_compared_with_the_rest():
    table = describe_features({"size (um)": np.array([1.0, 3, 1, 3, 9, 11]), "flat": np.ones(6)}, LABELS)
    assert set(table["feature"]) == {"size (um)"}
    second = table[table["domain"] == 2].iloc[0]
    # within both domains the spread is 1
    assert (second["mean"], second["mean_outside"], second["effect"]) == (10.0, 2.0, 8.0)


def test_neighbours_are_shares_of_the_outer_edges():
    labels = np.array([1, 1, 2, 2, 3, 3])
    table = domain_neighbours(labels, PATH).set_index(["domain", "neighbour"])["share"]
    assert table.to_dict() == {(1, 2): 1.0, (2, 1): 0.5, (2, 3): 0.5, (3, 2): 1.0}
