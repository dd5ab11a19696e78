"""Segmenter "instanseg": an InstanSeg model (Goldsborough et al. 2024), run by its authors' own package.

Its file is TorchScript, a program: see `torchscript`. It is read only where the user names it, or where it is the
published one.
"""

import json
import warnings
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, WeightsError
from histoscribe.nuclei.segmenter import RGB, Instances, black_areas, checked_picture
from histoscribe.nuclei.torchscript import FILE, read_torchscript
from histoscribe.numerics.device import device_in_use
from histoscribe.store.cache import cache_folder
from histoscribe.store.fetch import fetch
from histoscribe.store.files import sha256_file

_MODEL = "brightfield_nuclei"
_PERCENTILES = (0.1, 99.9)  # of each colour, as the package normalises
# half the receptive field of its U-Net and the radius of a large nucleus, in whole steps of the coarsest grid
_HALO_PX = 128


class InstanSegSegmenter:
    """Nuclei as an InstanSeg model clusters the pixels of a picture around seeds.

    Parameters
    ----------
    model
        TorchScript file (instanseg.pt), or the zip that holds it; None takes the published model for H&E,
        "brightfield_nuclei" (Apache-2.0), from the cache, fetched once from where the package says. Such a file is a
        program: give only one from people whom you trust.
    device
        "cpu", "cuda", "mps", or "auto" for a graphics card where there is one.
    """

    name = "instanseg"
    takes = ("model", "device")
    halo_px = _HALO_PX

    def __init__(self, model: Path | str | None = None, *, device: str = "auto") -> None:
        self._model, self._device = None if model is None else Path(model), device
        self._runner: Any = None
        self._source = ("", "")
        self._range: NDArray[np.float32] | None = None

    @property
    def mpp(self) -> float:
        """Microns per pixel that the model was trained at, as its file says."""
        return float(self._loaded().instanseg.pixel_size)

    def prepare(self, sample: Sequence[RGB]) -> "InstanSegSegmenter":
        """Measure the percentiles of each colour on a sample of the slide's tissue, over all crops together."""
        made = InstanSegSegmenter(self._model, device=self._device)
        made._runner, made._source = self._loaded(), self._source
        lit = [crop[~black_areas(checked_picture(crop), mpp=self.mpp)] for crop in sample]
        pixels = np.concatenate(lit or [np.zeros((0, 3), np.uint8)])
        # without tissue no block is ever segmented, and the full range is as good as any
        made._range = (
            np.array([[0.0] * 3, [255.0] * 3], np.float32)
            if not len(pixels)
            else np.percentile(pixels, _PERCENTILES, axis=0).astype(np.float32)
        )
        return made

    def segment(self, rgb: RGB) -> Instances:
        """Find the nuclei of a picture; raises ConfigError where the segmenter was not prepared."""
        import torch

        if self._range is None:
            raise ConfigError(
                "the segmenter does not know the slide yet", where="segmenter instanseg", fix="call prepare first"
            )
        low, high = self._range
        checked_picture(rgb)
        if (high <= low).all() or rgb.min() == rgb.max():  # of one colour: whatever the network says
            return Instances(np.zeros(rgb.shape[:2], np.int32))
        picture = (rgb - low) / np.maximum(high - low, 1.0)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*device_type of 'cuda'")  # the package asks for it everywhere
            try:
                found = self._loaded().eval_small_image(
                    torch.from_numpy(picture.transpose(2, 0, 1)[None]),
                    normalise=False,
                    return_image_tensor=False,
                    target="nuclei",
                )
            except RuntimeError as error:  # what TorchScript raises, whatever went wrong in the model
                raise WeightsError(
                    "the model cannot be run on this picture", where=self._source[0], found=str(error).strip()[-200:]
                ) from error
        labels = found.cpu().numpy().reshape(-1, *rgb.shape[:2])[0]
        numbers, place = np.unique(labels, return_inverse=True)
        first = 0 if numbers[0] == 0 else 1
        return Instances((place.reshape(labels.shape) + first).astype(np.int32))

    def record(self) -> dict[str, Any]:
        """Return the scale, the hash of the model and the percentiles."""
        mpp, (source, sha256) = self.mpp, self._source
        measured = None if self._range is None else self._range.tolist()
        facts = {"name": self.name, "mpp": mpp, "model": source, "sha256": sha256}
        return facts | {"device": self._device, "range": measured}

    def _loaded(self) -> Any:
        if self._runner is None:
            package = _package()
            path = _find_model(self._model)
            network, self._device = read_torchscript(path), device_in_use(self._device, where="segmenter instanseg")
            self._runner = package.InstanSeg(network, device=self._device, image_reader="skimage.io", verbosity=0)
            self._source = (path.name, sha256_file(path))
        return self._runner


def _package() -> Any:
    try:
        import instanseg
    except ImportError as error:
        raise ConfigError(
            "the segmenter instanseg needs the instanseg-torch package",
            found=error,
            fix="pip install 'histoscribe[instanseg]', or choose the segmenter `classical`",
        ) from error
    return instanseg


def _find_model(path: Path | None) -> Path:
    """Path of the model: the given one, or the published one, fetched once into the cache."""
    if path is not None:
        if not path.is_file():
            raise WeightsError(
                "there is no such model",
                where=path,
                expected=f"{FILE}, or the zip that holds it",
                fix="correct the path",
            )
        return path
    url, version = _published()
    # its authors publish no hash; that of the file used stands in the record
    return fetch(
        url,
        sha256=None,
        target=cache_folder() / "weights" / f"{_MODEL}-{version}.zip",
        where="segmenter instanseg",
        fix="get the zip where there is a network and give its path with --model; or choose the segmenter "
        "`classical`, which needs no weights",
    )


def _published() -> tuple[str, str]:
    """Address and version of the published model, as the installed package lists it."""
    index = json.loads(resources.files("instanseg").joinpath("bioimageio_models/model-index.json").read_text())
    return next((model["url"], model["version"]) for model in index if model["name"] == _MODEL)
