"""The viewer's answers: who gets any, tiles of every layer, numbers equal to the table's, and damage that is named."""

import io
import shutil
from urllib.parse import unquote

import anndata
import numpy as np
import pytest
import spatialdata
from PIL import Image

from histoscribe.errors import ResultError
from histoscribe.section import Section


@pytest.fixture
def visitor(client_of, result):
    """Somebody with the token, and what the section says of itself."""
    client = client_of(result)
    (name,) = client.get("/api/sections").json()["sections"]
    facts = client.get(f"/api/sections/{name}").json()
    return client, facts


@pytest.fixture(scope="module")
def table(result) -> anndata.AnnData:
    return spatialdata.read_zarr(result / "section.zarr").tables["table"]


def tile(client, facts, layer, place="{top}/0_0", **parameters):
    where = place.format(top=facts["top_level"])
    return client.get(f"/tiles/{facts['name']}/{facts['version']}/{layer}/{where}", params=parameters)


def pixels(answer) -> np.ndarray:
    assert answer.status_code == 200
    return np.asarray(Image.open(io.BytesIO(answer.content)))


# ---- who may ask --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/", "/api/sections", "/static/main.js", "/?token=wrong", "/?token="])
def test_without_the_token_nothing_is_shown(client_of, result, address):
    assert client_of(result, visited=False).get(address).status_code == 403


def test_the_token_becomes_a_cookie_that_scripts_and_other_sites_do_not_get(client_of, result):
    client = client_of(result, visited=False)
    answer = client.get("/?token=a-token-of-the-tests", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    "header", [{"host": "evil.example"}, {"host": "127.0.0.1:1"}, {"origin": "http://evil.example"}]
)
def test_another_name_of_the_server_or_another_page_is_refused(visitor, header):
    client, _ = visitor
    assert client.get("/api/sections", headers=header).status_code == 403


def test_the_page_may_load_nothing_from_elsewhere_and_no_inline_script(visitor):
    client, _ = visitor
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in client.get("/").text


@pytest.mark.parametrize(
    "address",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static/vendor/..%5c..%5cserver.py",
        "/static/",
        "/static/vendor/",
        "/static//etc/passwd",
        "/api/sections/..%2f..%2fetc",
        "/tiles/../x/slide/0/0_0",
    ],
)
def test_no_file_but_the_pages_own_is_served_and_no_folder_is_listed(visitor, address):
    client, _ = visitor
    assert client.get(address).status_code in (400, 404)


# ---- tiles --------------------------------------------------------------------------------------------------------


def test_a_tile_of_the_slide_is_the_pictures_own_pixels(visitor, result):
    client, facts = visitor
    image = Section.from_spatialdata(spatialdata.read_zarr(result / "section.zarr")).require_image()
    shown = pixels(tile(client, facts, "slide", "{top}/1_0")).astype(int)
    stored = image.read(512, 0, shown.shape[1], shown.shape[0]).astype(int)
    assert np.abs(shown - stored).mean() < 3  # JPEG


def test_a_coarser_tile_shows_the_same_place(visitor):
    client, facts = visitor
    fine = pixels(tile(client, facts, "slide", "{top}/0_0")).astype(float)
    coarse = pixels(tile(client, facts, "slide", f"{facts['top_level'] - 1}/0_0")).astype(float)
    halved = fine.reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
    assert np.abs(coarse[:256, :256] - halved).mean() < 12


@pytest.mark.parametrize("place", ["{top}/99_0", "{top}/0_99", "99/0_0"])
def test_a_tile_off_the_slide_is_refused_in_words(visitor, place):
    client, facts = visitor
    answer = tile(client, facts, "slide", place)
    assert answer.status_code == 404
    assert "no such tile" in answer.json()["problem"]


