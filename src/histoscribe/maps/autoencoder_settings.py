"""How the autoencoder is built and trained."""

from dataclasses import dataclass

from histoscribe.errors import ConfigError
from histoscribe.maps.mapper import MAX_RANK


@dataclass(frozen=True, slots=True)
class AutoencoderSettings:
    """Options of the mapper "autoencoder".

    Parameters
    ----------
    seed
        Of weights, windows, programmes and folds.
    rank
        Gene channels of one network.
    most_genes
        Most abundant genes, which the network is trained on; all others are fitted to its channels afterwards.
    members
        Networks that are averaged, each with spots of its own held out.
    input_um
        Microns per pixel of the network's input, approximately; a cell is a whole number of pixels.
    pretrain_steps, steps
        Windows seen without and with genes, at most, by each member; the former are shared.
    field_steps
        Of the field and the loadings alone, between the two.
    patience
        Steps without gain on the held-out spots after which training ends.
    learning_rate, weight_decay
        Of the network, AdamW (Loshchilov and Hutter 2019).
    field_rate
        Learning rate of the field over space and of the loadings.
    spacing
        Of the field's lattices, in pitches of the spots.
    priors
        Candidates for the weight of the field's roughness against the error of genes; held-out spots choose.
    image_weight, smoothness
        Weights of the picture's loss and of unevenness away from spots, against the error of genes.
    threads
        Of torch; part of the settings, because the last digits depend on it.
    device
        "cpu", "cuda", "mps", or "auto" for a graphics card where there is one.
    """

    seed: int = 0
    rank: int = 20
    most_genes: int = 1000
    members: int = 2
    input_um: float = 4.0
    pretrain_steps: int = 150
    steps: int = 400
    field_steps: int = 200
    patience: int = 150
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    field_rate: float = 5e-2
    spacing: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    image_weight: float = 0.2
    priors: tuple[float, ...] = (5e-3, 1.5e-3, 5e-4, 1.5e-4)
    smoothness: float = 0.02
    threads: int = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        problems = []
        for names, least, most in _RANGES:
            for name in names:
                given = getattr(self, name)
                parts = given if isinstance(given, tuple) else (given,)
                if not parts or not all(least <= part <= most for part in parts):
                    problems.append(f"{name} must lie between {least:g} and {most:g}, not at {given}")
        if self.rank * self.members > MAX_RANK:
            problems.append(f"rank times members is at most {MAX_RANK}, not {self.rank * self.members:,}")
        if problems:
            raise ConfigError("; ".join(problems), where="autoencoder", fix="leave them out for the defaults")


_STEPS = 1_000_000
_RANGES = (
    (("rank", "members"), 1, MAX_RANK),
    (("most_genes", "steps", "patience"), 1, _STEPS),
    (("threads",), 1, 1024),
    (("pretrain_steps", "field_steps"), 0, _STEPS),
    (("input_um",), 0.01, 1000.0),
    (("learning_rate", "field_rate"), 1e-9, 1.0),
    (("spacing",), 0.1, 1000.0),
    (("priors", "weight_decay", "image_weight", "smoothness"), 0.0, 1000.0),
)
