"""h5ad files: open one after a check of its structure, and find the raw counts in it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError
from histoscribe.io.containers import require_sound
from histoscribe.io.counts import as_counts, genes_among
from histoscribe.io.features import genes_of
from histoscribe.io.tables import missing
from histoscribe.store.hdf5 import open_hdf5
from histoscribe.store.received import is_there

_SYMBOLS = ("feature_name", "gene_symbols", "gene_symbol", "gene_name", "gene_names", "symbol", "SYMBOL")
_IDENTIFIER = re.compile(r"ENS[A-Z]*G\d{6,}(\.\d+)?")


def open_h5ad(path: Path) -> AnnData:
    """Read an h5ad whole, after every matrix and size in it was checked; raises InputError where it is damaged."""
    from anndata._io.specs.registry import IORegistryError  # not exported, yet raised for unknown elements
    from anndata.io import read_h5ad

    if not is_there(path) or path.is_dir():
        raise missing(path)
    with open_hdf5(path, "h5ad file") as file:
        require_sound(file, path)
    try:
        return read_h5ad(path)
    except (
        OSError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
        IndexError,
        IORegistryError,
    ) as error:
        raise InputError(
            "the h5ad file is damaged, cut short or of an unknown layout",
            where=path,
            found=f"{path.stat().st_size:,} bytes; {str(error).splitlines()[0][:200] if str(error) else error!r}",
            fix="copy it again, or write it again with a recent anndata",
        ) from error


def counts_of(adata: AnnData, path: Path) -> tuple[AnnData, str | None]:
    """Raw counts of an AnnData with their genes, (n, g) CSR, and a note for the user on where they were found."""
    raw = adata.raw
    places: list[tuple[str, Any, pd.DataFrame]] = [("X", adata.X, adata.var)]
    places += [
        (f"layers[{name!r}]", adata.layers[name], adata.var)
        for name in ("counts", "raw_counts", "counts_raw", "count", "raw")
        if name in adata.layers
    ]
    places += [("raw", raw.X, raw.var)] if raw is not None else []
    why_not = []
    for place, values, var in places:
        if values is not None and len(values.shape) != 2:
            raise InputError(
                f"{place} is no matrix", where=path, expected="spots by genes", found=f"shape {values.shape}"
            )
        if values is None or not values.shape[1]:
            continue
        matrix, fault = as_counts(values)
        if fault:
            why_not.append(f"{place} holds {fault}")
            continue
        left_out = None
        if "feature_types" in var:  # as scanpy reads 10x matrices, proteins too
            kinds = var["feature_types"].astype(object).where(var["feature_types"].notna(), "gene")
            keep, left_out = genes_among([str(kind) for kind in kinds], path)
            matrix, var = matrix[:, keep], var.loc[keep]
        symbols, column = _symbols(var)
        genomes = var["genome"].astype(str).tolist() if "genome" in var else None
        genes = genes_of(matrix, symbols, ids=_gene_ids(var).tolist(), genomes=genomes)
        obs = pd.DataFrame(index=adata.obs_names.astype(str))
        table = AnnData(X=genes.matrix, obs=obs, var=pd.DataFrame({"gene_ids": genes.ids}, index=genes.names))
        if genes.genomes is not None:
            table.var["genome"] = genes.genomes
        notes = [f"counts are from {place}: {'; '.join(why_not)}"] if why_not else []
        notes += [f"genes are named by var[{column!r}]"] if column else []
        notes += [left_out] if left_out else []
        return table, "; ".join([*notes, *genes.notes]) or None
    table = AnnData(X=sparse.csr_matrix((adata.n_obs, 0), dtype=np.float32))
    table.obs_names = adata.obs_names.astype(str)
    reason = "; ".join(why_not) or "the file holds no matrix"
    return table, f"the genes were left out, because {path.name} holds no raw counts: {reason}"


def _symbols(var: pd.DataFrame) -> tuple[list[str], str | None]:
    """Names of the genes, and the column they are from where the index holds identifiers, as CELLxGENE's does."""
    index = [str(name) for name in var.index]
    column = next((name for name in _SYMBOLS if name in var), None)
    if column is None or sum(_IDENTIFIER.fullmatch(name) is not None for name in index) < 0.5 * len(index):
        return index, None
    symbols = var[column].astype(object).where(var[column].notna(), "").astype(str)
    return [symbol.strip() or name for symbol, name in zip(symbols, index, strict=True)], column


def _gene_ids(var: pd.DataFrame) -> NDArray[Any]:
    for name in ("gene_ids", "gene_id", "ensembl_id", "ENSEMBL"):
        if name in var:
            return var[name].astype(str).to_numpy()
    return var.index.astype(str).to_numpy()
