import numpy as np

from histoscribe.phantom.counts import DISPERSION, MOLECULES_PER_UM2, draw_counts


def test_counts_average_to_their_rates_with_negative_binomial_spread():
    n = 4000
    rates, loadings = np.ones((n, 1)), np.array([[0.2, 0.05]])
    counts = draw_counts(rates, loadings, np.full(n, 100.0), 1).toarray()
    mean = 100 * loadings[0]
    variance = mean + DISPERSION * mean**2
    assert (np.abs(counts.mean(axis=0) - mean) < 4 * np.sqrt(variance / n)).all()
    np.testing.assert_allclose(counts.var(axis=0), variance, rtol=0.15)


def test_a_section_s_counts_follow_its_truth(section, spots):
    scale = spots.obs.depth * spots.obs.tissue * np.pi * 27.5**2 * MOLECULES_PER_UM2
    expected = scale.to_numpy()[:, None] * (spots.obsm["factors"] @ section.programmes.loadings)
    total = np.asarray(spots.X.sum(axis=0)).ravel()
    sd = np.sqrt((expected + DISPERSION * expected**2).sum(axis=0))
    z = (total - expected.sum(axis=0)) / sd
    assert abs(z.mean()) < 0.3
    assert 0.8 < z.std() < 1.2


def test_shares_of_cell_types_add_up_to_one(spots):
    shares = spots.obsm["cell_types"]
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)


def test_cells_under_a_spot_are_those_of_the_nuclei_table(section, spots):
    nuclei = section.nuclei()
    x, y = spots.obsm["spatial"][17]
    under = np.hypot(nuclei.x_px - x, nuclei.y_px - y) * section.mpp < 27.5
    assert spots.obsm["cell_counts"][17].sum() == under.sum() > 0


def test_capture_depth_is_not_seen_in_the_picture(spots):
    cells = spots.obsm["cell_counts"].sum(axis=1)
    assert abs(np.corrcoef(np.log(spots.obs.depth), cells)[0, 1]) < 0.2  # over three standard errors of 300 spots


def test_visible_genes_differ_between_domains_and_hidden_ones_hardly(spots):
    counts = spots.X.toarray()
    value = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    domain = spots.obs.domain_index.to_numpy()
    means = np.stack([value[domain == k].mean(axis=0) for k in np.unique(domain)])
    explained = means[np.searchsorted(np.unique(domain), domain)].var(axis=0) / value.var(axis=0)
    seen = spots.var.from_image.to_numpy()
    constant = (spots.var.family == "constant").to_numpy()
    assert np.median(explained[seen]) > 0.25
    assert np.median(explained[constant]) < 0.05


def test_the_expression_of_a_spot_is_the_mean_of_the_fine_map_under_it(section, spots):
    k = int(np.argmax(spots.obs.tissue.to_numpy()))
    x, y = spots.obsm["spatial"][k] * section.mpp
    x0, y0 = (int(v // 2 * 2) - 40 for v in (x, y))
    fine = section.expression_map(x0, y0, 80, 80, bin_um=2)
    centre = np.arange(40) * 2 + 1
    disc = np.hypot(centre[None, :] + x0 - x, centre[:, None] + y0 - y) < 27.5
    factors = fine.factors[disc]
    tissue = factors[:, -1] > 0
    np.testing.assert_allclose(spots.obsm["factors"][k], factors[tissue].mean(axis=0), rtol=1e-4, atol=1e-5)


def test_two_runs_give_the_same_counts(tiny):
    a, b = tiny.spots(), tiny.spots()
    assert (a.X != b.X).nnz == 0
