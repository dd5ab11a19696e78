import numpy as np

from histoscribe.expression.mitochondrial import mitochondrial


def test_symbols_are_recognised_in_any_case():
    found = mitochondrial(["MT-ND1", "mt-Co1", "MTOR", "MT1A", "ACTB"])
    assert np.array_equal(found, [True, True, False, False, False])


def test_ensembl_identifiers_are_recognised_with_and_without_a_version():
    # MT-ND1, MT-ATP6, mt-Nd4l, mt-Rnr2; ACTB, TP53
    genes = ["ENSG00000198888", "ENSG00000198899.2", "ENSMUSG00000065947.3", "ENSMUSG00000064339"]
    assert mitochondrial(genes).all()
    assert not mitochondrial(["ENSG00000075624", "ENSG00000141510.18"]).any()


def test_both_species_have_thirteen_proteins_and_two_ribosomal_rnas():
    from histoscribe.expression import mitochondrial as room

    assert len(room._IDENTIFIERS) == 30
    assert {len(name) for name in room._IDENTIFIERS} == {len("ENSG00000198888"), len("ENSMUSG00000064341")}
