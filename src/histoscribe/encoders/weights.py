"""Where an encoder's weights are: a local file, the hub's cache, the hub, or a plain URL; checked by hash.

Only safetensors and ONNX files are ever opened: neither can run foreign code. Weights are never replaced by others:
where they are not available, a WeightsError says how to get them.
"""

import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from histoscribe.encoders.base import Availability
from histoscribe.encoders.card import Card
from histoscribe.errors import ConfigError, WeightsError
from histoscribe.store.cache import cache_folder
from histoscribe.store.fetch import fetch
from histoscribe.store.files import sha256_file
from histoscribe.store.tensors import count_numbers, reading_tensors

HUB_FILE = "model.safetensors"

# first bytes of the files that torch.save writes: a zip archive, or a bare pickle
_PICKLES = (b"PK\x03\x04", b"\x80\x02")


def availability_of_weights(card: Card) -> Availability:
    """Say whether the weights of a card are on this machine; never uses the network."""
    if card.file is not None:
        there = card.file.is_file()
        return Availability(there, f"local file {card.file}" if there else f"there is no file {card.file}")
    if card.url:
        there = _fetched(card).is_file()
        return Availability(there, "fetched before" if there else f"would be fetched from {card.url}")
    if not card.hub:
        return Availability(False, "the card gives no weights: none of `hub`, `url`, `file`")
    if _in_hub_cache(card) is not None:
        return Availability(True, "in the hub's cache")
    terms = " after you have agreed to its terms there" if card.gated else ""
    return Availability(False, f"would be fetched from https://huggingface.co/{card.hub}{terms}")


def find_weights(card: Card) -> tuple[Path, str]:
    """File with the weights of a card, fetched where it is not here yet, and its sha256.

    Raises
    ------
    WeightsError
        Where they are not available, or are not the ones that the card names.
    """
    if card.file is not None:
        path = _local(card, card.file)
    elif card.url:
        path = _from_url(card)
    elif card.hub:
        path = _in_hub_cache(card) or _from_hub(card)
    else:
        raise ConfigError(
            "the card gives no weights", where=f"encoder {card.name}", expected="one of `hub`, `url`, `file`"
        )
    found = sha256_file(path)
    if card.sha256 and found != card.sha256:
        raise WeightsError(
            "these are not the weights that the card names: the file is damaged or another one",
            where=path,
            expected=f"sha256 {card.sha256}",
            found=f"sha256 {found}",
            fix="fetch the file again, or correct `sha256` in the card if you trust the file",
        )
    return path, found


def refuse_pickle(path: Path) -> None:
    """Refuse what torch.save wrote: reading it can run foreign code; raises WeightsError."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(_PICKLES):
        raise WeightsError(
            "this file is a pickle, which can run foreign code when it is read",
            where=path,
            expected="safetensors",
            fix="convert it to safetensors (safetensors.torch.save_file) where you trust it, and name that file",
        )


def count_weights(path: Path) -> int:
    """Count the numbers in a safetensors file from its header alone; raises WeightsError where there are none."""
    refuse_pickle(path)
    with reading_tensors(path, WeightsError, fix="fetch the file again"):
        found = count_numbers(path)
    if not found:
        raise WeightsError("this file holds no weights", where=path, fix="fetch the file again")
    return found


def read_weights(path: Path) -> dict[str, Any]:
    """Read a safetensors file as torch's tensors; raises WeightsError where it is damaged or another kind of file."""
    from safetensors.torch import load_file

    refuse_pickle(path)
    with reading_tensors(path, WeightsError, fix="fetch the file again"):
        state: dict[str, Any] = load_file(path)
    return state


def _way_out(card: Card) -> str:
    return (
        f'get the file where there is a network, write a card with `like = "{card.name}"` and `file = "..."` and give '
        "its path to --encoder; or choose --encoder morphology, which needs no weights"
    )


def _local(card: Card, path: Path) -> Path:
    if not path.is_file():
        raise WeightsError(
            "the weights' file is not there", where=f"encoder {card.name}", expected=path, fix="correct `file`"
        )
    return path


def _fetched(card: Card) -> Path:
    return cache_folder() / "weights" / f"{card.sha256[:16]}-{Path(urlsplit(card.url).path).name or 'weights'}"


def _from_url(card: Card) -> Path:
    where = f"encoder {card.name}"
    return fetch(card.url, sha256=card.sha256, target=_fetched(card), where=where, fix=_way_out(card))


def _in_hub_cache(card: Card) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(card.hub, HUB_FILE, revision=card.revision)
    return Path(found) if isinstance(found, str) else None


def _from_hub(card: Card) -> Path:
    from huggingface_hub import errors, hf_hub_download

    page = f"https://huggingface.co/{card.hub}"
    if _unknown_host(page):
        raise _hub_error(card, "the weights are not on this machine and the hub cannot be reached", page)
    try:
        return Path(hf_hub_download(card.hub, HUB_FILE, revision=card.revision))
    except errors.GatedRepoError as error:
        raise WeightsError(
            "the weights are given out only to those who agreed to their terms",
            where=f"encoder {card.name}",
            expected=f"access to {page} (licence: {card.licence})",
            fix=f"agree to the terms on that page and log in with `hf auth login`; or {_way_out(card)}",
        ) from error
    except errors.LocalEntryNotFoundError as error:
        message = "the weights are not on this machine and the hub cannot be reached"
        raise _hub_error(card, message, error) from error
    except errors.EntryNotFoundError as error:
        message = f"the hub holds no {HUB_FILE} of it (a pickle is not read)"
        raise _hub_error(card, message, error) from error
    except (OSError, errors.HFValidationError) as error:  # the hub's errors of access and revision are OSErrors
        raise _hub_error(card, "the weights cannot be fetched from the hub", error) from error


def _hub_error(card: Card, problem: str, found: Any) -> WeightsError:
    terms = f"; the terms on https://huggingface.co/{card.hub} must be agreed to first" if card.gated else ""
    return WeightsError(
        problem,
        where=f"encoder {card.name}",
        expected=f"{HUB_FILE} of {card.hub} at revision {card.revision}",
        found=str(found).splitlines()[0] if str(found) else None,
        fix=_way_out(card) + terms,
    )


def _unknown_host(page: str) -> bool:
    """Whether this machine is plainly offline, asked at once instead of through the hub client's slow retries."""
    if getproxies():
        return False
    try:
        socket.getaddrinfo(urlsplit(os.environ.get("HF_ENDPOINT", page)).hostname, 443)
    except OSError:
        return True
    return False
