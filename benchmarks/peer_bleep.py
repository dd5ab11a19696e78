"""BLEEP's published recipe (Xie et al., NeurIPS 2023) on the folds of our heads: her2st C2-C6, one section left out.

Written anew from the paper: pictures and expression are projected to 256 dimensions each by a linear layer, GELU, a
second linear layer with dropout, a residual and layer normalisation (of the CLIP kind); the contrastive loss compares
their similarities with the mean similarity within pictures and within expressions (its eq. 1-4, temperature 1); a new
spot gets the mean expression of the 50 training spots with the expression nearest to its picture. AdamW, learning
rate 1e-3, weight decay 1e-3, last epoch.

Departures, each for two cores or for equal folds: the picture's network is a frozen ResNet-50-v2 and is not trained
along; batches hold 128 of about 730 spots instead of 512; expression is that of the protocol's genes, without Harmony.
`short` is 4 epochs on tiles of 112 um; `long` is the paper's 150 epochs, on the same features as our heads.
"""

import time
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn
from torch.nn import functional

from histoscribe.encoders.deterministic import deterministic
from histoscribe.expression.targets import make_target
from histoscribe.predict import HEADS
from histoscribe.predict.context import Context, appearance
from histoscribe.predict.data import Observed, grouping_of, inputs_of
from histoscribe.predict.metrics import average_sections, score_section
from support.expression import DATA, PATIENT_C, observed

WIDTH, BATCH, NEAREST, RATE, DECAY, DROPOUT = 256, 128, 50, 1e-3, 1e-3, 0.1


@dataclass(frozen=True)
class Recipe:
    """How long, and on which blocks."""

    epochs: int
    blocks: tuple[str, ...] | None  # None: all


RECIPES = {"short": Recipe(4, ("resnet@112",)), "long": Recipe(150, None)}


class Projection(nn.Module):
    """To 256 dimensions."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.dropout, self.norm = nn.Dropout(DROPOUT), nn.LayerNorm(WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, d) to (b, 256)."""
        first = self.first(x)
        return self.norm(first + self.dropout(self.second(functional.gelu(first))))


def loss_of(pictures: torch.Tensor, expressions: torch.Tensor) -> torch.Tensor:
    """Cross entropy, both ways, of similarities across with the mean of those within; (b, 256) each."""
    across = expressions @ pictures.T
    wanted = ((pictures @ pictures.T + expressions @ expressions.T) / 2).softmax(dim=-1)
    by_spot = -(wanted * across.log_softmax(dim=-1)).sum(dim=1)
    by_picture = -(wanted.T * across.T.log_softmax(dim=-1)).sum(dim=1)
    return (by_spot + by_picture).mean() / 2


def bleep(X: np.ndarray, Y: np.ndarray, X_new: np.ndarray, *, epochs: int, seed: int) -> np.ndarray:
    """Expression (n_new, t) of new spots by retrieval from training spots with features X (n, d) and expression Y."""
    with deterministic(seed):
        pictures, expressions = Projection(X.shape[1]), Projection(Y.shape[1])
        weights = [*pictures.parameters(), *expressions.parameters()]
        optimiser = torch.optim.AdamW(weights, lr=RATE, weight_decay=DECAY)
        x, y, new = (torch.from_numpy(np.asarray(a, np.float32)) for a in (X, Y, X_new))
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(BATCH):
                optimiser.zero_grad()
                loss_of(pictures(x[rows]), expressions(y[rows])).backward()
                optimiser.step()
        pictures.eval()
        expressions.eval()
        with torch.inference_mode():
            asked, known = (functional.normalize(a, dim=-1) for a in (pictures(new), expressions(y)))
            nearest = (asked @ known.T).topk(min(NEAREST, len(y)), dim=1).indices.numpy()  # (n_new, 50)
    return Y[nearest].mean(axis=1)


def features(sections: list[Observed], recipe: Recipe) -> np.ndarray:
    """Blocks of some sections, joined by name, (n, d)."""
    blocks = appearance(inputs_of(sections).blocks)
    return np.concatenate([blocks[name] for name in recipe.blocks or sorted(blocks)], axis=1)


def predicted(name: str, train: list[Observed], test: Observed, Y: np.ndarray) -> np.ndarray:
    """Predict a section by the peer, "bleep_short" or "bleep_long", or by one of our heads, on the same rows."""
    if name.startswith("bleep_"):
        recipe = RECIPES[name.removeprefix("bleep_")]
        return bleep(features(train, recipe), Y, features([test], recipe), epochs=recipe.epochs, seed=0)
    _, groups = grouping_of(train).of(np.arange(len(Y)))
    return HEADS.get(name)().fit(inputs_of(train), Y, groups).predict(inputs_of([test], depth=False))


def main() -> None:
    """Print both protocols, the peer beside ridge and the low-rank head."""
    sections = {name: observed(name, ("resnet",), Context()) for name in PATIENT_C}
    panel = (DATA / "her2st" / "genes_785.txt").read_text().split()
    protocols = {"genes785": {"genes": panel, "scale": "log10_panel"}, "genes250": {"n_genes": 250}}
    for protocol, options in protocols.items():
        scores: dict[str, list] = {}
        seconds: dict[str, float] = {}
        for left_out in PATIENT_C:
            train, test = [sections[name] for name in PATIENT_C if name != left_out], sections[left_out]
            target = make_target("genes", **options).fit([one.require_measured() for one in train])
            Y = np.concatenate([target.transform(one.require_measured()) for one in train])
            for name in (*(f"bleep_{label}" for label in RECIPES), "ridge", "lowrank"):
                start = time.process_time()
                with threadpool_limits(limits=1):
                    P = predicted(name, train, test, Y)
                seconds[name] = seconds.get(name, 0.0) + time.process_time() - start
                found = score_section(
                    target.transform(test.require_measured()),
                    P,
                    train_mean=Y.mean(axis=0),
                    depth=test.depth(),
                    kind="genes",
                )
                scores.setdefault(name, []).append(found)
        for name, found in scores.items():
            mean = average_sections(found)
            print(f"{protocol}_{name}_cpu {seconds[name]:.0f} s")
            print(f"{protocol}_{name}_pearson_given_depth {mean['mean_pearson_given_depth']:.3f} r")
            print(f"{protocol}_{name}_pearson {mean['mean_pearson']:.3f} r", flush=True)


if __name__ == "__main__":
    main()
