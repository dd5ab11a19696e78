"""A model that was received may say anything, with a manifest that agrees: nothing in it is followed or trusted."""

import json
import random
import shutil
from dataclasses import replace

import pytest

from histoscribe.errors import ConfigError, HistoscribeError
from histoscribe.phantom import cohort, make_phantom, write_spaceranger
from histoscribe.run.cohort.fit import fit
from histoscribe.run.cohort.model import cards_of_model, read_model
from histoscribe.run.cohort.options import PredictOptions
from histoscribe.run.cohort.predict import predict
from histoscribe.store.manifest import describe, read_manifest, write_manifest


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    rows = ["section,patient,path,image"]
    for phantom in cohort(3, like=make_phantom(0, size_um=700.0, mpp=2.0, n_domains=3, n_genes=40)):
        write_spaceranger(phantom, folder / phantom.name)
        rows.append(f"{phantom.name},{phantom.patient_name},{phantom.name},{phantom.name}/{phantom.name}.tif")
    (folder / "sheet.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def model(sections, tmp_path_factory):
    options = PredictOptions(encoders=("morphology",), tile_um=(112.0,), n_genes=4)
    out = tmp_path_factory.mktemp("model") / "m"
    fit(sections / "sheet.csv", out=out, head="ridge", options=options)
    return out


def sealed(folder):
    """Write a manifest of what the folder holds now, as whoever sent it may have done."""
    names = list(read_manifest(folder)["files"])
    write_manifest(folder, {name: describe(folder, name) for name in names})
    return folder


@pytest.fixture
def received(model, tmp_path):
    """Change model.json, with a manifest that agrees."""
    shutil.copytree(model, tmp_path / "m")

    def change(**differs):
        path = tmp_path / "m" / "model.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | differs))
        return sealed(tmp_path / "m")

    return change


@pytest.mark.parametrize("name", ["evil.toml", "../evil.toml", "/tmp/evil.toml", "${HOME}/evil.toml", "hf-hub:a/b", ""])
def test_the_encoders_of_a_model_are_names_and_never_places(received, sections, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.toml").write_text('like = "morphology"\n')
    facts = json.loads((received() / "model.json").read_text())
    folder = received(encoders=[facts["encoders"][0] | {"name": name}])
    with pytest.raises(ConfigError, match="there is no encoder called") as caught:
        predict(folder, sections / "P1S0", out=tmp_path / "p")
    assert "--encoder" in str(caught.value)


@pytest.mark.parametrize(
    "differs",
    [
        {"url": "file:///etc/passwd"},
        {"hub": "someone/else"},
        {"model_args": {"checkpoint_path": "x"}},
        {"model": "hf-hub:a/b"},
    ],
)
def test_what_a_model_says_of_its_encoder_is_compared_and_never_loaded(received, differs):
    facts = json.loads((received() / "model.json").read_text())
    folder = received(encoders=[facts["encoders"][0] | differs])
    with pytest.raises(ConfigError, match="fitted on another encoder"):
        cards_of_model(read_model(folder))


def test_where_a_file_lay_is_not_taken_from_a_model(received):
    facts = json.loads((received() / "model.json").read_text())
    [card] = cards_of_model(read_model(received(encoders=[facts["encoders"][0] | {"file": "../../etc/passwd"}])))
    assert card.file is None


@pytest.mark.parametrize(
    "differs",
    [
        *({"head": 3}, {"head": {"name": "ridge"}}, {"head": {"name": "ridge", "params": 7}}, {"options": []}),
        *({"options": {}}, {"encoders": 3}, {"encoders": [[]]}, {"encoders": [{"name": []}]}, {"slides": 3}),
        *({"target": None}, {"target": {}}, {"format": "x"}, {"head": {"name": "os.system", "params": {}}}),
        {"head": {"name": "ridge", "params": {"__class__": 1}}},
    ],
    ids=str,
)
def test_a_model_that_does_not_say_what_a_model_says_is_one_error(received, differs):
    with pytest.raises(HistoscribeError):
        read_model(received(**differs))


def test_mutated_weights_of_a_model_give_an_error_or_a_model(received):
    path = received() / "weights.safetensors"
    good = path.read_bytes()
    n_read = 0
    for seed in range(100):
        rng, content = random.Random(seed), bytearray(good)
        for _ in range(rng.randint(1, 3)):
            content[rng.randrange(2000)] = rng.choice(b'0123456789[]{},":BFIU')
        path.write_bytes(content)
        try:
            read_model(sealed(path.parent))
        except HistoscribeError:
            continue
        n_read += 1
    assert n_read < 100


def test_a_model_without_encoders_of_its_name_still_takes_the_card_that_is_given(received, tmp_path):
    (tmp_path / "mine.toml").write_text('like = "morphology"\nname = "mine"\n')
    found = read_model(received())
    found = replace(found, encoders={"mine": found.encoders["morphology"] | {"name": "mine"}})
    [card] = cards_of_model(found, [str(tmp_path / "mine.toml")])
    assert card.name == "mine"
