"""How fast the viewer is: first tile, tiles cold and warm, eight viewers, a gene's switch, memory after 2,000 tiles.

    python benchmarks/view.py [--side 40000] [--spots 5000] [--tiles 2000]

A result is written with a slide of the given side (one chunk of noise, linked to all places) and a table of spots; then
`histoscribe view` runs on it as a process of its own. Times are those of whoever asks, and every figure stands beside
its mark. Marks that need 700,000 bins or a region are not measured here.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import numpy as np
import psutil

CHUNK_PX, N_GENES, DENSITY = 1024, 2000, 0.2
OVERLAYS = ("domain", "confidence", "gene", "counts")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=40_000, help="pixels")
    parser.add_argument("--spots", type=int, default=5_000)
    parser.add_argument("--tiles", type=int, default=2_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result"
        write_result(result, side=asked.side, n_spots=asked.spots)
        print(f"{asked.side:,} x {asked.side:,} px, {asked.spots:,} spots, {N_GENES:,} genes, {os.cpu_count()} cores")
        measure(result, n_tiles=asked.tiles)


def write_result(result: Path, *, side: int, n_spots: int) -> None:
    """Write what the viewer reads of a result: section.zarr, run.json and a manifest."""
    import anndata
    import pandas as pd
    import zarr
    from scipy import sparse

    from histoscribe.section import Lattice, Section
    from histoscribe.store.manifest import describe, write_manifest

    rng = np.random.default_rng(0)
    counts = sparse.random(n_spots, N_GENES, density=DENSITY, format="csr", dtype=np.float32, rng=rng)
    counts.data = np.ceil(counts.data * 20)
    obs = pd.DataFrame(index=[f"s{k}" for k in range(n_spots)])
    obs["domain"] = pd.Categorical([str(1 + k % 6) for k in range(n_spots)])
    obs["confidence"] = rng.random(n_spots)
    spots = anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=[f"GENE{k}" for k in range(N_GENES)]))
    spots.obsm["spatial"] = rng.random((n_spots, 2)) * side
    spots.uns["histoscribe"] = {"mpp": 0.25}
    section = Section.from_anndata(
        spots, name="bench", image=None, platform="visium", patient=None, lattice=Lattice("hex", 100.0, 55.0)
    )
    result.mkdir(parents=True)
    with zarr.config.set({"array.write_empty_chunks": True}), anndata.settings.override(auto_shard_zarr_v3=False):
        section.to_spatialdata().write(result / "section.zarr")
    write_picture(result / "section.zarr" / "images" / "image", side=side, rng=rng)
    (result / "run.json").write_text(json.dumps({"section": "bench", "format": "bench"}))
    write_manifest(result, {"run.json": describe(result, "run.json")})


def write_picture(folder: Path, *, side: int, rng: np.random.Generator) -> None:
    """Write a pyramid whose chunks are links to one."""
    from histoscribe.store import arrays

    folder.mkdir(parents=True)
    block = rng.normal(190, 25, (3, CHUNK_PX, CHUNK_PX)).clip(0, 255).astype(np.uint8)
    sides = [side >> k for k in range(64) if (side >> k) * 2 > CHUNK_PX]
    for level, px in enumerate(sides):
        array = arrays.create(folder / f"s{level}", shape=(3, px, px), dtype=np.uint8, chunks=(3, CHUNK_PX, CHUNK_PX))
        first = min(px, CHUNK_PX)
        array[:, :first, :first] = block[:, :first, :first]
        whole = folder / f"s{level}" / "c" / "0" / "0" / "0"
        for row, column in np.ndindex(*array.cdata_shape[1:]):
            path = folder / f"s{level}" / "c" / "0" / str(row) / str(column)
            if path != whole:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.hardlink_to(whole)
    levels = [
        {"path": f"s{k}", "coordinateTransformations": [{"type": "scale", "scale": [1, 2.0**k, 2.0**k]}]}
        for k in range(len(sides))
    ]
    systems = [
        {"type": "scale", "scale": [1, um, um], "output": {"name": name}}
        for name, um in (("global", 1.0), ("um", 0.25))
    ]
    described = {"ome": {"multiscales": [{"datasets": levels, "coordinateTransformations": systems}]}}
    (folder / "zarr.json").write_text(
        json.dumps({"zarr_format": 3, "node_type": "group", "attributes": described}), encoding="utf-8"
    )


def measure(result: Path, *, n_tiles: int) -> None:
    """Start the command, ask as browsers do, and print."""
    command = [sys.executable, "-c", "from histoscribe.cli import main; main()", "view", str(result), "--no-open"]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = next(line for line in server.stdout if "http://" in line).split()[1]
            told = time.perf_counter() - start
            ask = visitor(url)
            facts = json.loads(ask("/api/sections/bench"))
            ask(address(facts, "slide", 3, 3))
            first = time.perf_counter() - start
            report("command to first sharp tile", first * 1e3, 2000)
            print(f"    of these {told * 1e3:,.0f} ms until the command listens")
            requests(url, facts, ask, n_tiles)
            megabytes = psutil.Process(server.pid).memory_info().rss / 2**20
            report(f"memory after {n_tiles:,} tiles of all layers", megabytes, 1024, unit="MB")
        finally:
            server.terminate()


def requests(url: str, facts: dict[str, Any], ask: Callable[[str], bytes], n_tiles: int) -> None:
    """Ask for tiles, alone and as eight, and for genes."""
    rng = np.random.default_rng(1)
    places = [tuple(place) for place in rng.integers(0, facts["width"] // facts["tile_px"], (n_tiles, 2))]
    layers = [("slide", *OVERLAYS)[k % 5] for k in range(n_tiles)]
    tiles = [address(facts, layer, *place) for layer, place in zip(layers, places, strict=True)]
    alone, shared = tiles[: n_tiles // 4], tiles[n_tiles // 4 :]
    report("tile, cold, p95", p95([timed(ask, tile) for tile in alone]), 150)
    warm = alone[-100:]
    report("tile, warm, p95", p95([timed(ask, tile) for tile in warm]), 50)
    switches = []
    for gene in range(10, 20):
        start = time.perf_counter()
        base = f"/api/sections/bench/{facts['version']}/range/gene?gene=GENE{gene}"
        ask(base)
        ask(address(facts, "gene", 3, 3, gene=f"GENE{gene}"))
        switches.append((time.perf_counter() - start) * 1e3)
    report("gene switch: limits and a tile, p95", p95(switches), 300)

    def view(part: Sequence[str]) -> list[float]:
        asking = visitor(url)
        return [timed(asking, tile) for tile in part]

    with ThreadPoolExecutor(8) as pool:  # an error ends the benchmark
        times = [one for part in pool.map(view, [shared[k::8] for k in range(8)]) for one in part]
    report("tile, 8 viewers at once, p95", p95(times), 400)


def visitor(url: str) -> Callable[[str], bytes]:
    """Open the page as a browser does, and give what asks further."""
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
    )
    opener.open(url, timeout=60).read()
    base = url.split("/?")[0]

    def ask(path: str) -> bytes:
        with opener.open(base + path, timeout=60) as answer:
            return bytes(answer.read())

    return ask


def address(facts: dict[str, Any], layer: str, column: int, row: int, *, gene: str = "GENE1") -> str:
    query = {"slide": "", "gene": f"?gene={gene}&high=4"}.get(layer, "?high=4")
    return f"/tiles/bench/{facts['version']}/{layer}/{facts['top_level']}/{column}_{row}{query}"


def timed(ask: Callable[[str], bytes], path: str) -> float:
    start = time.perf_counter()
    ask(path)
    return (time.perf_counter() - start) * 1e3


def p95(times: Sequence[float]) -> float:
    return float(np.percentile(times, 95))


def report(name: str, value: float, mark: float, *, unit: str = "ms") -> None:
    print(
        f"{name:<44} {value:8,.0f} {unit}   mark {mark:,.0f} {unit}   {'met' if value <= mark else 'MISSED'}",
        flush=True,
    )


if __name__ == "__main__":
    main()
