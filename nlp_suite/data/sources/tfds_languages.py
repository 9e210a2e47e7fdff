"""Which features of a TFDS data set are a sentence and its translation."""

from typing import Any

from nlp_suite.errors import DataError
from nlp_suite.registry import unknown

FeaturePath = tuple[str, ...]  # its name, after those of the features that hold it


def text_paths(features: Any) -> list[FeaturePath]:
    """Features that are one string, within others too, such as those of a `Translation`."""
    import numpy as np

    paths: list[FeaturePath] = []
    for name, feature in features.items():
        if hasattr(feature, "items"):
            paths += [(name, *path) for path in text_paths(feature)]
        elif getattr(feature, "shape", None) == () and any(
            np.issubdtype(feature.np_dtype, kind) for kind in (np.object_, np.str_, np.bytes_)
        ):
            paths.append((name,))
    return paths


def language_pair(
    where: str, features: Any, supervised: Any, source: str | None, target: str | None
) -> tuple[FeaturePath, FeaturePath]:
    """Paths of the features that are source and target.

    Args:
        where: the data set, for messages.
        features: of the data set.
        supervised: its supervised keys, or `None`.
        source: name of a feature, or with those that hold it `translation/en`; default: the first supervised key, or the
            one that `target` is not; of a data set with two texts only, the one that `target` is not.
        target: likewise, the second supervised key by default.

    Raises:
        DataError: a feature that is not there or no text, a name that two have, or nothing to go by.
    """
    paths = sorted(text_paths(features))
    ends = [path[-1] for path in paths]
    named = {"/".join(path): path for path in paths}
    named |= {path[-1]: path for path in paths if ends.count(path[-1]) == 1 and path[-1] not in named}
    shortest = [path[-1] if named.get(path[-1]) == path else "/".join(path) for path in paths]
    default = list(dict.fromkeys(key for key in supervised or () if isinstance(key, str) and key in named))
    if len(default) != 2:
        default = shortest if len(shortest) == 2 and (source or target) else []
    for setting, name in (("source_language", source), ("target_language", target)):
        if name is not None and name not in named:
            raise DataError(f"{where}: {setting}: {unknown('language', name, shortest)}")
    if source is None or target is None:
        chosen = named.get(source or target or "")
        rest = [key for key in default if chosen is None or named[key] != chosen]
        if len(rest) != (2 if chosen is None else 1):
            raise DataError(
                f"{where}: set source_language and target_language to two of: {', '.join(shortest) or 'none is a text'}"
            )
        source, target = source or rest[0], target or rest[-1]
    if named[source] == named[target]:
        raise DataError(f"{where}: source_language and target_language are the same: {source!r}")
    return named[source], named[target]
