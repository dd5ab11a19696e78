import numpy as np
import pytest
from scipy import sparse

from histoscribe.domains.match import domain_profiles, match_domains
from histoscribe.errors import InputError

GENES = [f"g{i}" for i in range(60)]


def section(names, seed, genes=GENES):
    """Profiles of a section with the named kinds of tissue, 40 spots each; the kinds have their own genes."""
    rng = np.random.default_rng(seed)
    level = np.random.default_rng(99).lognormal(0, 1, (5, len(genes)))[list(names)]
    labels = np.repeat(np.arange(1, len(names) + 1), 40)
    batch = rng.lognormal(0, 0.5, len(genes))
    counts = rng.poisson(8 * level[labels - 1] * batch)
    return domain_profiles(sparse.csr_matrix(counts.astype(float)), labels, genes=genes)


def test_the_same_tissue_has_one_name_in_all_sections():
    table = match_domains({"a": section([0, 1, 2], 0), "b": section([2, 0, 1], 1), "c": section([1, 2, 0], 2)})
    matched = {name: part["matched"].to_list() for name, part in table.groupby("section")}
    first = matched["a"]
    assert sorted(first) == [1, 2, 3]
    assert matched["b"] == [first[2], first[0], first[1]]
    assert matched["c"] == [first[1], first[2], first[0]]


def test_tissue_that_one_section_alone_has_stays_alone():
    table = match_domains({"a": section([0, 1, 2], 0), "b": section([0, 1, 2, 4], 1)})
    alone = table[(table["section"] == "b") & (table["domain"] == 4)].iloc[0]
    assert (table["matched"] == alone["matched"]).sum() == 1
    assert np.isnan(alone["similarity"])


def test_two_domains_of_one_section_are_never_one():
    table = match_domains({"a": section([0, 0, 1], 0), "b": section([0, 1], 1)})
    assert table.groupby(["section", "matched"]).size().max() == 1


def test_sections_without_shared_genes_are_refused():
    other = section([0, 1], 1, genes=[f"ENS{i}" for i in range(60)])
    with pytest.raises(InputError, match="share too few genes"):
        match_domains({"a": section([0, 1], 0), "b": other})


def test_one_section_has_nothing_to_match():
    with pytest.raises(InputError, match="two sections or more"):
        match_domains({"a": section([0, 1], 0)})