@pytest.mark.parametrize(
    "asked",
    [{"low": "nan"}, {"high": "1e999"}, {"colours": "jet"}, {"unit": "x"}, {"hidden": "a"}, {"gene": "NO_SUCH"}],
)
def test_what_cannot_be_drawn_is_refused_in_words(visitor, asked):
    client, facts = visitor
    answer = tile(client, facts, "gene", **asked)
    assert answer.status_code in (400, 404)
    assert len(answer.json()["problem"]) > 20


def test_every_spot_is_drawn_in_the_colour_of_its_domain(visitor, table):
    client, facts = visitor
    colours = {row["domain"]: row["colour"] for row in facts["domains"]}
    shown = pixels(tile(client, facts, "domain"))
    x, y = table.obsm["spatial"].astype(int).T
    inside = (x < shown.shape[1]) & (y < shown.shape[0])
    assert inside.sum() > 10
    for row in np.flatnonzero(inside):
        expected = bytes.fromhex(colours[int(table.obs["domain"].iloc[row])][1:])
        assert bytes(shown[y[row], x[row], :3]) == expected
        assert shown[y[row], x[row], 3] == 255


def test_a_hidden_domain_is_not_drawn(visitor):
    client, facts = visitor
    every = ",".join(str(row["domain"]) for row in facts["domains"])
    assert pixels(tile(client, facts, "domain", hidden=every))[..., 3].max() == 0


def test_the_highest_count_has_the_last_colour_and_the_lowest_the_first(visitor, table):
    client, facts = visitor
    counts = table[:, table.var_names[0]].X.toarray()[:, 0]
    x, y = table.obsm["spatial"].astype(int).T
    inside = np.flatnonzero((x < 512) & (y < 512))
    least, most = (inside[pick(counts[inside])] for pick in (np.argmin, np.argmax))
    limits = {"low": counts[least], "high": counts[most]}
    shown = pixels(tile(client, facts, "gene", gene=table.var_names[0], unit="counts", **limits))
    assert bytes(shown[y[least], x[least], :3]) == b"\x44\x01\x54"  # viridis
    assert bytes(shown[y[most], x[most], :3]) == b"\xfd\xe7\x25"


@pytest.mark.parametrize("layer", ["tissue", "nuclei", "confidence", "counts"])
def test_further_layers_draw_something_and_leave_the_rest_clear(visitor, layer):
    client, facts = visitor
    opacity = pixels(tile(client, facts, layer, high=5))[..., 3]
    assert 0 < (opacity > 0).mean() < 1


def test_a_map_is_drawn_from_its_raster(visitor, result):
    from histoscribe import read_maps

    client, facts = visitor
    maps = read_maps(result)
    gene = client.get(f"/api/sections/{facts['name']}/{facts['version']}/genes").json()["mapped"][0]
    raster = maps.gene(gene, unit="log").values
    shown = pixels(tile(client, facts, "map", gene=gene, low=0, high=1))
    cell = maps.grid.cell_px
    known = np.isfinite(
        raster[(np.arange(0, 512, 16) / cell).astype(int)][:, (np.arange(0, 512, 16) / cell).astype(int)]
    )
    assert ((shown[::16, ::16, 3] > 0) == known).mean() > 0.98


# ---- numbers ------------------------------------------------------------------------------------------------------


def test_a_click_tells_the_numbers_of_the_table(visitor, table):
    client, facts = visitor
    for row in range(0, table.n_obs, 7):
        x, y = table.obsm["spatial"][row]
        genes = list(table.var_names[:3])
        found = client.get(
            f"/api/sections/{facts['name']}/{facts['version']}/spot", params={"x": x + 3, "y": y - 3, "gene": genes}
        ).json()
        counts = table.X[row].toarray()[0]
        assert found["barcode"] == table.obs_names[row]
        assert found["domain"] == int(table.obs["domain"].iloc[row])
        assert found["confidence"] == table.obs["confidence"].iloc[row]
        assert found["asked"] == dict(zip(genes, counts[:3].tolist(), strict=True))
        assert (found["total"], found["genes"]) == (counts.sum(), (counts > 0).sum())
        assert list(found["most"].values()) == sorted(counts.tolist(), reverse=True)[:12]


