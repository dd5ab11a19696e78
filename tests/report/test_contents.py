"""Contents that do not fit each other are refused before anything is drawn."""

import numpy as np
import pytest

from histoscribe.errors import ConfigError


def test_a_missing_column_is_named(contents_of):
    with pytest.raises(ConfigError, match="confidence"):
        contents_of(domains=contents_of().domains.drop(columns="confidence"))


def test_foreign_barcodes_are_refused(contents_of):
    with pytest.raises(ConfigError, match="not among the section's spots"):
        contents_of(domains=contents_of().domains.replace({"barcode": {"spot0": "other"}}))


def test_repeated_barcodes_are_refused(contents_of):
    with pytest.raises(ConfigError, match="more than once"):
        contents_of(domains=contents_of().domains.replace({"barcode": {"spot0": "spot1"}}))


@pytest.mark.parametrize("domain", [0, 1.5, np.nan, "a"])
def test_domains_are_whole_numbers_from_one(contents_of, domain):
    table = contents_of().domains.astype({"domain": object})
    table.loc[0, "domain"] = domain
    with pytest.raises(ConfigError, match="whole numbers"):
        contents_of(domains=table)


def test_an_embedding_of_other_spots_is_refused(contents_of):
    with pytest.raises(ConfigError, match="one per spot"):
        contents_of(embedding=np.zeros((35, 4), np.float32))


def test_a_finding_with_an_unknown_level_is_refused(contents_of):
    with pytest.raises(ConfigError, match="level"):
        contents_of(preflight={"findings": [{"name": "a", "message": "b", "level": "fine"}]})
