"""Claim: whatever is damaged, hostile or cut short is refused with a message, and nothing of a user's is ever lost.

Five parts, each from phantoms alone and with fixed seeds:

inputs    5,000 damaged inputs of 39 reader families are read by a public function in a forked child (20 s, 3 GB of
          address space beyond what it began with): none may end in a traceback, a MemoryError, a signal or a hang
pictures  damages to pictures and to sparse matrices that can be detected: none may be read without a warning
kills     the seven commands are killed with SIGKILL, 100 times each, by the clock and at their file operations: run
          again they end with the bytes of an undisturbed result, and an older result stays whole until then
damages   1,000 damages to finished results: `verify` finds each, and the readers of models and maps refuse them
hostile   280 result folders that an attacker made or that hold a user's own files: no call changes a byte outside the
          result folder, reading calls change none at all, writing calls lose none of the user's

    python benchmarks/robustness.py                                    # all of it, about half an hour on one core
    python benchmarks/robustness.py --parts inputs --share 0.1         # a tenth of one part
    python benchmarks/robustness.py --share 0.1 kills=0.02             # a tenth of each, of the kills less
    python benchmarks/robustness.py --only "h5ad csc:7" --keep kept    # one input again; its files are kept
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# before NumPy is imported: a child that is forked has none of the parent's threads
for _library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_library] = "1"

from support.robustness_child import warm_up  # noqa: E402

Rows = list[tuple[str, object]]


def inputs(work: Path, chosen: argparse.Namespace, share: float) -> Rows:
    """Read damaged inputs."""
    from support.robustness_inputs import BAD, FAMILIES, INPUTS, inputs, summary

    reads = []
    for one in inputs(work, round(INPUTS * share), families=chosen.only, keep=chosen.keep):
        reads.append(one)
        if one.kind in (*BAD, "silent", "unusable"):
            print(f"{one.kind:9} {one.family}:{one.number} {one.damage} | {one.detail}", flush=True)
    counted = summary(reads)
    rows: Rows = [("inputs", len(reads)), ("reader families", len({one.family for one in reads} or FAMILIES))]
    return rows + [(f"inputs {kind}", counted[kind]) for kind in counted]


def hostile(work: Path, chosen: argparse.Namespace, share: float) -> Rows:
    """Open hostile folders by every public call."""
    from support.robustness_hostile import FAULTS, hostile

    tried = []
    for one in hostile(work, share):
        tried.append(one)
        if one.faults:
            print(f"{','.join(one.faults):9} {one.call}: {one.variant} | {one.outcome}", flush=True)
    harmed = {one.variant for one in tried if {"outside", "wrote", "lost"} & set(one.faults)}
    rows: Rows = [("hostile folders", len({one.variant for one in tried})), ("hostile calls tried", len(tried))]
    rows.append(("hostile folders by which something was changed or lost", len(harmed)))
    return rows + [(f"hostile {fault}", sum(fault in one.faults for one in tried)) for fault in FAULTS]


def pictures(work: Path, chosen: argparse.Namespace, share: float) -> Rows:
    """Read damages that can be detected."""
    from support.robustness_pictures import known

    done = []
    for one in known(work, share):
        done.append(one)
        if not one.outcome.startswith(("refused", "equal", "noted")):
            print(f"{one.outcome.split()[0]:9} {one.kind} {one.damage} | {one.outcome}", flush=True)
    rows: Rows = []
    for kind in dict.fromkeys(one.kind for one in done):
        these = [one.outcome.split()[0] for one in done if one.kind == kind]
        faults = sum(outcome not in ("refused", "equal", "noted", "silent") for outcome in these)
        rows += [(f"known {kind}", len(these)), (f"known {kind} silent", these.count("silent"))]
        rows.append((f"known {kind} ended otherwise", faults))
    return rows


def kills(work: Path, chosen: argparse.Namespace, share: float) -> Rows:
    """Kill commands."""
    from support.robustness_kills import kills

    chains = []
    for one in kills(work, share, chosen.commands):
        chains.append(one)
        if one.faults:
            over = ", older result" * one.older + ", draft of other settings" * one.begun
            print(f"{','.join(one.faults):9} {one.command}{over} | {one.detail}", flush=True)
    rows: Rows = [("kills", sum(one.kills for one in chains)), ("kills chains", len(chains))]
    rows.append(("kills chains over an older result", sum(one.older for one in chains)))
    rows.append(("kills chains over a draft of other settings", sum(one.begun for one in chains)))
    faults = ("half", "status", "content", "leftovers")
    return rows + [(f"kills chains with {fault}", sum(fault in one.faults for one in chains)) for fault in faults]


def damages(work: Path, chosen: argparse.Namespace, share: float) -> Rows:
    """Damage finished results."""
    from support.robustness_damages import damages

    done = []
    for one in damages(work, share, chosen.commands):
        done.append(one)
        if not one.found or one.refused is False:
            print(f"{'read' if one.found else 'missed':9} {one.command}: {one.damage} {one.detail}", flush=True)
    read = [one for one in done if one.refused is not None]
    return [
        ("damages", len(done)),
        ("damages found by verify", sum(one.found for one in done)),
        ("damages to models and maps", len(read)),
        ("damages refused by what reads models and maps", sum(bool(one.refused) for one in read)),
    ]


PARTS: dict[str, Callable[[Path, argparse.Namespace, float], Rows]] = {
    "inputs": inputs,
    "pictures": pictures,
    "kills": kills,
    "damages": damages,
    "hostile": hostile,
}


def _share(part: str, given: list[str]) -> float:
    """Share of one part: of those given for parts by name the last, else the one given for all."""
    by_name = dict(one.rpartition("=")[::2] for one in given)
    return float(by_name.get(part, by_name.get("", 1.0)))


def main() -> int:
    """Do the chosen parts and print the table last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS))
    parser.add_argument(
        "--share", nargs="+", default=["1"], metavar="SHARE", help="of every part's number; or PART=SHARE of some"
    )
    parser.add_argument("--commands", nargs="+", default=[], help="commands to kill, or to damage the results of")
    parser.add_argument("--only", nargs="+", default=[], help="names of reader families, or NAME:NUMBER of one input")
    parser.add_argument("--keep", type=Path, help="folder for the inputs that were not met with a message")
    parser.add_argument("--work", type=Path, help="folder to work in; a disk in memory (/dev/shm) is quickest")
    chosen = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="robustness-", dir=chosen.work))
    os.environ["HISTOSCRIBE_CACHE"] = str(work / "cache")
    rows: Rows = []
    try:
        warm_up()
        for part in chosen.parts or (["inputs"] if chosen.only else PARTS):
            begin = time.monotonic()
            rows += PARTS[part](work, chosen, _share(part, chosen.share))
            rows.append((f"{part} seconds", round(time.monotonic() - begin)))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for name, value in rows:
        print(f"robustness_{name.replace(' ', '_')} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
