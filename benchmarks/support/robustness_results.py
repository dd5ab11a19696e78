"""Small results of every command, made once from phantoms, and what an attacker can do to their manifests."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

Listener = Callable[[dict[str, Any]], None]
MANIFEST = "manifest.json"
COMMANDS = ("run", "domains", "nuclei", "map", "evaluate", "fit", "predict")


class Commands:
    """The seven commands on a phantom cohort of two patients; settings 0 and 1 give different results.

    Parameters
    ----------
    folder
        Where the phantoms lie, or are written on the first use.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sheet, self.slide, self.model = folder / "sheet.csv", folder / "P0S0", folder / "model"

    def write(self) -> None:
        """Write the phantoms, and the model that `predict` uses; nothing where it is there."""
        from histoscribe import fit_model
        from histoscribe.phantom import cohort, make_phantom, write_spaceranger

        if self.model.exists():
            return
        like = make_phantom(7, size_um=560.0, mpp=1.0, n_domains=2, n_genes=40)
        rows = ["section,patient,path,image"]
        for phantom in cohort(2, like=like):
            name = phantom.name
            write_spaceranger(phantom, self.folder / name)
            rows.append(f"{name},{phantom.patient_name},{name},{name}/{name}.tif")
        self.sheet.write_text("\n".join(rows) + "\n")
        fit_model(self.sheet, out=self.model, options=self._options(0))

    def _options(self, settings: int) -> Any:
        from histoscribe import PredictOptions

        return PredictOptions(heads=("ridge",), encoders=("morphology",), tile_um=(112.0,), n_genes=6 + settings)

    def run(self, name: str, out: Path, settings: int = 0, listen: Listener = lambda _: None) -> None:
        """Run a command into `out`."""
        import histoscribe

        config = histoscribe.RunConfig(
            encoder="morphology",
            n_domains=2 + settings,
            method="histology",
            nuclei="classical",  # in both: nuclei that only the other settings asked for would stay in the folder
        )
        if name == "run":
            histoscribe.run_sections(self.slide, out=out, config=config, listen=listen)
        elif name == "domains":
            histoscribe.find_domains(self.slide, out=out, n_domains=2 + settings, listen=listen)
        elif name == "nuclei":
            picture = self.slide / "P0S0.tif"
            histoscribe.find_nuclei(picture, out=out, mpp=1.0 + settings / 100, listen=listen)
        elif name == "map":
            how = histoscribe.MapSettings(encoder="none")
            histoscribe.map_section(
                self.slide, genes=f"top:{2 + settings}", um=40.0, out=out, settings=how, listen=listen
            )
        elif name == "evaluate":
            histoscribe.evaluate(self.sheet, out=out, options=self._options(settings), listen=listen)
        elif name == "fit":
            histoscribe.fit_model(self.sheet, out=out, options=self._options(settings), listen=listen)
        else:
            slide = self.slide if settings == 0 else self.folder / "P1S0"
            histoscribe.predict_slides(self.model, slide, out=out, listen=listen)


def finished(work: Path, name: str, settings: int = 0) -> Path:
    """Give the result of a command, made in `work` where it is not there yet."""
    out = work / "results" / f"{name}-{settings}"
    if not out.exists():
        commands = Commands(work / "phantoms")
        commands.write()
        aside = out.with_name(f"{out.name}-unfinished")
        shutil.rmtree(aside, ignore_errors=True)
        commands.run(name, aside, settings)
        aside.rename(out)
    return out


def content(result: Path) -> str:
    """Read the hash of the content from a result's manifest."""
    digest: str = json.loads((result / MANIFEST).read_bytes())["content_sha256"]
    return digest


def signed(manifest: dict[str, Any]) -> bytes:
    """Write a manifest as bytes, with its own hash, which any attacker can compute."""
    from histoscribe.store.files import canonical, fingerprint

    body = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    return canonical(body | {"manifest_sha256": fingerprint(body)})


def reseal(result: Path) -> None:
    """Make a result whole again after its files were changed: sizes, hashes, and the manifest's own."""
    from histoscribe.store.files import fingerprint, sha256_file
    from histoscribe.store.manifest import RECORD

    path = result / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        files = manifest["files"]
        for name, facts in files.items():
            if (result / name).is_file():
                facts |= {"size": (result / name).stat().st_size, "sha256": sha256_file(result / name)}
        content = {name: facts["sha256"] for name, facts in files.items() if name != RECORD}
        path.write_bytes(signed(manifest | {"content_sha256": fingerprint(content)}))
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError):
        return  # the manifest itself was the damaged file