def test_between_the_spots_there_is_nothing_to_tell(visitor):
    client, facts = visitor
    assert client.get(f"/api/sections/{facts['name']}/{facts['version']}/spot", params={"x": 0, "y": 0}).json() == {}


@pytest.mark.parametrize("unit", ["counts", "log"])
def test_limits_and_histogram_are_of_the_tables_values(visitor, table, unit):
    client, facts = visitor
    gene = table.var_names[5]
    counts = table[:, gene].X.toarray()[:, 0]
    values = np.log1p(1e4 * counts / np.asarray(table.X.sum(axis=1)).ravel()) if unit == "log" else counts
    address = f"/api/sections/{facts['name']}/{facts['version']}/range/gene"
    found = client.get(address, params={"gene": gene, "unit": unit}).json()
    assert found["least"] == pytest.approx(values.min())
    assert found["greatest"] == pytest.approx(values.max())
    assert sum(found["bars"]) == found["known"] == table.n_obs


# ---- damage and change --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"\0" * 40), lambda path: path.unlink()])
def test_a_damaged_or_missing_chunk_is_a_hatched_tile_with_a_message(client_of, own, damage):
    damage(own / "section.zarr" / "images" / "image" / "s0" / "c" / "0" / "0" / "0")
    client = client_of(own)
    facts = client.get(f"/api/sections/{client.get('/api/sections').json()['sections'][0]}").json()
    answer = tile(client, facts, "slide")
    assert answer.status_code == 500
    assert Image.open(io.BytesIO(answer.content)).size == (512, 512)
    assert "a part of this array is" in unquote(answer.headers["x-histoscribe-problem"])


@pytest.mark.parametrize("part", ["tables/table/X/data/c/0", "tables/table/obs/confidence/c/0"])
def test_a_lost_part_of_the_table_is_named_and_never_read_as_zeros(client_of, own, part):
    (own / "section.zarr" / part).unlink()
    client = client_of(own)
    name = client.get("/api/sections").json()["sections"][0]
    answers = [client.get(f"/api/sections/{name}")]
    if answers[0].status_code == 200:
        facts = answers[0].json()
        gene = client.get(f"/api/sections/{name}/{facts['version']}/genes").json()["measured"][0]
        answers.append(client.get(f"/api/sections/{name}/{facts['version']}/range/gene", params={"gene": gene}))
    assert answers[-1].status_code == 409
    assert "is missing" in answers[-1].json()["problem"]


def test_a_result_that_is_written_anew_or_removed_is_noticed(client_of, own):
    client = client_of(own)
    name = client.get("/api/sections").json()["sections"][0]
    facts = client.get(f"/api/sections/{name}").json()
    genes = f"/api/sections/{name}/{facts['version']}/genes"
    (own / "manifest.json").write_bytes((own / "manifest.json").read_bytes())
    assert "written anew" in client.get(genes).json()["problem"]
    assert "written anew" in unquote(tile(client, facts, "slide").headers["x-histoscribe-problem"])
    assert client.get(f"/api/sections/{name}").json()["version"] != facts["version"]
    shutil.rmtree(own)
    assert "moved or deleted" in client.get(f"/api/sections/{name}").json()["problem"]


def test_a_folder_without_a_result_is_refused_at_the_start(client_of, tmp_path):
    with pytest.raises(ResultError, match="not a complete histoscribe result"):
        client_of(tmp_path)


def test_results_of_several_sections_are_opened_under_their_names(client_of, result, own):
    client = client_of(result, own)
    first, second = client.get("/api/sections").json()["sections"]
    assert second == f"{first} (2)"
    assert client.get(f"/api/sections/{second}/thumbnail.jpg").headers["content-type"] == "image/jpeg"
