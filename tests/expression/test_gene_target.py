"""Genes as a target: chosen in training, applied anywhere, written as JSON."""

import json

import numpy as np
import pytest
from scipy import sparse

from histoscribe.errors import ConfigError, InputError
from histoscribe.expression.gene_target import GeneTarget
from histoscribe.expression.measured import Measured
from histoscribe.expression.targets import make_target, target_from_record


def test_the_most_abundant_genes_come_first(sections):
    target = GeneTarget(n_genes=3).fit(sections)
    totals = sum(np.asarray(s.counts.sum(axis=0)).ravel() for s in sections)
    assert target.names_ == tuple(sections[0].genes[k] for k in np.argsort(-totals)[:3])


def test_variable_genes_follow_the_tissue(sections):
    target = GeneTarget("variable", n_genes=5).fit(sections)
    assert all(int(name[1:]) % 2 == 1 for name in target.names_)


def test_the_order_of_sections_does_not_matter(sections):
    for genes in ("abundant", "variable"):
        assert GeneTarget(genes, 6).fit(sections).names_ == GeneTarget(genes, 6).fit(sections[::-1]).names_


def test_a_list_keeps_its_order(sections):
    assert GeneTarget(["G07", "G01", "G07"]).fit(sections).names_ == ("G07", "G01")


def test_names_that_are_not_measured_are_refused_with_the_nearest(sections):
    with pytest.raises(InputError, match="1 of 2 genes") as caught:
        GeneTarget(["G01", "g02"]).fit(sections)
    assert caught.value.expected == "g02"
    assert "did you mean G02?" in caught.value.fix


def test_the_held_out_section_has_no_say(sections, measured_of):
    target = GeneTarget(n_genes=4).fit(sections[:2])
    assert target.fitted_on_ == ("S0", "S1")


def test_constant_genes_of_a_list_are_dropped_and_reported(measured_of):
    section = measured_of(n_genes=3)
    counts = section.counts.toarray()
    counts[:, 1] = 2.0
    target = GeneTarget(["G00", "G01"]).fit([Measured("S", sparse.csr_matrix(counts), section.genes)])
    assert (target.names_, target.dropped_) == (("G00",), ("G01",))


def test_nothing_but_constant_genes_is_refused():
    section = Measured("S", sparse.csr_matrix(np.ones((5, 2))), ("A", "B"))
    with pytest.raises(InputError, match="one and the same count"):
        GeneTarget().fit([section])


def test_logarithms_are_refused(measured_of):
    section = measured_of(n_genes=3)
    logs = Measured("S", section.counts.log1p(), section.genes)
    with pytest.raises(InputError, match="whole numbers"):
        GeneTarget().fit([logs])


def test_the_default_scale_is_ln_of_counts_per_10k_of_the_whole_library(measured_of):
    section = measured_of()
    values = GeneTarget(["G03"]).fit([section]).transform(section)
    dense = section.counts.toarray()
    expected = np.log1p(1e4 * dense[:, [3]] / dense.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    assert values.dtype == np.float32


def test_a_library_of_more_genes_than_are_held_is_used(measured_of):
    section = measured_of()
    fewer = Measured("S", section.counts[:, :4], section.genes[:4], library=section.molecules())
    names = section.genes[:4]
    np.testing.assert_allclose(
        GeneTarget(names).fit([fewer]).transform(fewer), GeneTarget(names).fit([section]).transform(section), rtol=1e-6
    )


def test_the_panel_scale_is_log10_within_the_panel(measured_of):
    section = measured_of()
    values = GeneTarget(["G03", "G05"], scale="log10_panel").fit([section]).transform(section)
    panel = section.counts.toarray()[:, [3, 5]]
    expected = np.log10(1 + 1e4 * panel / panel.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.parametrize("scale", ["log1p_cp10k", "log10_panel"])
def test_inverse_gives_back_counts_per_10k(measured_of, scale):
    section = measured_of()
    target = GeneTarget(["G03", "G05"], scale=scale).fit([section])
    dense = section.counts.toarray()
    whole = dense if scale == "log1p_cp10k" else dense[:, [3, 5]]
    expected = 1e4 * dense[:, [3, 5]] / whole.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(target.inverse(target.transform(section)), expected, rtol=1e-3, atol=1e-2)


def test_a_gene_that_was_not_measured_is_nan_and_not_0(measured_of, sections):
    target = GeneTarget(n_genes=20).fit(sections)
    fewer = measured_of("new", n_genes=19)
    values = target.transform(fewer)
    missing = np.array([name == "G19" for name in target.names_])
    assert np.isnan(values[:, missing]).all()
    assert np.isfinite(values[:, ~missing]).all()


def test_a_section_with_none_of_the_genes_is_refused(measured_of, sections):
    target = GeneTarget(n_genes=2).fit(sections)
    with pytest.raises(InputError, match="none of the genes"):
        target.transform(measured_of(n_genes=2, genes=("X", "Y")))


def test_the_record_is_json_and_gives_the_target_back(sections):
    target = GeneTarget("variable", 4, scale="log10_panel").fit(sections)
    again = target_from_record(json.loads(json.dumps(target.record())))
    np.testing.assert_array_equal(again.transform(sections[0]), target.transform(sections[0]))
    assert again.record() == target.record()


@pytest.mark.parametrize(
    "options", [{"scale": "sqrt"}, {"genes": "abundent"}, {"genes": ()}, {"n_genes": 0}, {"gene": "abundant"}]
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ConfigError):
        make_target("genes", **options)


def test_transform_before_fit_is_refused(sections):
    with pytest.raises(ConfigError, match="not fitted"):
        GeneTarget().transform(sections[0])


def test_no_training_sections_are_refused():
    with pytest.raises(InputError, match="no training sections"):
        GeneTarget().fit([])
