"""The user's object: what is read of it, and where results are put in it. No other file of this room touches it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from histoscribe.api.options import ReadingOptions, request_of
from histoscribe.errors import ConfigError, InputError, listing, nearest
from histoscribe.io.in_memory import OBJECT, is_spatialdata, read_object
from histoscribe.io.reading import Reading, Request
from histoscribe.io.spatialdata import chosen_table
from histoscribe.io.tables import require_unique
from histoscribe.maps.export import add_maps
from histoscribe.maps.read import Maps
from histoscribe.run.events import Listener, silent
from histoscribe.run.inputs import Input, checked
from histoscribe.section import Section


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """An object and the section that was read of it.

    Parameters
    ----------
    data
        AnnData, SpatialData or Section: the user's own, or a copy of it.
    table
        Its spots, into which results are written.
    request, reading
        What was asked for, and what was read.
    listen
        Hears of every event.
    """

    data: Any
    table: AnnData
    request: Request
    reading: Reading
    listen: Listener

    @property
    def section(self) -> Section:
        """The section as it was read; its parts were not compared."""
        return self.reading.section

    def checked(self, *, picture: bool = False) -> Input:
        """Return the section after the preflight, which raises InputError where its parts do not fit each other."""
        section = self.section
        return checked(self.reading, self.request, picture=picture, reader=lambda: section)

    @property
    def rows(self) -> NDArray[np.intp]:
        """Rows of the table that are the section's spots, in their order, (n,)."""
        found: NDArray[np.intp] = self.table.obs_names.astype(str).get_indexer(self.section.spots.obs_names)
        return found

    def column(self, key: str) -> pd.Series:
        """Return a column of `obs` at the section's spots, in their order; raises InputError where there is none."""
        if key not in self.table.obs:
            raise InputError(
                f"there is no column {key!r} of the spots",
                where="obs",
                found=listing(self.table.obs.columns, 12),
                fix=nearest(key, list(self.table.obs.columns)),
            )
        column: pd.Series = self.table.obs[key].iloc[self.rows]
        return column

    def groups(self, key: str) -> tuple[NDArray[np.int64], list[str]]:
        """Return a column's groups of the section's spots as whole numbers from 1, 0 for none, and their names."""
        column = self.column(key)
        if not isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype("category")
        numbers = column.cat.codes.to_numpy().astype(np.int64) + 1
        return numbers, [str(name) for name in column.cat.categories]

    def add_category(self, key: str, values: NDArray[Any], colours: Sequence[str]) -> None:
        """Write a column of categories, named "1", "2", ..., and their colours where scanpy looks for them.

        Parameters
        ----------
        values
            (n,) whole numbers of the section's spots; 0 for none. Other spots of the table get none too.
        colours
            One per category.
        """
        names = [str(number) for number in range(1, len(colours) + 1)]
        codes = np.full(self.table.n_obs, -1, np.int64)
        codes[self.rows] = np.asarray(values, np.int64) - 1
        self.table.obs[key] = pd.Categorical.from_codes(codes, pd.Index(names))
        self.table.uns[f"{key}_colors"] = list(colours)

    def add_column(self, key: str, values: NDArray[Any]) -> None:
        """Write a column of the section's spots, (n,); other spots of the table get NaN, or False."""
        column = np.zeros(self.table.n_obs, bool) if values.dtype == bool else np.full(self.table.n_obs, np.nan)
        column[self.rows] = values
        self.table.obs[key] = column

    def add_matrix(self, key: str, values: NDArray[Any] | pd.DataFrame) -> None:
        """Write a matrix or a table of the section's spots, (n, d), into `obsm`; other spots of the table get NaN."""
        matrix = np.full((self.table.n_obs, values.shape[1]), np.nan, np.float32)
        matrix[self.rows] = values
        if isinstance(values, pd.DataFrame):
            self.table.obsm[key] = pd.DataFrame(matrix, index=self.table.obs_names, columns=list(values.columns))
        else:
            self.table.obsm[key] = matrix

    def add_facts(self, key: str, facts: Mapping[str, Any]) -> None:
        """Write what was decided, and with which settings, into `uns`, in a form that h5ad can hold."""
        self.table.uns[key] = storable(facts)

    def add_element(self, kind: str, key: str, element: Any) -> None:
        """Put labels or an image into a SpatialData object; the others have no place for it."""
        if is_spatialdata(self.data):
            getattr(self.data, kind)[key] = element

    def add_maps(self, maps: Maps) -> None:
        """Put the rasters of maps into a SpatialData object; the others have no place for them."""
        if is_spatialdata(self.data):
            add_maps(self.data, maps)


def open_object(data: Any, options: ReadingOptions, *, copy: bool = False) -> Opened:
    """Read the section that is meant.

    Parameters
    ----------
    copy
        Whether results go into a copy: the spots are copied, and a picture is shared.

    Raises
    ------
    InputError
        Where it is no section, or does not say what belongs together.
    ConfigError
        Where an option does not fit such an object.
    """
    request, listen = request_of(options), options.get("listen", silent)
    table_name, image_key = options.get("table_name"), options.get("image_key")
    if is_spatialdata(data):
        view = _part_of(data, table_name, image_key)
        name = chosen_table(view, request, where=OBJECT)
        require_unique(data.tables[name].obs_names.astype(str), OBJECT)
        if copy:
            data = _shallow(data, tables={**data.tables, name: data.tables[name].copy()})
        return Opened(data, data.tables[name], request, read_object(view, request), listen)
    if table_name is not None:
        raise ConfigError("only a SpatialData object has tables by name", where="table_name", found=table_name)
    if image_key is not None:
        if isinstance(data, Section):
            raise ConfigError("a Section has one picture", where="image_key", found=image_key)
        request = replace(request, scale=image_key)
    reading = read_object(data, request)
    if isinstance(data, AnnData):
        require_unique(data.obs_names.astype(str), Path("the AnnData object"))
    if copy:
        data = replace(data, spots=data.spots.copy()) if isinstance(data, Section) else data.copy()
    return Opened(data, data.spots if isinstance(data, Section) else data, request, reading, listen)


def storable(value: Any) -> Any:
    """Return plain values as `uns` can hold them in a file: without what is None, and keys as text."""
    if isinstance(value, Mapping):
        return {str(key): storable(part) for key, part in value.items() if part is not None}
    if isinstance(value, list | tuple):
        flat = all(isinstance(part, int | float | str) for part in value)
        return np.asarray(value) if flat and len({type(part) for part in value}) == 1 else str(value)
    return value


def _part_of(sdata: Any, table_name: str | None, image_key: str | None) -> Any:
    """Return a SpatialData object with only the table and the image that are named."""
    chosen = {}
    for kind, key in (("tables", table_name), ("images", image_key)):
        if key is None:
            continue
        held = getattr(sdata, kind)
        if key not in held:
            raise ConfigError(
                f"the SpatialData object has no {kind.removesuffix('s')} {key!r}",
                where="table_name" if kind == "tables" else "image_key",
                found=listing(held),
                fix=nearest(key, list(held)),
            )
        chosen[kind] = {key: held[key]}
    return _shallow(sdata, **chosen) if chosen else sdata


def _shallow(sdata: Any, **changed: Mapping[str, Any]) -> Any:
    """Return a SpatialData object that shares the elements of another, but for those given by kind."""
    from spatialdata import SpatialData

    kinds = ("images", "labels", "points", "shapes", "tables")
    return SpatialData(**{kind: dict(changed.get(kind, getattr(sdata, kind))) for kind in kinds}, attrs=sdata.attrs)
