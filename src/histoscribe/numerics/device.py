"""Where a network computes: one rule for encoders, heads and domain methods."""

from histoscribe.errors import ConfigError

DEVICES = ("auto", "cpu", "cuda", "mps")


def device_in_use(name: str, *, where: str) -> str:
    """Return the device that a name means on this machine.

    Parameters
    ----------
    name
        "auto": a graphics card where there is one (CUDA before MPS), else the processor; or a device by name, as torch
        has it, such as "cpu" or "cuda:1".
    where
        For messages: what computes.

    Raises
    ------
    ConfigError
        A device that is not here.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device, is_there in there.items() if is_there)
    if not there.get(name.partition(":")[0], False):
        have = ", ".join(device for device, is_there in there.items() if is_there)
        raise ConfigError(f"there is no device {name!r} here", where=where, fix=f"use one of: {have}, auto")
    return name
