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
        Most abundant genes that teach; all others follow the channels.
    members
        Networks that are averaged, each with spots of its own held out.
    input_um
        Microns per pixel of the network's input, about; a whole number of pixels makes a cell.
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
        What the field's weights may count beside the error of genes; held-out spots choose.
    image_weight, smoothness
        What the picture and unevenness away from spots count beside it.
    threads
        Of torch; part of the settings, for the last digits hang on it.
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
        whole = min(self.rank, self.most_genes, self.members, self.steps, self.patience, self.threads)
        if whole < 1 or self.rank * self.members > MAX_RANK or self.input_um <= 0 or self.learning_rate <= 0:
            raise ConfigError(
                "the mapper's options are out of range",
                where="autoencoder",
                expected=f"positive numbers, rank times members at most {MAX_RANK}",
                found=self,
            )
