"""Claim: the engine is at least three times as fast end to end as the plain way, on the same spots and network.

The plain way is what the field's scripts do: crop each spot, write it as PNG, read it again, float32, batches of 32,
one step after the other, torch and ONNX Runtime as they come.
"""

import argparse
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from PIL import Image

from histoscribe.encoders import build_encoder, embed, import_timm, load_card
from histoscribe.encoders.weights import find_weights
from support.sections import HERE, N_SPOTS, TILE_UM, her2st_c2, places_on_tissue

BATCH = 32


def plain_mobilenet(card):
    """Network as timm's page says: normalised float32 (b, 3, h, w) to features."""
    import torch
    from safetensors.torch import load_file

    network = import_timm().create_model(card.model, **card.model_args)
    network.load_state_dict(load_file(find_weights(card)[0]), strict=True)
    network.reset_classifier(0)
    network.eval()

    def forward(batch):
        with torch.no_grad():
            return network(torch.from_numpy(batch)).numpy()

    return forward


def plain_resnet(card):
    """ONNX Runtime with its own defaults."""
    import onnxruntime

    session = onnxruntime.InferenceSession(find_weights(card)[0], providers=["CPUExecutionProvider"])
    return lambda batch: session.run(["pooled"], {"pixels": batch})[0]


def plain_way(image, xy_px, card, forward, folder: Path) -> np.ndarray:
    """Features (n, d), one spot's PNG after the other."""
    side = round(TILE_UM / image.mpp)
    mean, std = np.float32(card.mean), np.float32(card.std)
    for k, (x, y) in enumerate(xy_px):
        left = int(np.clip(round(x - side / 2), 0, image.width - side))
        top = int(np.clip(round(y - side / 2), 0, image.height - side))
        crop = Image.fromarray(image.read(left, top, side, side)).resize((card.input_px, card.input_px))
        crop.save(folder / f"{k}.png")
    features = []
    for first in range(0, len(xy_px), BATCH):
        batch = [np.asarray(Image.open(folder / f"{k}.png")) for k in range(first, min(first + BATCH, len(xy_px)))]
        x = (np.stack(batch).astype(np.float32) / 255 - mean) / std
        features.append(forward(np.ascontiguousarray(x.transpose(0, 3, 1, 2))))
    return np.concatenate(features)


def measure(name: str, image, xy_px, forward_of, repeats: int) -> float:
    """Print and return how many times faster the engine is, the best run of each."""
    card = load_card(HERE / "cards" / f"{name}.toml")
    forward, encoder = forward_of(card), build_encoder(card)
    plain_s, engine_s = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            start = perf_counter()
            plain = plain_way(image, xy_px, card, forward, Path(folder))
            plain_s.append(perf_counter() - start)
            print(f"{name}_plain_turn {plain_s[-1]:.1f} s", flush=True)
            start = perf_counter()
            ours = embed(image, xy_px, encoder, tile_um=TILE_UM, folder=Path(folder) / "embedding.zarr")
            engine_s.append(perf_counter() - start)
            print(f"{name}_engine_turn {engine_s[-1]:.1f} s", flush=True)
    cosine = (plain * ours).sum(1) / np.linalg.norm(plain, axis=1) / np.linalg.norm(ours, axis=1)
    print(f"{name}_plain {len(xy_px) / min(plain_s):.1f} tiles/s")
    print(f"{name}_engine {len(xy_px) / min(engine_s):.1f} tiles/s")
    print(f"{name}_agreement {np.median(cosine):.4f} median cosine")
    times = min(plain_s) / min(engine_s)
    print(f"{name}_times_faster {times:.2f} ratio", flush=True)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spots", type=int, default=N_SPOTS)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    image = her2st_c2()
    xy_px = places_on_tissue(image, arguments.spots)
    times = measure("mobilenetv2_100", image, xy_px, plain_mobilenet, arguments.repeats)
    measure("resnet50v2_s3", image, xy_px, plain_resnet, arguments.repeats)
    print(f"plain_way_times_faster {times:.2f} ratio")


if __name__ == "__main__":
    main()
