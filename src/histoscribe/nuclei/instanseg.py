"""Segmenter "instanseg": an InstanSeg model (Goldsborough et al. 2024), run by its authors' own package."""

import json
import warnings
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, WeightsError
from histoscribe.nuclei.segmenter import RGB, Instances, checked_picture
from histoscribe.store.cache import cache_folder
from histoscribe.store.files import sha256_file

_MODEL = "brightfield_nuclei"
_FILE = "instanseg.pt"
_PERCENTILES = (0.1, 99.9)  # of each colour, as the package normalises
# half the receptive field of its U-Net and the radius of a large nucleus, in whole steps of the coarsest grid
_HALO_PX = 128


class InstanSegSegmenter:
    """Nuclei as an InstanSeg model clusters the pixels of a picture around seeds.

    Parameters
    ----------
    model
        TorchScript file (instanseg.pt), or the zip that holds it; None takes the published model for H&E,
        "brightfield_nuclei" (Apache-2.0), from the cache, fetched once from where the package says.
    device
        Any that torch knows.
    """

    name = "instanseg"
    takes_model = True
    halo_px = _HALO_PX

    def __init__(self, model: Path | str | None = None, *, device: str = "cpu") -> None:
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
        pixels = np.concatenate([checked_picture(crop).reshape(-1, 3) for crop in sample]) if sample else None
        # without tissue no block is ever segmented, and the full range is as good as any
        made._range = (
            np.array([[0.0] * 3, [255.0] * 3], np.float32)
            if pixels is None
            else np.percentile(pixels, _PERCENTILES, axis=0).astype(np.float32)
        )
        return made

    def segment(self, rgb: RGB) -> Instances:
        """Find the nuclei of a picture; raises ConfigError where the segmenter was not prepared."""
        import torch

        if self._range is None:
            raise ConfigError(
                "the segmenter does not know the slide yet", where="segmenter instanseg", mend="call prepare first"
            )
        low, high = self._range
        checked_picture(rgb)
        if (high <= low).all() or rgb.min() == rgb.max():  # of one colour: whatever the network says
            return Instances(np.zeros(rgb.shape[:2], np.int32))
        picture = (rgb - low) / np.maximum(high - low, 1.0)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*device_type of 'cuda'")  # the package asks for it everywhere
            found = self._loaded().eval_small_image(
                torch.from_numpy(picture.transpose(2, 0, 1)[None]),
                normalise=False,
                return_image_tensor=False,
                target="nuclei",
            )
        labels = found.cpu().numpy().reshape(-1, *rgb.shape[:2])[0]
        numbers, place = np.unique(labels, return_inverse=True)
        first = 0 if numbers[0] == 0 else 1
        return Instances((place.reshape(labels.shape) + first).astype(np.int32))

    def record(self) -> dict[str, Any]:
        """Return the scale, the hash of the model and the percentiles."""
        mpp, (source, sha256) = self.mpp, self._source
        measured = None if self._range is None else self._range.tolist()
        return {"name": self.name, "mpp": mpp, "model": source, "sha256": sha256, "range": measured}

    def _loaded(self) -> Any:
        if self._runner is None:
            package = _package()
            path = _find_model(self._model)
            network = _read_model(path)
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
            mend="pip install 'histoscribe[instanseg]', or choose the segmenter `classical`",
        ) from error
    return instanseg


def _find_model(path: Path | None) -> Path:
    """Path of the model: the given one, or the published one, fetched once into the cache."""
    if path is not None:
        if not path.is_file():
            raise WeightsError(
                "there is no such model",
                where=path,
                expected=f"{_FILE}, or the zip that holds it",
                mend="correct the path",
            )
        return path
    import pooch

    url, version = _published()
    folder = cache_folder() / "weights"
    try:
        # its authors publish no hash; that of the file used stands in the record
        found = pooch.retrieve(url, None, path=folder, fname=f"{_MODEL}-{version}.zip", progressbar=False)
    except (OSError, ValueError) as error:
        raise WeightsError(
            "the InstanSeg model cannot be fetched",
            where="segmenter instanseg",
            expected=url,
            found=error,
            mend="get the zip where there is a network and give its path with --model; or choose the segmenter "
            "`classical`, which needs no weights",
        ) from error
    return Path(found)


def _published() -> tuple[str, str]:
    """Address and version of the published model, as the installed package lists it."""
    index = json.loads(resources.files("instanseg").joinpath("bioimageio_models/model-index.json").read_text())
    return next((model["url"], model["version"]) for model in index if model["name"] == _MODEL)


def _read_model(path: Path) -> Any:
    """Read the TorchScript model from its file or from the zip that holds it."""
    import torch

    # a TorchScript file is itself a zip: the published archive is told by the file inside
    try:
        with ZipFile(path) as archive:
            inside = next((name for name in archive.namelist() if name.rpartition("/")[2] == _FILE), None)
            if inside is None:
                network = torch.jit.load(str(path), map_location="cpu")
            else:
                with archive.open(inside) as file:
                    network = torch.jit.load(file, map_location="cpu")
    except (BadZipFile, RuntimeError, OSError) as error:
        raise WeightsError(
            "this is no readable InstanSeg model",
            where=path,
            expected=f"{_FILE} (TorchScript), or the zip that holds it",
            found=str(error).strip().partition("\n")[0],
            mend="fetch the file again",
        ) from error
    if not hasattr(network, "pixel_size"):
        raise WeightsError(
            "this model does not say at what microns per pixel it works", where=path, expected="a model of InstanSeg"
        )
    return network
