"""Which versions of a model should be served: the numbered folders that are there, and the policy that picks."""

import logging
import re
from pathlib import Path

logger = logging.getLogger(__name__)
LARGEST = 2**63 - 1


def found_versions(base_path: str | Path) -> dict[int, Path]:
    """Children of `base_path` whose whole name is a version number, smallest first; nothing where there is no folder.

    Leading zeros count as nothing; of several spellings of one number one is taken, with a warning.
    """
    base_path = Path(base_path)
    try:
        names = sorted(child.name for child in base_path.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found: dict[int, Path] = {}
    for name in names:
        if not re.fullmatch(r"[0-9]{1,40}", name) or int(name) > LARGEST:
            continue
        if int(name) in found:
            logger.warning("%s: duplicate version directories, %s is ignored", base_path, name)
            continue
        found[int(name)] = base_path / name
    return dict(sorted(found.items()))


def aspired_versions(base_path: str | Path, policy) -> dict[int, Path]:
    """The versions that a policy wants served, of those that are there.

    Args:
        base_path: the model's folder.
        policy: `ServableVersionPolicy`: `latest {num_versions}` (1 where nothing is said), `all {}` or
            `specific {versions}`.

    Returns:
        version → its folder.

    Example:
        >>> aspired_versions("saved_models/sentiment", policy)    # latest { num_versions: 2 }
        {3: PosixPath('saved_models/sentiment/3'), 4: PosixPath('saved_models/sentiment/4')}
    """
    found = found_versions(base_path)
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return found
    if kind == "specific":
        wanted = set(policy.specific.versions)
        for version in sorted(wanted - set(found)):
            logger.warning("%s: version %d was requested but is not there", base_path, version)
        return {version: path for version, path in found.items() if version in wanted}
    number = policy.latest.num_versions if kind == "latest" else 0
    latest = sorted(found)[-(number or 1) :]
    return {version: found[version] for version in latest}
