"""Maps finer than the spots: expression on the tissue's own pixels."""

from histoscribe.maps.mapper import FactorMap, Mapper, MapProblem
from histoscribe.registry import Registry

MAPPERS: Registry[type[Mapper]] = Registry(
    "mapper",
    group="histoscribe.mappers",
    builtin={
        "dense": "histoscribe.maps.dense:DenseMapper",
        "autoencoder": "histoscribe.maps.autoencoder:AutoencoderMapper",
    },
)

__all__ = ["MAPPERS", "FactorMap", "MapProblem", "Mapper"]
