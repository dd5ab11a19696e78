"""Which network of timm a card may ask for, and the one place that asks timm for it.

A card, or a model that was received, names a network and gives arguments for it. timm's arguments can set far more than
a shape: places to fetch from, checkpoints of any kind, layers by their class. So a name must be one that timm lists, an
argument one of those below, which change the network's shape and nothing else, and a layer one of a list.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from histoscribe.encoders._torchvision_guard import import_timm
from histoscribe.errors import ConfigError, WeightsError, listing, nearest

_NAME = re.compile(r"[A-Za-z0-9_]{1,100}(\.[A-Za-z0-9_]{1,100})?")

_ACTIVATIONS = (
    *("GELU", "GELUTanh", "QuickGELU", "SiLU", "Swish", "Mish", "ReLU", "ReLU6", "LeakyReLU", "PReLU", "ELU"),
    *("HardSwish", "Hardswish", "Sigmoid", "Tanh"),
)
_NORMS = (
    *("LayerNorm", "LayerNorm2d", "LayerNormFp32", "RmsNorm", "RmsNorm2d", "RMSNorm", "SimpleNorm", "SimpleNorm2d"),
    *("BatchNorm2d", "BatchNormAct2d", "GroupNorm", "GroupNorm1", "GroupNormAct", "LayerNormAct2d"),
)
_MLPS = ("Mlp", "GluMlp", "GatedMlp", "SwiGLU", "SwiGLUPacked", "ConvMlp", "GlobalResponseNormMlp")

# a network may have weights of its own beside the file's (relative places, masks), but not many times as many
_TIMES, _SPARE = 4, 64_000_000
# what timm and torch raise where arguments fit neither the network nor each other
_DO_NOT_FIT = (RuntimeError, TypeError, AttributeError, ValueError, LookupError, AssertionError, ArithmeticError)


@dataclass(frozen=True, slots=True)
class Rule:
    """What an argument may be: in words, and as a test."""

    words: str
    fits: Callable[[Any], bool]


def _whole(low: int, high: int, *, several: int = 1) -> Rule:
    """Whole numbers; as a list of up to `several` where a network takes one per stage or axis."""

    def fits(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return _or_several(f"a whole number from {low} to {high:,}", fits, several)


def _real(low: float, high: float) -> Rule:
    def fits(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high

    return Rule(f"a number from {low:g} to {high:g}", fits)


def _one_of(*names: str) -> Rule:
    return Rule(f"one of {', '.join(repr(name) for name in names)}", lambda value: value in names)


def _or_several(words: str, fits: Callable[[Any], bool], several: int) -> Rule:
    if several == 1:
        return Rule(words, fits)

    def all_fit(value: Any) -> bool:
        return fits(value) or (isinstance(value, list | tuple) and 0 < len(value) <= several and all(map(fits, value)))

    return Rule(f"{words}, or a list of up to {several}", all_fit)


_SWITCH = Rule("true or false", lambda value: isinstance(value, bool))
_SWITCHES = (
    *("qkv_bias", "qk_norm", "qkv_fused", "proj_bias", "scale_attn_norm", "scale_mlp_norm", "scale_mlp", "swiglu_mlp"),
    *("class_token", "no_embed_class", "pre_norm", "final_norm", "fc_norm", "use_fc_norm", "pool_include_prefix"),
    *("use_abs_pos_emb", "use_rot_pos_emb", "dynamic_img_size", "dynamic_img_pad", "strict_img_size"),
    *("always_partition", "conv_mlp", "conv_bias", "use_grn", "head_norm_first", "avg_down", "replace_stem_pool"),
    *("fix_stem", "head_bias", "head_norm"),
)
ARGUMENTS: Mapping[str, Rule] = {
    **dict.fromkeys(_SWITCHES, _SWITCH),
    "num_classes": _whole(0, 100_000),
    "img_size": _whole(16, 4096, several=2),
    "patch_size": _whole(2, 128, several=2),
    "window_size": _whole(1, 64, several=4),
    "global_pool": _one_of("", "token", "avg", "avgmax", "max", "map", "fast", "catavgmax"),
    "pos_embed": _one_of("", "none", "learn"),
    "pad_type": _one_of("", "same"),
    "stem_type": _one_of("", "patch", "overlap", "overlap_tiered", "deep", "deep_tiered"),
    "embed_dim": _whole(8, 8192, several=8),
    "depth": _whole(1, 128),
    "num_heads": _whole(1, 128, several=8),
    "head_dim": _whole(1, 1024),
    "mlp_ratio": _real(0.1, 16),
    "init_values": _real(0, 10),
    "ls_init_value": _real(0, 10),
    "norm_eps": _real(0, 1),
    "reg_tokens": _whole(0, 256),
    "num_reg_tokens": _whole(0, 256),
    "depths": _whole(1, 128, several=8),
    "layers": _whole(1, 128, several=8),
    "dims": _whole(1, 8192, several=8),
    "channels": _whole(1, 8192, several=8),
    "kernel_sizes": _whole(1, 63, several=8),
    "output_stride": _whole(8, 32),
    "cardinality": _whole(1, 512),
    "base_width": _whole(1, 1024),
    "stem_width": _whole(1, 1024),
    "stem_size": _whole(1, 1024),
    "num_features": _whole(0, 16384),
    "head_hidden_size": _whole(1, 16384),
    "act_layer": _one_of(*_ACTIVATIONS),
    "norm_layer": _one_of(*_NORMS),
    "embed_norm_layer": _one_of(*_NORMS),
    "mlp_layer": _one_of(*_MLPS),
}


def architecture_problems(model: str, arguments: Mapping[str, Any]) -> list[str]:
    """List all that is wrong with the name of a network and its arguments, without asking timm."""
    problems = []
    if model and not _NAME.fullmatch(model):
        problems.append(
            f'`model` must be a name that timm lists, such as "resnet50", not {shown(model)}: a place to load from, '
            "such as hf-hub: or a folder, is never followed"
        )
    unknown = [key for key in arguments if key not in ARGUMENTS]
    if unknown:
        problems.append(
            f"`model_args` may not hold {listing(map(shown, unknown))}, only what changes the network's shape: "
            + nearest(unknown[0], ARGUMENTS)
        )
    for key, rule in ARGUMENTS.items():
        if key in arguments and not rule.fits(arguments[key]):
            value = shown(arguments[key])
            missing = f"there is no layer {value}; " if key.endswith("_layer") else ""
            problems.append(f"{missing}`model_args.{key}` must be {rule.words}, not {value}")
    return problems


def shown(value: object) -> str:
    """Write a value for a message, however long it is."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = f"{type(value).__name__} of thousands of digits"
    return text if len(text) <= 80 else f"{text[:80]} ..."


