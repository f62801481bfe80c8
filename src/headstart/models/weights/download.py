"""Weights fetched through timm's and torchvision's own channels, into their own caches, checked by hash."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from headstart.errors import WeightsAbsent, WeightsError, first_line
from headstart.progress import say


def cached_timm(cfg: dict[str, Any]) -> Path | None:
    """Return the local file of one of timm's pretrained configurations if it is cached, without asking any network."""
    if not cfg.get("hf_hub_id"):
        return cached_url(str(cfg["url"])) if cfg.get("url") else None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(str(cfg["hf_hub_id"]), _file_of(cfg))
    return Path(found) if isinstance(found, str) else None


def cached_url(url: str) -> Path | None:
    """Return the copy of a file in torch's hub folder, if there is one."""
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    return path if path.is_file() else None


def _file_of(cfg: dict[str, Any]) -> str:
    return str(cfg.get("hf_hub_filename") or "model.safetensors")


def fetch_timm(cfg: dict[str, Any], *, download: bool = True) -> Path:
    """Return the local file of one of timm's pretrained configurations, downloaded if it is not cached (and allowed).

    Raises:
        WeightsAbsent: it cannot be downloaded; the message names the file and how to give it by hand.
    """
    if not cfg.get("hf_hub_id"):
        if not cfg.get("url"):
            raise WeightsError(f"timm has no weights for {cfg['architecture']}; give a local file")
        return fetch_url(str(cfg["url"]), download=download)
    from huggingface_hub import hf_hub_download, hf_hub_url

    repo, file = str(cfg["hf_hub_id"]), _file_of(cfg)
    try:
        return Path(hf_hub_download(repo, file, local_files_only=True))
    except OSError:  # not in the cache yet
        url = str(hf_hub_url(repo, file))
    if not download:
        raise _not_here(url)
    say(f"downloading {url}")
    try:
        ask = urllib.request.Request(url, method="HEAD")  # the hub's client keeps retrying for half a minute
        urllib.request.urlopen(ask, timeout=20).close()
        return Path(hf_hub_download(repo, file))
    except Exception as error:  # the hub's client raises its own errors and those of its HTTP library
        raise _absent(url, error) from error


def fetch_url(url: str, *, download: bool = True) -> Path:
    """Return the local copy of a file, downloaded into torch's hub folder if it is not there (and allowed).

    Raises:
        WeightsAbsent: it cannot be downloaded, or arrives altered.
    """
    import torch

    name = url.rpartition("/")[2]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if path.is_file():
        return path
    if not download:
        raise _not_here(url)
    say(f"downloading {url}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=hash_in(name), progress=False)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise _absent(url, error) from error
    return path


def hash_in(name: str) -> str | None:
    """Return the beginning of the sha256 that a published file's name ends with; None if it has none."""
    found = re.search(r"-([0-9a-f]{8,})\.", name)
    return found[1] if found else None


def _absent(url: str, error: Exception) -> WeightsAbsent:
    return WeightsAbsent(
        f"the weights cannot be downloaded ({first_line(error).rstrip('.')}); fetch {url} on another machine and give"
        " the file's path as the weights"
    )


def _not_here(url: str) -> WeightsAbsent:
    return WeightsAbsent(
        f"the weights {url} are not here, and a model file alone is no reason to download them; fetch them as the"
        " weights of a study, or set HEADSTART_TRUST_MODELS=1 if you trust the model"
    )
