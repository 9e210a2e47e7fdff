"""Pretrained models that lie on Hugging Face or Kaggle, where there is a network."""

import os
import socket
from pathlib import Path

from nlp_suite.errors import ConfigError

HOSTS = {"hf": "huggingface.co", "kaggle": "www.kaggle.com"}
SECONDS = 5.0  # that a host has to answer in
PATTERNS = ["*.json", "*.txt", "*.model", "*.safetensors", "*.h5", "README.md", "assets/*"]  # no pickled weights


def downloaded(address: str, local_forms: str) -> Path:
    """The folder of a model of the network, in the cache of the package that fetches it.

    Args:
        address: `hf://OWNER/MODEL`, `kaggle://OWNER/MODEL/keras/VARIATION`, or the name of a preset of KerasHub.
        local_forms: what can be given without a network, for messages.

    Raises:
        ConfigError: no such address, or it cannot be reached; within seconds where there is no network.
    """
    scheme, is_address, handle = address.partition("://")
    if not is_address:
        scheme, handle = "kaggle", address
    if scheme not in HOSTS:
        raise ConfigError(
            f"{address}: addresses begin with {' or '.join(f'{name}://' for name in HOSTS)}; or give {local_forms}"
        )
    _check_network(address, HOSTS[scheme], local_forms)
    try:
        if scheme == "hf":
            import huggingface_hub

            return Path(huggingface_hub.snapshot_download(handle, allow_patterns=PATTERNS))
        import kagglehub

        return Path(kagglehub.model_download(handle if is_address else _preset_handle(address, local_forms)))
    except ImportError as error:
        raise ConfigError(f"{address}: the package {error.name}, which fetches it, is missing: install it") from None
    except ConfigError:
        raise
    except Exception as error:  # of many kinds: not found, not allowed, interrupted, malformed
        raise ConfigError(f"{address} cannot be fetched: {error}; or give {local_forms}") from error


def _check_network(address: str, host: str, local_forms: str) -> None:
    if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"):
        return  # the host itself need not be in reach
    try:
        socket.create_connection((host, 443), timeout=SECONDS).close()
    except OSError as error:
        raise ConfigError(
            f"{address} is no folder here, and {host} cannot be reached ({error.strerror or error}): without a network give {local_forms}"
        ) from None


def _preset_handle(name: str, local_forms: str) -> str:
    """Where KerasHub keeps the preset of a name."""
    import keras_hub

    presets = keras_hub.models.Backbone.presets
    if name not in presets:
        raise ConfigError(f"{name!r} is neither a folder here nor a preset of KerasHub: give {local_forms}")
    return str(presets[name]["kaggle_handle"]).removeprefix("kaggle://")
