"""Weights are the ones a card names, or there is an error that says how to get them."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from histoscribe.encoders import availability, build_encoder, cards, load_card
from histoscribe.encoders import weights as weights_room
from histoscribe.encoders.weights import find_weights
from histoscribe.errors import ConfigError, WeightsError
from histoscribe.store.files import sha256_file


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def served(tiny_weights, monkeypatch):
    """URL of the small network's weights on a server on this machine."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tiny_weights.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{tiny_weights.name}"
    server.shutdown()
    server.server_close()


def test_a_missing_file_is_named(write_card):
    with pytest.raises(WeightsError, match="not there"):
        find_weights(load_card(write_card(file="nowhere.safetensors")))


def test_another_file_than_the_card_names_is_refused(write_card, tiny_weights):
    with pytest.raises(WeightsError, match="not the weights that the card names"):
        find_weights(load_card(write_card(file=tiny_weights, sha256="0" * 64)))


def test_a_card_without_any_source_is_refused(write_card):
    with pytest.raises(ConfigError, match="gives no weights"):
        find_weights(load_card(write_card(model="resnet50")))


def test_weights_are_fetched_once_from_a_url_and_checked(write_card, served, tiny_weights):
    card = load_card(write_card(url=served, sha256=sha256_file(tiny_weights)))
    assert not availability(card).available
    path, found = find_weights(card)
    assert (path.read_bytes(), found) == (tiny_weights.read_bytes(), card.sha256)
    assert availability(card).available
    path.touch()
    before = path.stat().st_mtime_ns
    find_weights(card)
    assert path.stat().st_mtime_ns == before


def test_what_a_url_gives_instead_is_refused_and_not_kept(write_card, served):
    card = load_card(write_card(url=served, sha256="0" * 64))
    with pytest.raises(WeightsError, match="cannot be fetched"):
        find_weights(card)
    assert not availability(card).available


def test_a_page_that_is_not_there_is_reported(write_card, served):
    with pytest.raises(WeightsError, match="cannot be fetched"):
        find_weights(load_card(write_card(url=served + "x", sha256="0" * 64)))


def test_offline_the_error_names_the_ways_out(monkeypatch):
    monkeypatch.setattr(weights_room, "_unknown_host", lambda page: True)
    with pytest.raises(WeightsError) as caught:
        build_encoder(load_card("efficientnet_b0"))
    for part in ("hub cannot be reached", "timm/efficientnet_b0.ra_in1k", 'like = "efficientnet_b0"', "morphology"):
        assert part in str(caught.value)


def test_a_hub_that_does_not_answer_is_reported_likewise(monkeypatch):
    monkeypatch.setattr(weights_room, "_unknown_host", lambda page: False)
    with pytest.raises(WeightsError, match="hub cannot be reached"):
        find_weights(load_card("efficientnet_b0"))


def hub_raises(monkeypatch, error_class, status):
    import huggingface_hub

    def download(*arguments, **options):
        raise error_class("the hub says no", response=SimpleNamespace(headers={}, request=None, status_code=status))

    monkeypatch.setattr(weights_room, "_unknown_host", lambda page: False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)


def test_gated_weights_say_where_to_agree_to_the_terms(monkeypatch):
    from huggingface_hub.errors import GatedRepoError

    hub_raises(monkeypatch, GatedRepoError, 403)
    with pytest.raises(WeightsError) as caught:
        find_weights(load_card("uni"))
    for part in ("agreed to their terms", "https://huggingface.co/MahmoodLab/UNI", "hf auth login", "CC-BY-NC-ND-4.0"):
        assert part in str(caught.value)


def test_a_repository_with_pickles_only_is_refused(monkeypatch):
    from huggingface_hub.errors import RemoteEntryNotFoundError

    hub_raises(monkeypatch, RemoteEntryNotFoundError, 404)
    with pytest.raises(WeightsError, match=r"holds no model\.safetensors"):
        find_weights(load_card("gigapath"))


def test_a_revision_that_is_not_there_is_reported(monkeypatch):
    from huggingface_hub.errors import RevisionNotFoundError

    hub_raises(monkeypatch, RevisionNotFoundError, 404)
    with pytest.raises(WeightsError, match="the hub says no"):
        find_weights(load_card("resnet50"))


def test_the_hubs_cache_is_used_without_the_network(own_cache, tiny_weights, monkeypatch):
    import huggingface_hub

    repository = own_cache / "hub" / "models--timm--resnet50.a1_in1k"
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    (snapshot / "model.safetensors").write_bytes(tiny_weights.read_bytes())
    monkeypatch.setattr(
        weights_room, "_from_hub", lambda card: pytest.fail("the hub was asked for what is in its cache")
    )
    whole = huggingface_hub.try_to_load_from_cache
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", partial(whole, cache_dir=own_cache / "hub"))
    assert availability(load_card("resnet50")).available
    assert find_weights(load_card("resnet50"))[1] == sha256_file(tiny_weights)


def test_availability_of_every_card_is_known_without_the_network(monkeypatch):
    import socket

    monkeypatch.setattr(socket, "socket", lambda *arguments, **options: pytest.fail("the network was used"))
    states = {card.name: availability(card) for card in cards()}
    assert states["morphology"].available
    assert not states["uni"].available
    assert "agreed to its terms" in states["uni"].why


def test_availability_names_a_missing_local_file(write_card):
    state = availability(load_card(write_card(file="nowhere.safetensors")))
    assert not state.available
    assert "nowhere.safetensors" in state.why
