"""One seeded training loop for every network head; it keeps the weights of the best epoch on an inner fold.

The settings of torch that it changes (threads, determinism, random numbers) are restored at the end.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from histoscribe.encoders.deterministic import deterministic
from histoscribe.errors import ConfigError, InputError, WeightsError, listing
from histoscribe.predict.splits import inner_folds

Weights = dict[str, NDArray[Any]]
Index = NDArray[np.intp]
Sample = Callable[[Index], dict[str, Any]]  # rows to tensors by name
Change = Callable[[dict[str, Any], Any, np.random.Generator], tuple[dict[str, Any], Any]]


@dataclass(frozen=True, slots=True)
class Course:
    """How a network is trained.

    Parameters
    ----------
    epochs
        At most; also the length of the cosine course of rates, which goes down once per epoch.
    learning_rate, weight_decay
        Of AdamW (Loshchilov and Hutter 2019).
    batch
        Rows per step, about.
    patience
        Epochs without gain on the inner fold after which training ends.
    loss
        "l1" or "mse".
    device
        "cpu", "cuda" or "mps"; mixed precision (bfloat16) on "cuda".
    seed
        Of the weights, the order of the rows, dropout and augmentation.
    least_learning_rate
        At the end of the course; a hundredth of the first where not given.
    """

    epochs: int
    learning_rate: float
    weight_decay: float = 1e-3
    batch: int = 32
    patience: int = 10
    loss: Literal["l1", "mse"] = "mse"
    device: str = "cpu"
    seed: int = 0
    least_learning_rate: float | None = None

    def __post_init__(self) -> None:
        counted = min(self.epochs, self.batch, self.patience) >= 1
        rated = self.learning_rate > 0 and 0 <= self.last_rate <= self.learning_rate and self.weight_decay >= 0
        if not (counted and rated and self.loss in _LOSSES):
            raise ConfigError(
                "a network cannot be trained so",
                where="training",
                expected="epochs, batch and patience of at least 1, a positive learning rate that does not end above "
                "where it begins, a weight decay of at least 0, loss l1 or mse",
                found=self,
            )

    @property
    def last_rate(self) -> float:
        """Learning rate at the end of the course."""
        return self.learning_rate / 100 if self.least_learning_rate is None else self.least_learning_rate


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What training gave.

    Parameters
    ----------
    weights
        Of the best epoch, copied when it was reached.
    epoch
        The best, from 1; the last one that was run where there was no inner fold.
    errors
        On the inner fold, after every epoch; empty where there was none.
    rates
        The learning rate in every epoch.
    """

    weights: Weights
    epoch: int
    errors: tuple[float, ...]
    rates: tuple[float, ...]


_LOSSES = ("l1", "mse")


