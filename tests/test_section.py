"""Section: what it refuses when it is made, and that SpatialData carries it there and back."""

import warnings

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

from histoscribe import Lattice, Section, SlideImage
from histoscribe.errors import InputError
from histoscribe.slide.image import ArraySource


def spots(n: int = 30, genes: int = 5, seed: int = 0) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    table = ad.AnnData(sparse.csr_matrix(rng.poisson(1.0, (n, genes)).astype(np.float32)))
    table.obs_names = [f"s{i}" for i in range(n)]
    table.var_names = [f"g{i}" for i in range(genes)]
    table.obsm["spatial"] = rng.uniform(20, 180, (n, 2))
    return table


def picture(width: int = 220, height: int = 200, mpp: float | None = 0.5) -> SlideImage:
    pixels = np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)
    return SlideImage(ArraySource([pixels]), mpp=mpp)


def broken(**changes: object) -> ad.AnnData:
    table = spots()
    if "xy" in changes:
        table.obsm["spatial"] = np.asarray(changes["xy"])
    if "names" in changes:
        table.obs_names = changes["names"]
    if "X" in changes:
        table.X = changes["X"]
    return table


NAN_XY = np.where(np.arange(60).reshape(30, 2) == 7, np.nan, 1.0)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (broken(xy=NAN_XY), r"1 spots have no finite coordinates \(s3\)"),
        (broken(names=["a"] * 2 + [f"s{i}" for i in range(28)]), r"1 barcodes stand more than once \(a\)"),
        (broken(X=sparse.csr_matrix(-np.ones((30, 5)))), "negative or non-finite"),
        (broken(X=sparse.csr_matrix(np.full((30, 5), np.inf))), "negative or non-finite"),
        (spots()[:0].copy(), "there are no spots"),
    ],
)
def test_spots_that_cannot_be_are_refused(table, words):
    with pytest.raises(InputError, match=words):
        Section.from_anndata(table, name="x")


@pytest.mark.parametrize("name", ["../x", "", "/etc", "a/b", ".hidden", "a b", "x" * 101, "a\n"])
def test_a_name_that_could_leave_the_result_folder_is_refused(name):
    with pytest.raises(InputError, match="a section's name"):
        Section.from_anndata(spots(), name=name)


def test_spots_without_coordinates_are_refused_with_what_is_there():
    table = spots()
    table.obsm["X_pca"] = table.obsm.pop("spatial")
    with pytest.raises(InputError, match=r"no coordinates(.|\n)*X_pca"):
        Section.from_anndata(table, name="x")


@pytest.mark.parametrize("mpp", [None, 0.0, -1.0, float("nan")])
def test_an_image_without_microns_per_pixel_is_refused(mpp):
    with pytest.raises(InputError, match="microns per pixel"):
        Section.from_anndata(spots(), name="x", image=picture(mpp=mpp))


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(InputError, match=r"a section's name(.|\n)*finite coordinates"):
        Section.from_anndata(broken(xy=NAN_XY), name="../x")


def test_the_given_table_is_not_changed():
    table = spots()
    table.X = table.X.toarray()
    Section.from_anndata(table, name="x")
    assert isinstance(table.X, np.ndarray)


def test_without_a_picture_the_lattice_gives_the_scale():
    table = spots(4)
    table.obsm["spatial"] = np.array([[0, 0], [137, 0], [0, 137], [137, 137]], float)
    section = Section.from_anndata(table, name="x", lattice=Lattice("square", 100.0, 55.0))
    assert section.mpp == pytest.approx(100 / 137)
    assert section.xy_um.max() == pytest.approx(100)


def test_a_section_without_a_picture_says_so():
    with pytest.raises(InputError, match="no image"):
        Section.from_anndata(spots(), name="x").require_image()


def test_a_table_without_genes_is_a_section_without_counts():
    assert not Section.from_anndata(spots(genes=0), name="x").has_counts


def test_spatialdata_carries_a_section_there_and_back(tmp_path):
    import spatialdata

    image, lattice = picture(1500, 1300), Lattice("hex", 100.0, 55.0)
    section = Section.from_anndata(spots(), name="a.b-1", image=image, platform="visium", patient="P1", lattice=lattice)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        section.to_spatialdata().write(tmp_path / "s.zarr")
        again = Section.from_spatialdata(spatialdata.read_zarr(tmp_path / "s.zarr"))
    assert (again.name, again.platform, again.patient, again.lattice) == ("a.b-1", "visium", "P1", lattice)
    assert again.mpp == 0.5
    assert (again.xy_px == section.xy_px).all()
    assert (again.spots.X != section.spots.X).nnz == 0
    assert again.require_image().n_levels > 1
    assert (again.require_image().read(7, 1100, 90, 200) == image.read(7, 1100, 90, 200)).all()
    assert again.to_spatialdata()["table"].obs_names.equals(section.spots.obs_names)  # and once more


def test_another_programs_spatialdata_is_not_taken_for_ours():
    import spatialdata

    with pytest.raises(InputError, match="not written by histoscribe"):
        Section.from_spatialdata(spatialdata.SpatialData())


@pytest.mark.parametrize("values", [["no", "yes", "yes"], [0.0, 1.0, float("nan")], [1, 0, 1]])
def test_a_column_of_measured_spots_that_is_not_ours_is_refused_by_name(values):
    table = ad.AnnData(np.ones((3, 2), np.float32))
    table.obsm["spatial"] = np.arange(6.0).reshape(3, 2)
    table.obs["hs_measured"] = values
    section = Section.from_anndata(table, name="S")
    with pytest.raises(InputError, match="hs_measured"):
        section.measured  # noqa: B018
