import json
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from histoscribe.domains.efnst import efnst
from histoscribe.domains.efnst_settings import EfnstSettings
from histoscribe.errors import ConfigError, InputError
from histoscribe.numerics.device import device_in_use

SHORT = EfnstSettings(pre_epochs=30, epochs=10, device="cpu")
TINY = EfnstSettings(pre_epochs=3, epochs=2, device="cpu")


def counts_of(field, *, n_genes=120, seed=0):
    """Counts whose genes differ between domains, at depths that differ tenfold between spots."""
    rng = np.random.default_rng(seed)
    profile = np.exp(rng.normal(0, 0.6, (field.truth.max() + 1, n_genes)))
    depth = np.exp(rng.uniform(-1.2, 1.2, len(field.truth)))
    return sparse.csr_matrix(rng.poisson(0.4 * depth[:, None] * profile[field.truth]))


@pytest.fixture(scope="module")
def counts(field):
    return counts_of(field)


@pytest.fixture(scope="module")
def found(field, counts):
    return efnst({"counts": counts, "image": field.image}, **field.places, n_domains=4, seed=0, settings=SHORT)


def test_domains_are_found_from_counts_and_picture(field, found):
    assert adjusted_rand_score(field.truth, found.labels) > 0.9  # about 0.97


def test_domains_are_found_from_the_picture_alone(field):
    result = efnst({"image": field.image}, **field.places, n_domains=4, seed=0, settings=SHORT)
    assert adjusted_rand_score(field.truth, result.labels) > 0.75  # about 0.9


def test_domains_are_found_from_counts_alone(field, counts):
    result = efnst({"counts": counts}, **field.places, n_domains=4, seed=0, settings=SHORT)
    assert adjusted_rand_score(field.truth, result.labels) > 0.85


def test_refining_the_clusters_changes_the_embedding_and_is_recorded(found):
    assert {"mse", "bce", "kld", "kl"} == set(found.evidence["refined"])
    assert "kl" not in found.evidence["pretrained"]


def test_evidence_holds_the_settings_under_the_papers_names(found):
    assert found.evidence["settings"]["pre_epochs"] == SHORT.pre_epochs
    assert json.loads(json.dumps(found.evidence, allow_nan=False)) == found.evidence


def test_the_device_in_use_is_recorded_beside_the_one_that_was_asked_for(field):
    assert EfnstSettings().device == "auto"
    settings = EfnstSettings(pre_epochs=1, epochs=0)
    evidence = efnst({"image": field.image}, **field.places, n_domains=2, seed=0, settings=settings).evidence
    assert evidence["settings"]["device"] == "auto"
    assert evidence["device"] == device_in_use("auto", where="efnst")


def test_another_seed_trains_another_network(field, counts, found):
    other = efnst({"counts": counts, "image": field.image}, **field.places, n_domains=4, seed=1, settings=SHORT)
    assert other.evidence["pretrained"] != found.evidence["pretrained"]


def test_a_section_in_several_batches_gives_domains_too(field, counts):
    small = EfnstSettings(pre_epochs=20, epochs=10, batch_spots=256)
    result = efnst({"counts": counts}, **field.places, n_domains=4, seed=0, settings=small)
    assert adjusted_rand_score(field.truth, result.labels) > 0.8


def test_the_global_random_state_and_threads_of_torch_are_left_alone(field):
    import torch

    before, threads = torch.get_rng_state(), torch.get_num_threads()
    efnst({"image": field.image}, **field.places, n_domains=2, seed=0, settings=TINY)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads


_PROGRAM = """
import hashlib, sys
import numpy as np
from scipy import sparse
from histoscribe.domains.efnst import efnst
from histoscribe.domains.efnst_settings import EfnstSettings
from histoscribe.graph.lattice import lattice_graph
rng = np.random.default_rng(0)
row, column = np.mgrid[:20, :20]
xy = np.column_stack([((column + 0.5 * (row % 2)) * 100.0).ravel(), (row * 100.0 * 3**0.5 / 2).ravel()])
blocks = {"counts": sparse.csr_matrix(rng.poisson(1.0 + (row.ravel() > 9)[:, None], (400, 60)))}
result = efnst(blocks, graph=lattice_graph(xy, kind="hex", pitch_um=100.0), xy_um=xy, n_domains=3, seed=0,
               settings=EfnstSettings(pre_epochs=5, epochs=3, batch_spots=150))
print(hashlib.sha256(result.labels.tobytes() + result.confidence.tobytes()).hexdigest())
"""


def test_one_thread_and_two_give_the_same_bytes(monkeypatch):
    digests = set()
    for threads in ("1", "2"):
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            monkeypatch.setenv(name, threads)
        ran = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
        digests.add(ran.stdout)
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [(-1.0, "negative"), (np.nan, "missing or infinite|not finite"), (np.inf, "infinite|not finite")],
)
def test_what_is_no_count_is_refused(field, counts, spoilt, words):
    bad = counts.astype(np.float64)
    bad.data[3] = spoilt
    with pytest.raises(InputError, match=words):
        efnst({"counts": bad}, **field.places, n_domains=2, seed=0, settings=TINY)


def test_counts_of_other_spots_are_refused(field, counts):
    with pytest.raises(InputError, match="does not fit the spots"):
        efnst({"counts": counts[:-1]}, **field.places, n_domains=2, seed=0, settings=TINY)


def test_counts_without_a_molecule_are_refused(field):
    empty = sparse.csr_matrix((len(field.truth), 30))
    with pytest.raises(InputError, match="no feature differs"):
        efnst({"counts": empty}, **field.places, n_domains=2, seed=0, settings=TINY)


@pytest.mark.parametrize("what", ["one gene", "empty spots", "empty genes"])
def test_poor_counts_still_give_domains(field, counts, what):
    poor = counts.tolil()
    if what == "one gene":
        poor = counts[:, :1]
    elif what == "empty spots":
        poor[::7] = 0
    else:
        poor[:, ::2] = 0
    result = efnst({"counts": sparse.csr_matrix(poor)}, **field.places, n_domains=3, seed=0, settings=TINY)
    assert len(np.unique(result.labels)) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"pca_n_comps": 0},
        {"mask_rate": 1.0},
        {"alpha": 0.0},
        {"kl_weight": -1.0},
        {"linear_encoder_hidden": ()},
        {"device": "abacus"},
        {"learning_rate": float("nan")},
    ],
)
def test_impossible_settings_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong)) if "hidden" not in str(wrong) else "layers"):
        EfnstSettings(**wrong)
