"""Tile to vector: encoders, their cards, and the engine that runs them over a slide."""

from histoscribe.encoders._torchvision_guard import import_timm, import_torchvision, torchvision_state
from histoscribe.encoders.base import BACKENDS, Availability, Choice, Encoder, availability, build_encoder
from histoscribe.encoders.card import Card, builtin_card, cards, load_card
from histoscribe.encoders.embed import EmbedSettings, embed, load_embedding

__all__ = [
    "BACKENDS",
    "Availability",
    "Card",
    "Choice",
    "EmbedSettings",
    "Encoder",
    "availability",
    "build_encoder",
    "builtin_card",
    "cards",
    "embed",
    "import_timm",
    "import_torchvision",
    "load_card",
    "load_embedding",
    "torchvision_state",
]
