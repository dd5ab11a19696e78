"""Claim: a ridge to 5,000 targets on 20,000 spots, its strength chosen by inner folds, in under 60 seconds."""

import argparse
import resource
from time import perf_counter

import numpy as np

from histoscribe.predict import HEADS, Inputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spots", type=int, default=20_000)
    parser.add_argument("--targets", type=int, default=5_000)
    parser.add_argument("--features", type=int, default=2_048)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(arguments.spots, 40)).astype(np.float32)
    features = hidden @ rng.normal(size=(40, arguments.features)).astype(np.float32)
    features += rng.normal(size=features.shape).astype(np.float32)
    targets = hidden @ rng.normal(size=(40, arguments.targets)).astype(np.float32)
    targets += 10 * rng.normal(size=targets.shape).astype(np.float32)
    sections = np.array([f"S{k}" for k in range(8)])[np.arange(arguments.spots) % 8]
    X = Inputs({"image@112": features}, None, sections)
    head = HEADS.get("ridge")()
    start = perf_counter()
    head.fit(X, targets, sections)
    predicted = head.predict(X)
    seconds = perf_counter() - start
    kept = np.corrcoef(predicted[:, 0], hidden @ np.linalg.lstsq(hidden, targets[:, 0], rcond=None)[0])[0, 1]
    print(f"ridge_scale_signal_kept {kept:.3f} correlation")
    print(f"ridge_scale_peak_memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    print(f"ridge_scale {seconds:.1f} s")


if __name__ == "__main__":
    main()
