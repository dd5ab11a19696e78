"""Makes maps in children that start at once: everything is imported here, before the fork.

Reads lines "vendor TAB out TAB genes"; for each it prints the child's process number, waits for its end and prints how
it ended.
"""

import os
import sys

import anndata
import matplotlib.figure
import sklearn.decomposition
import spatialdata
import xarray

from conftest import drawing_small
from histoscribe.maps import MAPPERS
from histoscribe.run.maps.section import map_section
from histoscribe.run.maps.settings import MapSettings

LOADED = (anndata, sklearn.decomposition, spatialdata, xarray)


def main() -> None:
    MAPPERS.get("dense")
    matplotlib.figure.Figure()
    for line in sys.stdin:
        vendor, out, genes = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            map_section(vendor, genes=genes, um=40.0, out=out, settings=MapSettings(encoder="none"))
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    with drawing_small():
        main()
