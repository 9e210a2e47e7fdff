"""Which versions of a model should be served: the numbered folders that exist, and the policy that picks among them."""

import logging
import re
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)
MAX_VERSION = 2**63 - 1


def version_folders(base_path: str | Path) -> dict[int, Path]:
    """Children of `base_path` whose whole name is a version number, smallest first.

    Leading zeros are ignored; of several spellings of one number one is taken, with a warning.

    Raises:
        OSError, ValueError: there is no folder that can be read, which is not the same as one without versions.
    """
    base_path = Path(base_path)
    names = sorted(child.name for child in base_path.iterdir())
    folders: dict[int, Path] = {}
    for name in names:
        if not re.fullmatch(r"[0-9]{1,40}", name) or int(name) > MAX_VERSION:
            continue
        if int(name) in folders:
            logger.warning("%s: duplicate version directories, %s is ignored", base_path, name)
            continue
        folders[int(name)] = base_path / name
    return dict(sorted(folders.items()))


def desired_versions(base_path: str | Path, policy: Any) -> dict[int, Path]:
    """The versions that a policy wants served, of those that exist.

    Args:
        base_path: the model's folder.
        policy: `ServableVersionPolicy`: `latest {num_versions}` (1 by default), `all {}` or `specific {versions}`.

    Returns:
        version → its folder.

    Raises:
        OSError, ValueError: the folder cannot be read.

    Example:
        >>> desired_versions("saved_models/sentiment", policy)    # latest { num_versions: 2 }
        {3: PosixPath('saved_models/sentiment/3'), 4: PosixPath('saved_models/sentiment/4')}
    """
    folders = version_folders(base_path)
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return folders
    if kind == "specific":
        requested = set(policy.specific.versions)
        for version in sorted(requested - set(folders)):
            logger.warning("%s: version %d was requested but does not exist", base_path, version)
        return {version: path for version, path in folders.items() if version in requested}
    number = policy.latest.num_versions if kind == "latest" else 0
    return {version: folders[version] for version in sorted(folders)[-(number or 1) :]}
