"""The StarDist network in ONNX Runtime, equal to its Keras original, and how its output becomes nuclei.

Schmidt et al. 2018 (MICCAI): for each cell of a grid, a U-Net predicts the probability that it lies in a nucleus and
the distance to the border along rays in fixed directions. Each probable cell proposes a star-convex polygon;
non-maximum suppression, the stardist package's own, keeps one per nucleus.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, WeightsError
from histoscribe.nuclei.stardist_layers import layer_names
from histoscribe.nuclei.stardist_weights import StarDistWeights
from histoscribe.store.onnx_runtime import device_of, first_line, open_session, runtime_errors

# csbdeep's defaults, with which the published network was and is used
LOW_PERCENTILE, HIGH_PERCENTILE = 3.0, 99.8
# cells at the border of the network's input propose no nucleus, as in the original
_BORDER_CELLS = 2
_LEAST_DISTANCE = 1e-3
_PICTURE = "picture"


@dataclass(frozen=True, slots=True, eq=False)
class Stars:
    """Nuclei as star-convex polygons.

    Parameters
    ----------
    labels
        (h, w) int32, 0 where there is no nucleus, k + 1 for row k of the others.
    centre_yx
        (n, 2) grid cells' pixels from which the rays start, row before column as in an array.
    outline_yx
        (n, rays, 2) float64, corners, row before column.
    probability
        (n,) float32.
    """

    labels: NDArray[np.int32]
    centre_yx: NDArray[np.int64]
    outline_yx: NDArray[np.float64]
    probability: NDArray[np.float32]


def percentile_range(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Values that normalisation maps to 0 and 1: percentiles 3 and 99.8 over all pixels and channels together."""
    low, high = np.percentile(pixels, (LOW_PERCENTILE, HIGH_PERCENTILE))
    return float(low), float(high)


def normalised(rgb: NDArray[np.uint8], value_range: tuple[float, float]) -> NDArray[np.float32]:
    """Map pixels (h, w, 3) linearly so that the range becomes 0 to 1; nothing is clipped, as in csbdeep."""
    low, high = np.float32(value_range[0]), np.float32(value_range[1])
    scaled: NDArray[np.float32] = (rgb.astype(np.float32) - low) / (high - low + np.float32(1e-20))
    return scaled


