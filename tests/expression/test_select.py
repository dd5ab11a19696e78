"""Which genes are chosen."""

import numpy as np
import pytest
from scipy import sparse

from histoscribe.errors import InputError
from histoscribe.expression.measured import Measured
from histoscribe.expression.select import counts_of, mean_share, shared_genes, spatial_variability


def test_genes_are_shared_whatever_their_order(measured_of):
    first = measured_of(n_genes=3, genes=("B", "A", "C"))
    second = measured_of(n_genes=3, genes=("C", "D", "A"))
    assert shared_genes([first, second]) == ("A", "C")


def test_sections_without_a_shared_gene_are_refused_with_examples(measured_of):
    with pytest.raises(InputError, match="share no genes") as caught:
        shared_genes(
            [measured_of("H", n_genes=2, genes=("CD3E", "ACTB")), measured_of("M", n_genes=2, genes=("Cd3e", "Actb"))]
        )
    assert "CD3E" in caught.value.found
    assert "Cd3e" in caught.value.found


def test_counts_come_in_the_order_asked_for_and_absent_genes_are_0(measured_of):
    section = measured_of(n_genes=4)
    counts = counts_of(section, ["G02", "none", "G00"]).toarray()
    np.testing.assert_array_equal(counts[:, [0, 2]], section.counts.toarray()[:, [2, 0]])
    assert not counts[:, 1].any()


def test_every_section_counts_the_same_for_abundance():
    deep = Measured("deep", sparse.csr_matrix([[100.0, 0.0]]), ("A", "B"))
    shallow = Measured("shallow", sparse.csr_matrix([[0.0, 1.0]]), ("A", "B"))
    np.testing.assert_allclose(mean_share([deep, shallow], ["A", "B"]), [0.5, 0.5])


def test_variable_genes_are_those_that_follow_the_tissue(sections):
    names = sections[0].genes
    score = spatial_variability(sections, names)
    assert names[int(score.argmax())] in {f"G{k:02d}" for k in range(1, 20, 2)}
    assert score[1::2].mean() > 2 * score[::2].mean()


def test_variability_without_neighbours_is_refused(measured_of):
    section = measured_of()
    alone = Measured("alone", section.counts, section.genes)
    with pytest.raises(InputError, match="no neighbours"):
        spatial_variability([alone], section.genes)
