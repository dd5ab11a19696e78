"""Segmenter "stardist": the published StarDist H&E model, run in ONNX Runtime without TensorFlow."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histoscribe.errors import ConfigError
from histoscribe.nuclei.segmenter import RGB, Instances, black_areas, checked_picture
from histoscribe.nuclei.stardist_network import StarDistNetwork, normalised, percentile_range
from histoscribe.nuclei.stardist_weights import find_model, read_model

# the model's training pictures, of MoNuSeg and TNBC, were scanned at 40x
TRAINED_MPP = 0.25
# half the receptive field of the network (92 px) and the radius of a large nucleus (16 um), in whole steps of its
# coarsest grid, so that blocks that start there see the same cells of the grid
_HALO_PX = 160


class StarDistSegmenter:
    """Nuclei as star-convex polygons (Schmidt et al. 2018).

    Parameters
    ----------
    model
        The official zip, or the folder that it unpacks to; None takes the zip from the cache, fetched once.
    mpp
        Microns per pixel to work at.
    prob_threshold, nms_threshold
        The least probability of a nucleus, and the overlap from which two are one.
    device
        "cpu", "cuda", or "auto" for the graphics card where onnxruntime-gpu finds one.
    """

    name = "stardist"
    takes = ("model", "prob_threshold", "nms_threshold", "device")
    halo_px = _HALO_PX

    def __init__(
        self,
        model: Path | str | None = None,
        *,
        mpp: float = TRAINED_MPP,
        prob_threshold: float = 0.5,
        nms_threshold: float = 0.4,
        device: str = "auto",
    ) -> None:
        self.mpp, self._device = mpp, device
        self.prob_threshold, self.nms_threshold = prob_threshold, nms_threshold
        self._model = None if model is None else Path(model)
        self._network: StarDistNetwork | None = None
        self._range: tuple[float, float] | None = None

    def prepare(self, sample: Sequence[RGB]) -> "StarDistSegmenter":
        """Measure the percentiles of normalisation on a sample of the slide's tissue, over all crops together."""
        made = type(self)(
            self._model,
            mpp=self.mpp,
            prob_threshold=self.prob_threshold,
            nms_threshold=self.nms_threshold,
            device=self._device,
        )
        made._network = self._loaded()
        lit = [crop[~black_areas(checked_picture(crop), mpp=self.mpp)].ravel() for crop in sample]
        pixels = np.concatenate(lit or [np.zeros(0, np.uint8)])
        # without tissue no block is ever segmented, and the full range is as good as any
        made._range = percentile_range(pixels) if len(pixels) else (0.0, 255.0)
        return made

    def segment(self, rgb: RGB) -> Instances:
        """Find the nuclei of a picture; raises ConfigError where the segmenter was not prepared."""
        if self._range is None:
            raise ConfigError(
                "the segmenter does not know the slide yet", where="segmenter stardist", fix="call prepare first"
            )
        checked_picture(rgb)
        if self._range[1] <= self._range[0] or rgb.min() == rgb.max():  # of one colour: whatever the network says
            return Instances(np.zeros(rgb.shape[:2], np.int32))
        picture = normalised(rgb, self._range)
        stars = self._loaded().stars(picture, prob_threshold=self.prob_threshold, nms_threshold=self.nms_threshold)
        # a ray starts in the middle of a pixel, and x comes before y
        outlines = tuple(outline[:, ::-1] + 0.5 for outline in stars.outline_yx)
        return Instances(stars.labels, outlines, stars.probability)

    def record(self) -> dict[str, Any]:
        """Return the settings, the hash of the model and the percentiles."""
        network = self._loaded()
        weights = network.weights
        return {
            "name": self.name,
            "mpp": self.mpp,
            "prob_threshold": self.prob_threshold,
            "nms_threshold": self.nms_threshold,
            "model": weights.source,
            "sha256": weights.sha256,
            "device": network.device,
            "range": None if self._range is None else list(self._range),
        }

    def _loaded(self) -> StarDistNetwork:
        if self._network is None:
            self._network = StarDistNetwork(read_model(find_model(self._model)), device=self._device)
        return self._network
