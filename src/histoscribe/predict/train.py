"""One seeded training loop for every network head: the weights of the best epoch on an inner fold are what is kept.

All of torch's switches that it turns (threads, determinism, random numbers) are turned back when it is done.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, InputError
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
        "cpu", "cuda", "mps" or "auto", as Lightning Fabric names them; mixed precision (bfloat16) on "cuda".
    seed
        Of the weights, the order of the rows, dropout and augmentation.
    """

    epochs: int
    learning_rate: float
    weight_decay: float = 1e-3
    batch: int = 32
    patience: int = 10
    loss: Literal["l1", "mse"] = "mse"
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.patience) < 1 or self.learning_rate <= 0 or self.loss not in _LOSSES:
            raise ConfigError(
                "a network cannot be trained so",
                where="training",
                expected="epochs, batch and patience of at least 1, a positive learning rate, loss l1 or mse",
                found=self,
            )


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
    with seeded(course.seed, course.device):
        return _run(make(), sample, Y, (fit, held), course, epochs, change)


def predict(network: Any, sample: Sample, n: int, *, batch: int = 64, device: str = "cpu") -> NDArray[np.float32]:
    """Run a network in evaluation mode over n rows, (n, t) float32."""
    import torch

    if n == 0:
        raise InputError("there is no spot to predict", where="prediction")
    with seeded(0, device), torch.inference_mode():
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
    """Make a network with these weights, for evaluation; the random ones that it is made with cost nobody a draw."""
    import torch

    with seeded(0):
        network = make()
    network.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in weights.items()})
    return network.eval()


@contextmanager
def seeded(seed: int, device: str = "cpu") -> Iterator[None]:
    """Give torch one thread, seeded random numbers and deterministic kernels; as they were before afterwards.

    On a graphics card a kernel without a deterministic form is used with torch's warning.
    """
    import torch

    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=device != "cpu")
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if device != "cpu" else []):
            torch.random.default_generator.manual_seed(seed)
            if device != "cpu" and torch.cuda.is_available():
                torch.cuda.manual_seed_all(seed)
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=lenient)


def _run(
    network: Any, sample: Sample, Y: Any, parts: tuple[Index, Index], course: Course, epochs: int, change: Change | None
) -> Trained:
    import torch

    fabric = _fabric(course.device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=course.learning_rate, weight_decay=course.weight_decay)
    model, optimiser = fabric.setup(network, optimiser)
    # the unit is the epoch, so T_max is the number of epochs: stepped per batch it would swing up again
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimiser, T_max=course.epochs, eta_min=course.learning_rate / 100
    )
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
    import torch
    from lightning_fabric import Fabric

    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    return Fabric(accelerator=device, devices=1, precision="bf16-mixed" if cuda else "32-true")
