"""Several sections in one h5ad: found by what can stand once in a section, refused or read by name."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from histoscribe.errors import InputError
from histoscribe.io import read, sections_in
from histoscribe.io.merged import find_sections
from histoscribe.run.verbs import check

pytestmark = pytest.mark.filterwarnings("ignore")


def library(seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (120, 140, 3), np.uint8)
    return {"images": {"hires": pixels}, "scalefactors": {"tissue_hires_scalef": 0.5, "spot_diameter_fullres": 13.0}}


def section(seed, *, shift=0.0, name=None):
    """100 spots of one Visium slide; all slides share their barcodes."""
    places = [(row, column) for row in range(10) for column in range(row % 2, 20, 2)]
    letters = np.array(list("ACGT"))
    barcodes = ["".join(letters[[k >> 6 & 3, k >> 4 & 3, k >> 2 & 3, k & 3] * 4]) + "-1" for k in range(100)]
    row, column = np.array(places).T
    adata = AnnData(
        X=np.random.default_rng(seed).poisson(2.0, (100, 6)).astype(np.float32),
        obs=pd.DataFrame({"in_tissue": 1, "array_row": row, "array_col": column}, index=barcodes),
        obsm={"spatial": np.column_stack([40 + column * 10.0, 40 + row * 10 * np.sqrt(3)]) + shift},
    )
    if name:
        adata.uns["spatial"] = {name: library(seed)}
    return adata


def pair(**options):
    return ad.concat({"left": section(1, name="left"), "right": section(2, shift=7.0, name="right")}, **options)


@pytest.fixture
def written(tmp_path):
    def write(adata):
        path = tmp_path / "merged.h5ad"
        adata.write_h5ad(path)
        return path

    return write


def test_what_concat_makes_by_default_is_refused_with_the_evidence_and_a_mend_that_works(written):
    path = written(pair())
    with pytest.raises(InputError, match="several sections, and nothing in it says which spot") as caught:
        read(path)
    assert "100 of 200 array places stand more than once" in str(caught.value)
    mended = written(pair(label="library_id", index_unique="-", uns_merge="unique"))
    assert "label='library_id', index_unique='-', uns_merge='unique'" in str(caught.value)
    assert sections_in(mended) == ["left", "right"]
    reading = read(mended, section="right")
    assert reading.section.spots.n_obs == 100
    assert reading.mpp_by_source["spot pitch"] == pytest.approx(5.0 * 2)  # in pixels of its hires picture
    np.testing.assert_array_equal(reading.section.image.read(0, 0, 140, 120), library(2)["images"]["hires"])


@pytest.mark.parametrize(
    ("options", "names", "by"),
    [
        ({"label": "sample"}, ["left", "right"], "obs['sample']"),
        ({"label": "whatever"}, ["left", "right"], "obs['whatever']"),
        ({"index_unique": "-"}, ["left", "right"], "added to the barcodes"),
        ({"keys": ["Sample 1", "Sample/2"], "label": "batch"}, ["Sample-1", "Sample-2"], "obs['batch']"),
    ],
)
def test_each_section_is_read_by_name_whatever_tells_them_apart(written, options, names, by):
    pieces = [section(1), section(2, shift=7.0)]
    keys = options.pop("keys", ["left", "right"])
    path = written(ad.concat(dict(zip(keys, pieces, strict=True)), **options))
    assert sections_in(path) == names
    with pytest.raises(InputError, match="holds several sections") as caught:
        read(path)
    assert by in str(caught.value)
    assert "array places stand more than once" in str(caught.value)
    for name, piece in zip(names, pieces, strict=True):
        reading = read(path, section=name)
        assert reading.section.name == name
        np.testing.assert_allclose(reading.section.xy_px, piece.obsm["spatial"])
        assert reading.mpp_by_source["spot pitch"] == pytest.approx(5.0)
    with pytest.raises(InputError, match="several sections"):
        read(path, section="middle")


def test_endings_of_aggregated_barcodes_and_names_before_them_tell_sections_apart():
    for change in (lambda n, k: n.replace("-1", f"-{k}"), lambda n, k: f"S{k}_{n}", lambda n, k: f"{n}_S{k}"):
        pieces = [section(1), section(2)]
        for k, piece in enumerate(pieces, 1):
            piece.obs_names = [change(name, k) for name in piece.obs_names]
        names = find_sections(ad.concat(pieces)).names
        assert [name.removeprefix("S") for name in names] == ["1", "2"]


def test_a_picture_copied_from_the_first_section_is_not_that_of_the_second(written):
    merged = pair(label="sample")
    merged.uns["spatial"] = {"left": library(1)}
    path = written(merged)
    assert read(path, section="left").section.image is not None
    reading = read(path, section="right")
    assert reading.section.image is None
    assert any("pictures of other sections only, which were not used" in note for note in reading.notes)
    merged.uns["spatial"]["right"] = library(1)
    with pytest.raises(InputError, match="one and the same picture for the sections right, left"):
        read(written(merged), section="right")
    merged.uns["spatial"] = {"some run": library(1)}
    assert read(written(merged), section="left").section.image is None


def test_spots_of_no_known_array_are_told_apart_by_a_column_that_splits_them(written):
    for shift in (3.0, 1000.0):
        pieces = {"a": section(1), "b": section(2, shift=shift)}
        for name, piece in pieces.items():
            piece.obs = pd.DataFrame(index=[f"{name}{k}" for k in range(100)])
        merged = ad.concat(pieces, label="slide")
        with pytest.raises(InputError, match=r"obs\['slide'\](.|\n)*stand (apart|between)"):
            read(written(merged))
        assert find_sections(merged, column="none") is None


def test_a_column_within_one_section_makes_no_sections_of_it():
    one = section(1, name="left")
    one.obs["sample"] = np.where(one.obs["array_row"] < 5, "tumour", "stroma")
    one.obs["cluster"] = [str(k % 7) for k in range(100)]
    assert find_sections(one) is None
    one.obs["library_id"] = "left"
    one.uns["spatial"]["right"] = library(2)  # as a subset of a larger file keeps it
    assert find_sections(one, one.uns["spatial"]) is None


def test_a_subset_of_a_larger_file_gets_its_own_picture(written):
    merged = pair(label="library_id", uns_merge="unique")
    reading = read(written(merged[merged.obs["library_id"] == "right"].copy()))
    np.testing.assert_array_equal(reading.section.image.read(0, 0, 140, 120), library(2)["images"]["hires"])


def test_a_column_of_ones_own_names_the_sections(written):
    merged = pair(label="sample")
    merged.obs["mine"] = merged.obs["sample"].map({"left": "P1", "right": "P2"}).astype(str)
    path = written(merged)
    assert read(path, section="P2", section_column="mine").section.spots.n_obs == 100
    with pytest.raises(InputError, match=r"no column 'mein'(.|\n)*mine"):
        read(path, section="P2", section_column="mein")
    assert [reading.section.name for reading, _ in check(path, section_column="mine")] == ["P1", "P2"]
    assert [reading.section.name for reading, _ in check(path, section="left")] == ["left"]
    assert [reading.section.name for reading, _ in check(path, section="all")] == ["left", "right"]


def test_halves_of_two_sections_follow_lattices_of_their_own(written):
    merged = ad.concat([section(1)[:50].copy(), section(2, shift=7.0)[50:].copy()], label="batch")
    with pytest.raises(InputError, match=r"the array of each obs\['batch'\] lies in pixels of its own"):
        read(written(merged))
