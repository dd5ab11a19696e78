"""Claim: reading, resizing, normalising and writing cost the engine at most a tenth of the bare network's speed.

The engine runs from a slide to a checksummed array; the bare network gets the same tiles, already cut and in memory,
and runs the same way, in one go. Both run in turn on the same spots, so that other load affects both alike.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from histoscribe.encoders import build_encoder, embed, load_card
from histoscribe.slide.tiles import read_tiles, reading_order
from support.sections import HERE, N_SPOTS, TILE_UM, her2st_c2, places_on_tissue

CARDS = ("resnet50v2_s3", "mobilenetv2_100")


def measure(name: str, image, xy_px, repeats: int) -> float:
    """Print and return the median share of the bare speed that the engine reaches."""
    encoder = build_encoder(load_card(HERE / "cards" / f"{name}.toml"))
    xy_px = xy_px[reading_order(image.shape, xy_px)]
    tiles = read_tiles(image, xy_px, tile_um=TILE_UM, out_px=encoder.card.input_px)
    encoder.encode(tiles[:32])
    shares, bare_s, engine_s = [], [], []
    for repeat in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            for part in ("bare", "engine") if repeat % 2 else ("engine", "bare"):
                start = perf_counter()
                if part == "bare":
                    encoder.encode(tiles)
                    bare_s.append(perf_counter() - start)
                else:
                    embed(image, xy_px, encoder, tile_um=TILE_UM, folder=Path(folder) / "embedding.zarr")
                    engine_s.append(perf_counter() - start)
        shares.append(bare_s[-1] / engine_s[-1])
    choice = encoder.choice
    layout = "channels_last" if choice.channels_last else "channels_first"
    print(f"{name}_way {choice.precision}/{layout}/batch{choice.batch_size} setting")
    print(f"{name}_bare {len(tiles) / median(bare_s):.1f} tiles/s")
    print(f"{name}_engine {len(tiles) / median(engine_s):.1f} tiles/s")
    print(f"{name}_lowest_share {min(shares):.3f} ratio")
    print(f"{name}_share_of_bare_speed {median(shares):.3f} ratio", flush=True)
    return median(shares)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spots", type=int, default=N_SPOTS)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    image = her2st_c2()
    xy_px = places_on_tissue(image, arguments.spots)
    shares = [measure(name, image, xy_px, arguments.repeats) for name in CARDS]
    print(f"embed_share_of_bare_speed {min(shares):.3f} ratio")


if __name__ == "__main__":
    main()
