"""Draw docs/augmentation.png: five tiles of a phantom, each as it is and seven times as training sees it."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from histoscribe import SlideImage, make_phantom
from histoscribe.encoders.deterministic import deterministic
from histoscribe.predict.augment import augmentation
from histoscribe.slide.tiles import read_tiles

SIDE_PX, GAP_PX, ROWS, COLUMNS = 72, 3, 5, 8
OUT = Path(__file__).parents[1] / "docs" / "augmentation.png"


def main() -> None:
    """Draw the figure and write it."""
    phantom = make_phantom(7, size_um=1200.0, mpp=0.5)
    places = phantom.spots().obsm["spatial"]
    chosen = places[np.linspace(len(places) // 6, len(places) - 1 - len(places) // 6, ROWS).astype(int)]
    image = SlideImage(phantom.image, mpp=phantom.mpp)
    tiles = torch.from_numpy(read_tiles(image, chosen, tile_um=112.0, out_px=224)).permute(0, 3, 1, 2).float() / 255
    with deterministic(0):
        seen = [tiles, *(augmentation()(tiles) for _ in range(COLUMNS - 1))]
    step = SIDE_PX + GAP_PX
    sheet = Image.new("RGB", (COLUMNS * step - GAP_PX, ROWS * step - GAP_PX), "white")
    for column, batch in enumerate(seen):
        for row, tile in enumerate(batch):
            pixels = (tile.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            sheet.paste(Image.fromarray(pixels).resize((SIDE_PX, SIDE_PX)), (column * step, row * step))
    sheet.save(OUT, optimize=True)
    print(f"augmentation_figure {OUT.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
