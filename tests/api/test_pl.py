"""Figures on matplotlib axes."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import histoscribe as hs
from histoscribe.errors import ConfigError, InputError


def test_groups_are_drawn_on_the_axes_that_are_given(adata):
    adata.obs["half"] = np.where(adata.obsm["spatial"][:, 0] < 600, "left", "right")
    figure, ax = plt.subplots()
    assert hs.pl.domains(adata, key="half", ax=ax) is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["left", "right"]
    assert hs.pl.domains(adata, key="half", ax=ax, return_fig=True) is figure
    with pytest.raises(InputError, match="domain"):
        hs.pl.domains(adata)


def test_one_wild_spot_does_not_flatten_the_colours_of_a_gene(adata):
    name = adata.var_names[0]
    plain = hs.pl.gene(adata, name).figure.axes[1].get_ylim()
    counts = adata.X.tolil()
    counts[0, 0] = 1e6
    adata.X = counts.tocsr()
    wild = hs.pl.gene(adata, name).figure.axes[1].get_ylim()
    # the hundredth percentile of 110 spots lies just below the largest: a million would end the scale at 9.2
    assert wild[1] < plain[1] + 1
    with pytest.raises(InputError, match="gene"):
        hs.pl.gene(adata, "NONE")


def test_the_preflight_figure_says_what_is_wrong(adata):
    assert hs.pl.preflight(adata).get_title(loc="left").endswith("ok")
    adata.obsm["spatial"] = adata.obsm["spatial"] * 5
    assert "refused" in hs.pl.preflight(adata).get_title(loc="left")


def test_columns_stand_side_by_side(adata):
    adata.obs["half"] = np.where(adata.obsm["spatial"][:, 0] < 600, "left", "right")
    axes = hs.pl.compare(adata, ["half", "array_row"])
    assert [ax.get_title(loc="left").partition(": ")[2] for ax in axes] == ["half", "array_row"]
    with pytest.raises(ConfigError, match="list"):
        hs.pl.compare(adata, "half")
