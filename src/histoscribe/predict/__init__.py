"""Expression and cell types from the picture: heads, honest evaluation, intervals and what to trust."""

from histoscribe.predict.head import Head, Inputs
from histoscribe.registry import Registry

HEADS: Registry[type[Head]] = Registry(
    "head",
    group="histoscribe.heads",
    builtin={
        "mean": "histoscribe.predict.heads.mean:MeanHead",
        "depth": "histoscribe.predict.heads.depth:DepthHead",
        "knn": "histoscribe.predict.heads.knn:NeighboursHead",
        "ridge": "histoscribe.predict.heads.ridge:RidgeHead",
        "lowrank": "histoscribe.predict.heads.lowrank:LowRankHead",
        "serial": "histoscribe.predict.heads.serial:SerialHead",
        "mlp": "histoscribe.predict.heads.mlp:MLPHead",
        "multiscale": "histoscribe.predict.heads.multiscale:MultiscaleHead",
        "multiscale_pixels": "histoscribe.predict.heads.multiscale_pixels:MultiscalePixelsHead",
        "finetune": "histoscribe.predict.heads.finetune:FinetuneHead",
        "stack": "histoscribe.predict.heads.stacked:StackHead",
    },
)

__all__ = ["HEADS", "Head", "Inputs"]
