"""Speed and memory of the classical segmenter: 1 mm2 per second on one core, and a large slide in 2 GB.

The slide is a phantom repeated, 20,000 x 20,000 pixels of 0.5 um, made when it is read. Give a side in pixels to try
another.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from histoscribe.nuclei.classical import ClassicalSegmenter
from histoscribe.nuclei.engine import find_nuclei
from histoscribe.phantom import make_phantom
from histoscribe.slide.image import SlideImage
from histoscribe.slide.tissue import TissueMask

SIDE_PX, MPP = 20_000, 0.5


class Repeated:
    """A picture repeated without end, cut to a side."""

    def __init__(self, tile: np.ndarray, side: int) -> None:
        self.tile, self.shapes = tile, ((side, side),)

    def read(self, x: int, y: int, width: int, height: int, level: int) -> np.ndarray:
        """Window of the picture."""
        rows, columns = (
            np.arange(s, s + n) % k for s, n, k in ((y, height, len(self.tile)), (x, width, len(self.tile)))
        )
        return self.tile[np.ix_(rows, columns)]


def main(side: int = SIDE_PX) -> None:
    tile = make_phantom(0, size_um=1200, n_domains=6).image.read(700, 700, 1000, 1000)
    image = SlideImage(Repeated(tile, side), mpp=MPP)
    with threadpool_limits(limits=1):
        picture = np.tile(tile, (2, 2, 1))
        segmenter = ClassicalSegmenter().prepare([tile])
        times = []
        for _ in range(3):
            start = time.process_time()
            segmenter.segment(picture)
            times.append(time.process_time() - start)
    mask = TissueMask(np.ones((64, 64), bool), side / 64)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        facts = find_nuclei(image, mask, ClassicalSegmenter(), folder=Path(folder))
        seconds = time.perf_counter() - start
    print(f"nuclei {facts['nuclei']} nuclei")
    print(f"engine {(side * MPP / 1000) ** 2 / seconds:.2f} mm2/s")
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    print(f"segment {picture.shape[0] * picture.shape[1] * (MPP / 1000) ** 2 / min(times):.2f} mm2/s")


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