def make_network(
    model: str,
    arguments: Mapping[str, Any],
    *,
    where: str,
    n_outputs: int = 0,
    n_numbers: int | None = None,
    weights: Callable[[], Mapping[str, Any]] | None = None,
) -> Any:
    """Make a network of timm.

    Parameters
    ----------
    model, arguments
        Its name, and what a card says beside `num_classes`.
    where
        For messages: what the network belongs to.
    n_outputs
        Length of its last layer; 0 for none.
    n_numbers
        How many numbers its weights have: a network of another size altogether is refused before it takes memory.
        None where there are none to compare with.
    weights
        Reads the weights, every one of which must fit; None leaves the random ones.

    Raises
    ------
    ConfigError
        A name that timm does not list, or arguments that are refused or that the network does not take.
    WeightsError
        Weights that do not fit the network.
    """
    given = _checked(model, arguments, where=where)
    size = _size(model, given, where=where, n_outputs=n_outputs)
    if n_numbers is not None and (size > _TIMES * n_numbers + _SPARE or n_numbers > _TIMES * size + _SPARE):
        raise WeightsError(
            "the weights do not fit the network: they are of another size altogether",
            where=where,
            expected=f"about {size:,} numbers",
            found=f"{n_numbers:,}",
            fix="correct `model` or [model_args] of the card",
        )
    if weights is None:
        return import_timm().create_model(model, pretrained=False, num_classes=n_outputs, **given)
    state = dict(weights())
    # timm's own loader renames what older files call otherwise. Given the file's own number of classes, it requires
    # every single weight. It is left no other place to load from.
    overlay = {"state_dict": state, "num_classes": n_outputs, "custom_load": False, "label_offset": 0}
    overlay |= {"source": "timm", "file": None, "url": "", "hf_hub_id": None}
    try:
        return import_timm().create_model(
            model, pretrained=True, num_classes=n_outputs, pretrained_cfg_overlay=overlay, **given
        )
    except _DO_NOT_FIT as error:
        raise WeightsError(
            "the weights do not fit the network",
            where=where,
            expected=f"weights of timm's {model} with {arguments or 'no further arguments'}, {n_outputs} classes",
            found=_shortened(str(error)),
            fix="correct `model` or [model_args] of the card; num_classes there is what the file's classifier has",
        ) from error


def _size(model: str, given: Mapping[str, Any], *, where: str, n_outputs: int) -> int:
    """Count a network's numbers from its shapes, which take no memory; raises ConfigError where there is none."""
    import torch

    try:
        with torch.device("meta"):
            sketch = import_timm().create_model(model, pretrained=False, num_classes=n_outputs, **given)
        return sum(part.numel() for part in (*sketch.parameters(), *sketch.buffers()))
    except _DO_NOT_FIT as error:
        raise ConfigError(
            f"timm does not take these [model_args]: {_shortened(str(error))}", where=where, found=dict(given)
        ) from error


def _checked(model: str, arguments: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Arguments as timm takes them, layers as their classes; raises ConfigError."""
    import torch

    problems = architecture_problems(model, arguments)
    if problems:
        raise ConfigError("; ".join(problems), where=where)
    timm = import_timm()
    known = timm.list_models(include_tags="." in model)
    if model not in known:
        raise ConfigError(f"timm knows no model {model!r}", where=where, fix=nearest(model, known))
    given = dict(arguments)
    for key, name in arguments.items():
        if key.endswith("_layer"):
            layer = getattr(timm.layers, name, None) or getattr(torch.nn, name, None)
            if layer is None:
                raise ConfigError(f"this version of timm has no layer {name!r}", where=f"{where}, model_args.{key}")
            given[key] = layer
    return given


def _shortened(text: str, limit: int = 600) -> str:
    """Bring a library's message to one line of bounded length."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[:limit] + " ..."