def train(
    make: Callable[[], Any],
    sample: Sample,
    Y: NDArray[np.float32],
    *,
    course: Course,
    groups: NDArray[Any] | None,
    change: Change | None = None,
) -> Trained:
    """Train a network, stopping by an inner fold that shares no group with the rest.

    Parameters
    ----------
    make
        Makes the network; called where random numbers are seeded. It takes the tensors of `sample` by name.
    sample
        Rows to tensors by name.
    Y
        (n, t) targets.
    course
        How.
    groups
        (n,) what is not split between the parts; None: every row is its own. With a single group nothing can be held
        out: then a third of the epochs are run and the last weights kept.
    change
        Augments a batch and its targets; never used on the inner fold.

    Raises
    ------
    InputError
        Fewer than two rows to learn from.
    """
    if len(Y) < 2:
        raise InputError("a network cannot learn from one spot", where="training", found=f"{len(Y)} spots")
    labels = np.arange(len(Y)) if groups is None else np.asarray(groups)
    fit, held = np.arange(len(Y)), np.empty(0, np.intp)
    if len(np.unique(labels)) > 1:
        fit, held = inner_folds(labels)[0]
    epochs = course.epochs if len(held) else max(1, course.epochs // 3)
    with deterministic(course.seed, device=course.device):
        return _run(make(), sample, Y, (fit, held), course, epochs, change)


def predict(network: Any, sample: Sample, n: int, *, batch: int = 64, device: str = "cpu") -> NDArray[np.float32]:
    """Run a network in evaluation mode over n rows, (n, t) float32."""
    import torch

    if n == 0:
        raise InputError("there is no spot to predict", where="prediction")
    with deterministic(0, device=device), torch.inference_mode():
        place = _fabric(device).device
        network = network.to(place).eval()
        parts = []
        for start in range(0, n, batch):
            given = sample(np.arange(start, min(n, start + batch)))
            parts.append(network(**{key: value.to(place) for key, value in given.items()}).float().cpu().numpy())
    return np.concatenate(parts)


def weights_of(network: Any) -> Weights:
    """Copy a network's weights out of it, as arrays by name."""
    return {key: value.detach().cpu().numpy().copy() for key, value in network.state_dict().items()}


def load_weights(make: Callable[[], Any], weights: Mapping[str, NDArray[Any]]) -> Any:
    """Make a network with these weights, for evaluation; the caller's random numbers are not affected.

    Raises
    ------
    WeightsError
        Where the weights do not fit the network. Only its shapes are made before this is checked.
    """
    import torch

    with deterministic(0), torch.device("meta"):
        sketch = {key: tuple(value.shape) or (1,) for key, value in make().state_dict().items()}
    given = {key: np.shape(value) or (1,) for key, value in weights.items()}  # a file may keep one number as a row
    differs = sorted(key for key in sketch.keys() | given.keys() if sketch.get(key) != given.get(key))
    if differs:
        raise WeightsError(
            "the weights do not fit the network",
            where=listing(differs, 3),
            expected=sketch.get(differs[0]),
            found=given.get(differs[0]),
            fix="copy the model again, or fit it again",
        )
    with deterministic(0):
        network = make()
    network.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in weights.items()})
    return network.eval()


def _run(
    network: Any, sample: Sample, Y: Any, parts: tuple[Index, Index], course: Course, epochs: int, change: Change | None
) -> Trained:
    import torch

    fabric = _fabric(course.device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=course.learning_rate, weight_decay=course.weight_decay)
    model, optimiser = fabric.setup(network, optimiser)
    # one step per epoch, so T_max is the number of epochs: stepped per batch the rate would rise again
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=course.epochs, eta_min=course.last_rate)
    rng = np.random.default_rng(course.seed)
    fit, held = parts
    errors: list[float] = []
    rates: list[float] = []
    best, weights = 0, weights_of(network)
    for epoch in range(1, epochs + 1):
        rates.append(float(optimiser.param_groups[0]["lr"]))
        model.train()
        for rows in np.array_split(rng.permutation(fit), max(1, len(fit) // course.batch)):
            given, y = sample(rows), torch.from_numpy(Y[rows])
            if change is not None:
                given, y = change(given, y, rng)
            optimiser.zero_grad()
            fabric.backward(_loss(model, given, y, course, fabric.device))
            optimiser.step()
        cosine.step()
        if len(held):
            errors.append(_held_error(model, sample, Y, held, course, fabric.device))
        if not len(held) or errors[-1] <= min(errors):
            best, weights = epoch, weights_of(network)
        if epoch - best >= course.patience:
            break
    return Trained(weights, best, tuple(errors), tuple(rates))


def _held_error(model: Any, sample: Sample, Y: Any, held: Index, course: Course, place: Any) -> float:
    import torch

    model.eval()
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(held), 64):
            rows = held[start : start + 64]
            total += float(_loss(model, sample(rows), torch.from_numpy(Y[rows]), course, place)) * len(rows)
    return total / len(held)


def _loss(model: Any, given: dict[str, Any], y: Any, course: Course, place: Any) -> Any:
    from torch.nn import functional

    found = model(**{key: value.to(place) for key, value in given.items()})
    measure = functional.l1_loss if course.loss == "l1" else functional.mse_loss
    return measure(found.float(), y.to(place).float())


def _fabric(device: str) -> Any:
    from lightning_fabric import Fabric

    name, _, number = device.partition(":")
    precision = "bf16-mixed" if name == "cuda" else "32-true"
    return Fabric(accelerator=name, devices=[int(number)] if number else 1, precision=precision)
