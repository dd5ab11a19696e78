import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from histoscribe.domains.efnst_settings import EfnstSettings
from histoscribe.domains.joint import INTEGRATIONS, JointSection, joint_domains, shared_genes
from histoscribe.errors import ConfigError, InputError

SHORT = EfnstSettings(pre_epochs=40, epochs=10)
TINY = EfnstSettings(pre_epochs=2, epochs=0)
GENES = tuple(f"G{i}" for i in range(80))


@pytest.fixture(scope="module")
def pair(fields):
    """Two patients of one biology with different levels of every gene; and their true domains."""
    profile = np.exp(np.random.default_rng(0).normal(0, 0.8, (4, 80)))
    sections, truths = [], []
    for i, field in enumerate((fields(), fields(columns=22, rows=22))):
        rng = np.random.default_rng(i + 1)
        level = np.exp(rng.normal(0, 0.8, 80))
        counts = sparse.csr_matrix(rng.poisson(profile[field.truth] * level))
        sections.append(JointSection(f"S{i}", {"counts": counts}, field.graph, field.xy_um, GENES))
        truths.append(field.truth)
    return sections, truths


@pytest.fixture(scope="module")
def found(pair):
    return joint_domains(pair[0], n_domains=4, seed=0, settings=SHORT)


def together(found):
    return np.concatenate([found["S0"].labels, found["S1"].labels])


def test_a_domain_has_the_same_number_in_both_patients(pair, found):
    assert adjusted_rand_score(np.concatenate(pair[1]), together(found)) > 0.85
    assert np.array_equal(np.unique(together(found)), [1, 2, 3, 4])


def test_standardising_within_sections_leaves_nothing_of_the_patient(pair):
    from histoscribe.domains.efnst_augment import expression_components

    (one, two), truths = pair
    pooled = sparse.csr_matrix(sparse.vstack([one.blocks["counts"], two.blocks["counts"]]))
    patient = np.repeat([0, 1], [len(t) for t in truths])

    def explained(section):
        scores = expression_components(pooled, section=section, n_comps=10)
        means = np.stack([scores[patient == p].mean(axis=0) for p in (0, 1)])
        return ((means[0] - means[1]) ** 2).sum() / scores.var(axis=0).sum()

    assert explained(np.zeros_like(patient)) > 0.5
    assert explained(patient) < 1e-9


@pytest.mark.parametrize("integration", INTEGRATIONS)
def test_the_adversary_takes_part_only_where_asked_for(pair, integration):
    result = joint_domains(pair[0], n_domains=2, seed=0, settings=TINY, integration=integration)
    assert ("domain" in result["S0"].evidence["pretrained"]) == (integration != "standardised")


def test_the_order_of_sections_does_not_matter(pair):
    found, again = (joint_domains(s, n_domains=2, seed=0, settings=TINY) for s in (pair[0], pair[0][::-1]))
    assert np.array_equal(together(again), together(found))


def test_genes_are_joined_by_name(pair):
    one, two = pair[0]
    order = np.random.default_rng(0).permutation(80)
    extra = sparse.hstack([two.blocks["counts"][:, order], np.ones((len(two.xy_um), 1))]).tocsr()
    other = JointSection("S1", {"counts": extra}, two.graph, two.xy_um, (*np.array(GENES)[order], "ONLY_HERE"))
    assert shared_genes([one, other]) == sorted(GENES)
    found, again = (joint_domains([one, s], n_domains=2, seed=0, settings=TINY) for s in (two, other))
    assert np.array_equal(together(again), together(found))


def changed(section, **changes):
    parts = {name: getattr(section, name) for name in ("name", "blocks", "graph", "xy_um", "genes")}
    return JointSection(**(parts | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"genes": tuple(f"ENSG{i}" for i in range(80))}, "no gene in common"),
        ({"genes": GENES[:-1]}, "names do not fit"),
        ({"genes": (*GENES[:-1], "G0")}, "names do not fit"),
        ({"name": "S0"}, "different names"),
        ({"xy_um": np.zeros((3, 2))}, "different numbers of spots"),
        ({"blocks": {"image": np.ones((484, 3))}}, "no features"),
    ],
)
def test_sections_that_do_not_go_together_are_refused(pair, changes, words):
    one, two = pair[0]
    with pytest.raises(InputError, match=words):
        joint_domains([one, changed(two, **changes)], n_domains=2, seed=0, settings=SHORT)


def test_one_section_is_not_several(pair):
    with pytest.raises(InputError, match="two or more"):
        joint_domains(pair[0][:1], n_domains=2, seed=0)


def test_an_unknown_integration_is_refused(pair):
    with pytest.raises(ConfigError, match="standardised"):
        joint_domains(pair[0], n_domains=2, seed=0, integration="magic")