class StarDistNetwork:
    """A StarDist model, ready to predict.

    Parameters
    ----------
    weights
        From `read_model`.
    device
        Where it computes, see `open_session`.
    """

    def __init__(self, weights: StarDistWeights, *, device: str = "auto") -> None:
        self.weights = weights
        self.grid = tuple(int(g) for g in weights.config["grid"])
        try:
            self._session = open_session(_graph(weights), device=device, where="segmenter stardist")
        except runtime_errors() as error:
            raise _do_not_fit(weights, error) from error

    @property
    def device(self) -> str:
        """Where it computes: "cuda" or "cpu"."""
        return device_of(self._session)

    @property
    def divisible_by(self) -> tuple[int, int]:
        """Sides of a picture are padded to multiples of these."""
        depth = self.weights.config["unet_n_depth"]
        return self.grid[0] * 2**depth, self.grid[1] * 2**depth

    def predict(self, picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Probability and distances of each cell of the grid.

        Parameters
        ----------
        picture
            (h, w, 3), normalised.

        Returns
        -------
        probability (gh, gw) in 0 to 1 and distances (gh, gw, rays) in pixels, where gh = ceil(h / grid).
        """
        h, w = picture.shape[:2]
        pad = [(-side) % step for side, step in zip((h, w), self.divisible_by, strict=True)]
        padded = np.pad(picture, ((0, pad[0]), (0, pad[1]), (0, 0)), mode="reflect")
        planes = np.ascontiguousarray(padded.transpose(2, 0, 1)[None])
        try:
            probability, distance = self._session.run(None, {_PICTURE: planes})
        except runtime_errors() as error:
            raise _do_not_fit(self.weights, error) from error
        cells = -(-h // self.grid[0]), -(-w // self.grid[1])
        prob: NDArray[np.float32] = probability[0, 0, : cells[0], : cells[1]]
        dist: NDArray[np.float32] = distance[0, :, : cells[0], : cells[1]].transpose(1, 2, 0)
        return prob, np.maximum(dist, np.float32(_LEAST_DISTANCE))

    def stars(self, picture: NDArray[np.float32], *, prob_threshold: float = 0.5, nms_threshold: float = 0.4) -> Stars:
        """Find the nuclei of a normalised picture (h, w, 3).

        Raises
        ------
        ConfigError
            Where the stardist package is not installed, or a threshold is not between 0 and 1.
        """
        for name, value in {"prob_threshold": prob_threshold, "nms_threshold": nms_threshold}.items():
            if not 0 < value < 1:
                raise ConfigError("a threshold must lie between 0 and 1", where=name, found=value)
        probability, distance = self.predict(picture)
        cells = probability > prob_threshold
        for axis, (side, step) in enumerate(zip(picture.shape, self.divisible_by, strict=False)):
            last = -(-side // step) * step // self.grid[axis] - _BORDER_CELLS  # counted with the padding
            place = np.arange(cells.shape[axis])
            cells &= np.expand_dims((place >= _BORDER_CELLS) & (place < last), 1 - axis)
        centre_yx = np.argwhere(cells) * np.asarray(self.grid)
        return _suppressed(
            probability[cells], distance[cells], centre_yx, shape=picture.shape[:2], threshold=nms_threshold
        )


def _do_not_fit(weights: StarDistWeights, error: Exception) -> WeightsError:
    return WeightsError(
        "the weights of the StarDist model do not make a network",
        where=weights.source or "segmenter stardist",
        found=first_line(error),
        fix="fetch the model again",
    )


def _graph(weights: StarDistWeights) -> bytes:
    """Write the U-Net as an ONNX model: pictures (1, 3, h, w) in, probability (1, 1, gh, gw) and distances out."""
    helper, numpy_helper, float32 = _onnx()
    config, pending = weights.config, iter(layer_names(weights.config))
    per_level, grid = config["unet_n_conv_per_depth"], tuple(int(g) for g in config["grid"])
    nodes: list[Any] = []
    constants = [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "doubled")]

    def added(operation: str, inputs: list[str], name: str = "", **attributes: Any) -> str:
        output = name or f"tensor_{len(nodes)}"
        nodes.append(helper.make_node(operation, inputs, [output], **attributes))
        return output

    def convolved(x: str, name: str = "") -> str:
        layer = next(pending)
        kernel, bias = weights.layers[layer]
        constants.append(numpy_helper.from_array(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)), f"{layer}/kernel"))
        constants.append(numpy_helper.from_array(bias, f"{layer}/bias"))
        return added("Conv", [x, f"{layer}/kernel", f"{layer}/bias"], name, auto_pad="SAME_UPPER")

    def level(x: str) -> str:
        for _ in range(per_level):
            x = added("Relu", [convolved(x)])
        return x

    def pooled(x: str, step: list[int]) -> str:
        return added("MaxPool", [x], kernel_shape=step, strides=step)

    x, cell = _PICTURE, [1, 1]
    while tuple(cell) != grid:
        step = [1 + (g > c) for g, c in zip(grid, cell, strict=True)]
        cell = [c * s for c, s in zip(cell, step, strict=True)]
        x = pooled(level(x), step)
    skipped = []
    for _ in range(config["unet_n_depth"]):
        skipped.append(level(x))
        x = pooled(skipped[-1], [2, 2])
    x = level(x)
    while skipped:
        nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        x = level(added("Concat", [added("Resize", [x, "", "doubled"], **nearest), skipped.pop()], axis=1))
    if config["net_conv_after_unet"]:
        x = added("Relu", [convolved(x)])
    outputs = [added("Sigmoid", [convolved(x)], "probability"), convolved(x, "distance")]
    graph = helper.make_graph(
        nodes,
        "stardist",
        [helper.make_tensor_value_info(_PICTURE, float32, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info(name, float32, [1, None, None, None]) for name in outputs],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def _onnx() -> tuple[Any, Any, int]:
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise _missing(error) from error
    return helper, numpy_helper, TensorProto.FLOAT


def _missing(error: ImportError) -> ConfigError:
    return ConfigError(
        "the segmenter stardist needs further packages",
        found=error,
        fix="pip install 'histoscribe[stardist]' (TensorFlow is not needed), or choose the segmenter `classical`",
    )


def _suppressed(
    probability: NDArray[np.float32],
    distance: NDArray[np.float32],
    centre_yx: NDArray[np.int64],
    *,
    shape: tuple[int, ...],
    threshold: float,
) -> Stars:
    """Keep one proposal per nucleus, most probable first, and draw them."""
    try:
        from stardist.geometry import dist_to_coord, polygons_to_label
        from stardist.nms import non_maximum_suppression_sparse
    except ImportError as error:
        raise _missing(error) from error
    if not len(probability):
        rays = distance.shape[-1]
        empty = np.zeros((0, 2), np.int64), np.zeros((0, rays, 2)), np.zeros(0, np.float32)
        return Stars(np.zeros(shape, np.int32), *empty)
    centre, prob, dist, _ = non_maximum_suppression_sparse(distance, probability, centre_yx, nms_thresh=threshold)
    labels = polygons_to_label(dist, centre, prob=prob, shape=shape)
    outline = np.moveaxis(dist_to_coord(dist, centre), 1, 2)  # (n, 2, rays) -> (n, rays, 2)
    return Stars(labels.astype(np.int32), centre, outline.astype(np.float64), prob)
