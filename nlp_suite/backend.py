"""Importing Keras and its backend: quietly, and only where what the user set for them can be used."""

import gc
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nlp_suite.errors import UsageError
from nlp_suite.native_output import suppress_native_log
from nlp_suite.registry import is_installed

BACKENDS = ("tensorflow", "jax", "torch")
UNUSED = ("jax", "matplotlib", "pandas", "sklearn")
"""Keras and TensorFlow import these where they are installed, for features that nothing here uses."""
SELDOM = (50_000, 10, 10)
"""Allocations until Python searches for unreachable objects: with its 700 that takes an eighth of the time of making graphs."""
_own_process = False


def chosen_backend() -> str:
    """The backend that Keras uses, or will use once it is imported.

    Raises:
        UsageError: a backend that there is not, or that is not installed; a file of settings that Keras cannot use.
    """
    home = os.path.expanduser("~")
    home = home if os.access(home, os.W_OK) else "/tmp"  # as Keras decides
    path = Path(os.environ.get("KERAS_HOME") or f"{home}/.keras", "keras.json").expanduser()
    in_file = _keras_settings(path).get("backend", "tensorflow")
    chosen = os.environ.get("KERAS_BACKEND")
    backend, where = (chosen, f"KERAS_BACKEND={chosen!r}") if chosen else (in_file, f"{path}: the backend {in_file!r}")
    if backend not in BACKENDS or not is_installed(backend):
        what = "is not installed" if backend in BACKENDS else "is no backend"
        raise UsageError(f"{where} {what} (allowed: {', '.join(BACKENDS)})")
    return str(backend)


def import_backend() -> None:
    """Imports Keras and its backend without the lines that TensorFlow prints whatever its log level.

    Raises:
        UsageError: see `chosen_backend`.
    """
    chosen = chosen_backend()
    if _own_process:
        gc.set_threshold(*SELDOM)
    with suppress_native_log(), kept_out(*(set(UNUSED) - {chosen} if _own_process else ())):
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow  # noqa: F401


def own_process() -> None:
    """Says that this process does nothing but this package's work, as the command line and what it starts do.

    Keras then comes without what it would import for features that are not used: a second and up to 250 MiB.
    """
    global _own_process
    _own_process = True


@contextmanager
def kept_out(*packages: str) -> Iterator[None]:
    """Within the context packages that are not imported yet cannot be."""
    absent = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: there is no such package
    try:
        yield
    finally:
        for name in absent:
            if sys.modules[name] is None:
                del sys.modules[name]


@contextmanager
def let_in() -> Iterator[None]:
    """Within the context, which may be in one of `kept_out`, packages can be imported again: by what is no part of Keras."""
    out = [name for name in UNUSED if name in sys.modules and sys.modules[name] is None]
    for name in out:
        del sys.modules[name]
    try:
        yield
    finally:
        for name in out:
            sys.modules.setdefault(name, None)  # type: ignore[arg-type]


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Within the context new layers have this dtype policy of Keras, such as `"float32"`."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _keras_settings(path: Path) -> dict[str, object]:
    """What the file of settings holds that Keras reads when it is imported; nothing where there is none."""
    try:
        settings = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):  # Keras goes on without it, too
        return {}
    if not isinstance(settings, dict):
        raise UsageError(
            f"{path}: settings of Keras are a mapping, not {type(settings).__name__}; mend or remove the file"
        )
    allowed = {
        "floatx": ("float16", "float32", "float64"),
        "image_data_format": ("channels_last", "channels_first"),
    }
    for key, choices in allowed.items():
        if key in settings and settings[key] not in choices:
            raise UsageError(f"{path}: {key} {settings[key]!r} is not allowed (allowed: {', '.join(choices)})")
    if not isinstance(settings.get("epsilon", 1e-7), float):
        raise UsageError(f"{path}: epsilon {settings['epsilon']!r} must be a number with a decimal point")
    return settings
