"""Runs sections in children that start at once: everything is imported here, before the fork.

Reads lines "vendor TAB out TAB n_domains TAB log"; for each it prints the child's process number, waits for its end and
prints how it ended.
"""

import os
import sys
from pathlib import Path

import matplotlib.figure
import spatialdata  # noqa: F401

from conftest import drawing_small
from histoscribe.domains import DOMAINS
from histoscribe.encoders import build_encoder, load_card
from histoscribe.run.events import json_log
from histoscribe.run.section.settings import RunConfig
from histoscribe.run.verbs import run_sections


def work(vendor: str, out: str, n_domains: str, log: str) -> None:
    # the quickest method: what is tested is the folder, not the domains
    config = RunConfig(encoder="morphology", n_domains=int(n_domains), method="histology")
    with json_log(Path(log)) as listen:
        run_sections(vendor, out=out, config=config, listen=listen)


def main() -> None:
    DOMAINS.get("histology")
    build_encoder(load_card("morphology"))
    matplotlib.figure.Figure()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            work(*line.rstrip("\n").split("\t"))
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    with drawing_small():
        main()
