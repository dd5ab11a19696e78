"""EfNST as its program works, repaired just enough to run, without an image: the reference for ours.

Written anew from a description of the program's behaviour, faults included: neighbours by correlation of raw counts,
three of the four asked for; a decoder that ends in batch normalisation and a sigmoid while its target is signed; edges
squashed twice, with every pair that is no edge masked out; clusters never refined. The program forms all n x n pairs;
where `dense` is false only the edges are formed, which gives the same gradients because masked pairs have none.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.spatial import cKDTree
from torch import nn
from torch.nn import functional

_PITCHES, _STRENGTH, _NEIGHBOURS = 3.0, 0.2, 4
_ENCODER, _GRAPH, _DECODER = (32, 20), (64, 8), 32
_CORRUPTION, _MSE, _BCE_KLD = 0.001, 10.0, 0.1


@dataclass(frozen=True)
class Published:
    """Settings of the program's own tutorial."""

    pca_n_comps: int = 200
    pre_epochs: int = 800
    k_graph: int = 12


class _Gated(nn.Module):
    """Residual gated convolution, summed over neighbours."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.key, self.query, self.value, self.skip = (nn.Linear(a, b) for _ in range(4))

    def forward(self, x, source, target):
        gate = torch.sigmoid(self.key(x).index_select(0, target) + self.query(x).index_select(0, source))
        return self.skip(x).index_add(0, target, gate * self.value(x).index_select(0, source))


def _block(a: int, b: int, last: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(a, b), nn.BatchNorm1d(b, momentum=0.01, eps=0.001), last, nn.Dropout(0.01))


class _Network(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(_block(width, _ENCODER[0], nn.ELU()), _block(*_ENCODER, nn.ELU()))
        self.conv, self.norm = _Gated(_ENCODER[1], _GRAPH[0]), nn.BatchNorm1d(_GRAPH[0])
        self.mean, self.log_sd = _Gated(*_GRAPH), _Gated(*_GRAPH)
        joined = _ENCODER[1] + _GRAPH[1]
        self.decoder = nn.Sequential(_block(joined, _DECODER, nn.ELU()), _block(_DECODER, width, nn.Sigmoid()))

    def forward(self, x, source, target):
        feature = self.encoder(x)
        hidden = torch.relu(self.norm(self.conv(feature, source, target)))
        mean, log_sd = self.mean(hidden, source, target), self.log_sd(hidden, source, target)
        latent = mean + torch.randn_like(mean) * log_sd.exp() if self.training else mean
        z = torch.cat([feature, latent], dim=1)
        return z, mean, log_sd, self.decoder(z)


def augmented(counts: np.ndarray, xy: np.ndarray, pitch: float) -> np.ndarray:
    """Add to counts (n, g) a fifth of the mean of three correlated neighbours, as the program makes them."""
    from sklearn.decomposition import PCA

    scores = PCA(min(50, *counts.shape), random_state=0).fit_transform(counts)
    scores -= scores.mean(axis=1, keepdims=True)
    unit = scores / np.maximum(np.linalg.norm(scores, axis=1, keepdims=True), 1e-12)
    found = counts.copy()
    for i, near in enumerate(cKDTree(xy).query_ball_point(xy, np.nextafter(_PITCHES * pitch, 0))):
        near = np.array(near)
        weight = unit[near] @ unit[i]
        best = np.argsort(weight)[-_NEIGHBOURS:-1]  # the largest is the spot itself
        if (total := weight[best].sum()) > 0:
            found[i] += _STRENGTH * (weight[best] / total) @ counts[near[best]]
    return found


def network_input(counts: np.ndarray, settings: Published) -> np.ndarray:
    """Principal components of scaled logarithms, genes normalised to a total of 1 per spot."""
    import scanpy as sc
    from anndata import AnnData

    data = AnnData(counts.astype(np.float32))
    sc.pp.filter_genes(data, min_cells=3)
    sc.pp.normalize_total(data, target_sum=1, exclude_highly_expressed=True)
    sc.pp.log1p(data)
    sc.pp.scale(data)
    sc.pp.pca(data, n_comps=settings.pca_n_comps)
    return np.asarray(data.obsm["X_pca"])


def graph_edges(xy: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges of the union of k nearest neighbours, with self loops."""
    n = len(xy)
    found = cKDTree(xy).query(xy, k=k + 1)[1][:, 1:]
    directed = sparse.csr_matrix((np.ones(n * k), (np.repeat(np.arange(n), k), found.ravel())), shape=(n, n))
    both = (directed.maximum(directed.T) + sparse.identity(n)).tocoo()
    return both.row, both.col


def train(X: np.ndarray, xy: np.ndarray, *, settings: Published, seed: int, dense: bool, epochs: int) -> np.ndarray:
    """Embedding (n, 28) after `epochs`."""
    torch.manual_seed(seed)
    n, x = len(X), torch.tensor(X, dtype=torch.float32)
    row, col = (torch.tensor(a, dtype=torch.int64) for a in graph_edges(xy, settings.k_graph))
    network = _Network(X.shape[1])
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-4, weight_decay=1e-4)
    norm = n * n / (2 * (n * n - len(row) + n))
    label = torch.zeros(n, n).index_put((row, col), torch.tensor(1.0)) if dense else None
    for _ in range(epochs):
        network.train()
        corrupted = x * (torch.rand_like(x) >= _CORRUPTION)
        z, mean, log_sd, restored = network(corrupted, col, row)
        loose = functional.dropout(z, 0.01, training=True)
        if label is not None:
            squashed = torch.sigmoid(loose @ loose.T)
            edges = functional.binary_cross_entropy_with_logits(squashed * label, label)
        else:
            squashed = torch.sigmoid((loose.index_select(0, row) * loose.index_select(0, col)).sum(dim=1))
            positive = functional.binary_cross_entropy_with_logits(squashed, torch.ones(len(row)), reduction="sum")
            edges = (positive + (n * n - len(row)) * np.log(2)) / (n * n)
        divergence = -0.5 / n * (1 + 2 * log_sd - mean**2 - (2 * log_sd).exp()).sum(dim=1).mean()
        loss = _MSE * functional.mse_loss(restored, x) + _BCE_KLD * (norm * edges + divergence)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5)
        optimiser.step()
    network.eval()
    with torch.no_grad():
        return network(x, col, row)[0].numpy()


def clusters(embedding: np.ndarray, xy: np.ndarray, n_domains: int) -> np.ndarray:
    """Sweep the resolution down until the number fits, then give outliers to their six nearest."""
    import scanpy as sc
    from anndata import AnnData

    from histoscribe.domains.communities import communities

    data = AnnData(embedding)
    sc.pp.neighbors(data, use_rep="X", n_neighbors=15, random_state=0)
    graph = sparse.csr_matrix(data.obsp["connectivities"], dtype=np.float64)
    labels = communities(graph, resolution=0.1, seed=0)
    for resolution in np.arange(2.49, 0.095, -0.01):
        found = communities(graph, resolution=float(resolution), seed=0)
        if found.max() + 1 == n_domains:
            labels = found
            break
    refined = labels.copy()
    for i, near in enumerate(cKDTree(xy).query(xy, k=7)[1]):
        votes = np.bincount(labels[near])
        if votes[labels[i]] < 3 and votes.max() > 3:
            refined[i] = votes.argmax()
    return refined
