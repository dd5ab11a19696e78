"""What a run can be told, in one place, with its defaults; read from TOML and recorded in the result."""

import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from histoscribe.errors import ConfigError, nearest

STAINS = ("none", "macenko", "reinhard")


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Configuration of a run.

    Parameters
    ----------
    encoder
        Name of a built-in encoder, or path of a card (TOML).
    tile_um
        Side of the square of tissue that describes a spot, in microns; None for 112, or 48 for bins of up to 24.
    method
        Domain method; "auto" for "niche" where there are counts and "histology" where there is the picture alone.
    n_domains
        Number of domains, obeyed exactly; None to have it chosen, with evidence.
    weights
        Weight of feature blocks by name, over the method's own.
    stain, stain_reference
        Stain normalisation of the tiles, "none", "macenko" or "reinhard", towards the look of the section or picture at
        the path `stain_reference`; fitted on that one alone.
    align
        Whether to move the spots by the shift that preflight estimates, instead of only reporting it.
    nuclei
        Segmenter of nuclei, whose measurements join the domains' features; "none" to leave nuclei out.
    maps, map_um
        Genes to map finer than the spots ("A,B,C", "top:50", "all"; empty for none), and the side of a cell in microns.
    device
        "auto", "cpu", "cuda", "mps".
    precision
        "auto", "float32" or "bfloat16".
    seed
        Seed of everything random.
    """

    encoder: str = "efficientnet_b0"
    tile_um: float | None = None
    method: str = "auto"
    n_domains: int | None = None
    weights: dict[str, float] = field(default_factory=dict)
    stain: str = "none"
    stain_reference: str | None = None
    align: bool = False
    nuclei: str = "none"
    maps: str = ""
    map_um: float = 8.0
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that no stage could use."""
        problems = []
        if self.tile_um is not None and not self.tile_um > 0:
            problems.append(f"tile_um must be above 0 microns, not {self.tile_um}")
        if self.n_domains is not None and self.n_domains < 1:
            problems.append(f"n_domains must be at least 1, not {self.n_domains}")
        if self.stain not in STAINS:
            problems.append(f"stain must be one of {', '.join(STAINS)}, not {self.stain!r}")
        if (self.stain == "none") != (self.stain_reference is None):
            problems.append("stain and stain_reference are given together or not at all")
        if not self.map_um > 0:
            problems.append(f"map_um must be above 0 microns, not {self.map_um}")
        if self.seed < 0:
            problems.append(f"seed must not be negative, as {self.seed} is")
        if problems:
            raise ConfigError("; ".join(problems), where="configuration")

    def to_dict(self) -> dict[str, Any]:
        """All settings, JSON-able."""
        return asdict(self)

    def updated(self, **given: Any) -> "RunConfig":
        """Return a copy in which every value of `given` that is not None replaces the present one."""
        return replace(self, **{key: value for key, value in given.items() if value is not None})


def read_config(path: Path) -> RunConfig:
    """Read a run.toml: the names of `RunConfig`, at the top level.

    Raises
    ------
    ConfigError
        Where the file cannot be read, or holds a name or a type that is not of `RunConfig`.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot be read ({error})", where=path, expected="a TOML file in UTF-8") from error
    defaults = RunConfig()
    known = {item.name for item in fields(RunConfig)}
    problems = []
    for key, value in given.items():
        if key not in known:
            problems.append(f"{key!r} is not a setting; {nearest(key, known)}")
        elif not _fits(value, getattr(defaults, key), key):
            problems.append(f"{key} = {value!r} has the wrong type")
    if problems:
        raise ConfigError("; ".join(problems), where=path)
    return replace(defaults, **given)


def _fits(value: Any, default: Any, key: str) -> bool:
    if isinstance(value, bool) or isinstance(default, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if key == "n_domains":
        return isinstance(value, int)
    if key == "tile_um":
        return isinstance(value, int | float)
    if key == "stain_reference":
        return isinstance(value, str)
    if key == "weights":
        return isinstance(value, dict) and all(
            isinstance(w, int | float) and not isinstance(w, bool) for w in value.values()
        )
    return isinstance(value, (int, float) if isinstance(default, float) else type(default))
