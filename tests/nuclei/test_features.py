"""Measures and outlines of nuclei, against scikit-image and figures known by geometry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.draw import ellipse
from skimage.measure import regionprops

from histoscribe.nuclei.features import MEASURES, measure
from histoscribe.nuclei.haematoxylin import haematoxylin, stain_vectors
from histoscribe.nuclei.outlines import outlines
from histoscribe.slide.unmixing import PUBLISHED


def picture(shape):
    return np.random.default_rng(0).integers(60, 240, (*shape, 3), np.uint8)


def ellipses():
    labels = np.zeros((120, 160), np.int32)
    for k, (y, x, a, b, turn) in enumerate([(30, 30, 8, 14, 0), (30, 90, 10, 10, 0), (80, 60, 20, 7, 0.7)], start=1):
        rows, columns = ellipse(y, x, a, b, shape=labels.shape, rotation=turn)
        labels[rows, columns] = k
    return labels


def test_area_centre_eccentricity_and_intensity_are_those_of_regionprops():
    labels = ellipses()
    rgb = picture(labels.shape)
    table, _ = measure(labels, rgb, mpp=0.5, vectors=PUBLISHED)
    for row, known in zip(table.itertuples(), regionprops(labels, rgb.mean(axis=2)), strict=True):
        assert row.area_um2 == pytest.approx(known.area * 0.25)
        assert (row.x, row.y) == pytest.approx((known.centroid[1] + 0.5, known.centroid[0] + 0.5))
        assert row.eccentricity == pytest.approx(known.eccentricity)
        assert row.intensity == pytest.approx(known.intensity_mean)
        assert row.solidity == pytest.approx(known.solidity, abs=0.04)


def test_the_perimeter_of_a_disc_is_that_of_a_circle():
    labels = np.zeros((60, 60), np.int32)
    labels[ellipse(30, 30, 20, 20)] = 1
    table, _ = measure(labels, picture(labels.shape), mpp=1.0, vectors=PUBLISHED)
    assert table["perimeter_um"][0] == pytest.approx(2 * np.pi * 20, rel=0.01)


def test_perimeters_are_those_of_scikit_image():
    labels = ellipses()
    labels[0:9, 0:7] = 4  # at the border of the picture
    labels[40:50, 28:40] = 5  # touches the first
    table, _ = measure(labels, picture(labels.shape), mpp=0.5, vectors=PUBLISHED)
    known = [0.5 * one.perimeter_crofton for one in regionprops(labels)]
    assert table["perimeter_um"].to_numpy() == pytest.approx(known, rel=1e-9)


def test_no_nuclei_give_an_empty_table_with_all_columns():
    table, traced = measure(np.zeros((9, 9), np.int32), picture((9, 9)), mpp=0.5, vectors=PUBLISHED)
    assert len(table) == len(traced) == 0
    assert set(MEASURES) <= set(table)


def test_touching_nuclei_have_an_outline_each():
    labels = np.zeros((8, 12), np.int32)
    labels[2:6, 2:6], labels[2:6, 6:10] = 1, 2
    left, right = outlines(labels)
    assert left[:, 0].max() == right[:, 0].min() == 6
    assert (left.min(axis=0) >= 2).all()


@settings(max_examples=50)
@given(mask=arrays(np.bool_, (7, 9)))
def test_the_outline_holds_a_nucleus_bounding_box(mask):
    labels = mask.astype(np.int32)
    traced = outlines(labels)
    assert len(traced) == int(mask.any())
    if mask.any():
        (corners,) = traced
        assert (np.abs(np.diff(np.vstack([corners, corners[:1]]), axis=0)) <= 1).all()  # each corner beside the last


def test_a_nucleus_with_a_hole_gives_its_outer_border():
    labels = np.ones((9, 9), np.int32)
    labels[4, 4] = 0
    (corners,) = outlines(labels)
    assert corners.min() == 0
    assert corners.max() == 9


def test_stain_vectors_are_found_in_a_picture_made_of_two_stains():
    rng = np.random.default_rng(0)
    vectors = np.array([[0.60, 0.72, 0.35], [0.20, 0.90, 0.38]])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    amount = rng.uniform(0, 1.2, (200, 200, 2)) * (rng.uniform(size=(200, 200, 2)) < 0.5) + 0.05
    rgb = (256 * np.exp(-amount @ vectors)).clip(1, 256).astype(np.uint8)
    found = stain_vectors([rgb])
    assert (found * vectors).sum(axis=1).min() > 0.995


def test_blank_glass_falls_back_to_the_published_stains():
    glass = np.full((50, 50, 3), 245, np.uint8)
    assert np.allclose(stain_vectors([glass]), PUBLISHED / np.linalg.norm(PUBLISHED, axis=1, keepdims=True))
    assert haematoxylin(glass, PUBLISHED).max() < 0.1


@given(n=st.integers(0, 3))
def test_stains_of_empty_samples_are_defined(n):
    assert np.isfinite(stain_vectors([np.zeros((2, 2, 3), np.uint8)] * n)).all()
