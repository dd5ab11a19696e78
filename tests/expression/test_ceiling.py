"""The ceiling is what two measurements of the same spots would agree on."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from histoscribe.expression.ceiling import noise_ceiling, split_counts
from histoscribe.expression.gene_target import GeneTarget
from histoscribe.expression.measured import Measured
from histoscribe.expression.targets import make_target


def test_halves_add_up_to_the_counts(measured_of):
    counts = measured_of().counts
    first, second = split_counts(counts, np.random.default_rng(0))
    assert (first + second != counts).nnz == 0
    assert abs(first.sum() / counts.sum() - 0.5) < 0.02


def test_it_predicts_the_score_of_the_truth_itself():
    rng = np.random.default_rng(0)
    rate = np.exp(rng.normal(0, [0.02, 0.2, 0.5, 1.0], (1500, 4))) * [20, 20, 20, 5]  # molecules of 10,000
    counts = sparse.csr_matrix(rng.poisson(rate).astype(float))
    section = Measured("S", counts, ("flat", "faint", "clear", "strong"), library=np.full(1500, 10_000.0))
    target = GeneTarget(section.genes).fit([section])
    measured = target.transform(section)
    truth = [np.corrcoef(measured[:, k], np.log1p(rate[:, k]))[0, 1] for k in range(4)]
    # halves are half as deep and the scale is not linear, so not exactly
    np.testing.assert_allclose(noise_ceiling(target, section, seed=1)[1:], truth[1:], atol=0.05)
    assert noise_ceiling(target, section, seed=1)[0] < 0.3


def test_deeper_sections_have_higher_ceilings(measured_of):
    shallow, deep = measured_of(depth=200.0), measured_of(depth=4000.0)
    target = GeneTarget(["G01", "G05", "G09"]).fit([shallow, deep])
    assert (noise_ceiling(target, deep) > noise_ceiling(target, shallow)).all()


def test_a_gene_that_is_constant_or_was_not_measured_has_none(measured_of, sections):
    target = GeneTarget(["G18", "G19"]).fit(sections)
    ceiling = noise_ceiling(target, measured_of(n_genes=19))
    assert np.isnan(ceiling).tolist() == [False, True]


def test_cell_types_have_none(sections):
    target = make_target("abundance").fit(sections)
    assert np.isnan(noise_ceiling(target, sections[0])).all()


def test_the_same_seed_gives_the_same_ceiling(sections):
    target = GeneTarget(n_genes=5).fit(sections)
    again = [noise_ceiling(target, sections[0], splits=2, seed=4) for _ in "ab"]
    np.testing.assert_array_equal(*again)


def test_more_splits_vary_less(sections):
    target = GeneTarget(n_genes=10).fit(sections)

    def spread(splits):
        return np.std([noise_ceiling(target, sections[0], splits=splits, seed=k) for k in range(8)], axis=0).mean()

    assert spread(8) < spread(1)


@pytest.mark.parametrize("scale", ["log1p_cp10k", "log10_panel"])
def test_ceilings_lie_between_0_and_1(sections, scale):
    target = GeneTarget(n_genes=10, scale=scale).fit(sections)
    ceiling = noise_ceiling(target, sections[0])
    assert ((ceiling >= 0) & (ceiling <= 1)).all()


def test_a_real_section_has_the_ceiling_that_is_known_for_it(data_dir):
    table = pd.read_csv(data_dir / "her2st/counts/C2.tsv.gz", sep="\t", index_col=0)
    section = Measured("C2", sparse.csr_matrix(table.to_numpy(np.float64)), tuple(table.columns))
    ceiling = noise_ceiling(GeneTarget(n_genes=250).fit([section]), section, splits=2)
    # .62 to .68 over sections C2 to C6, computed independently
    assert 0.6 < ceiling.mean() < 0.7
