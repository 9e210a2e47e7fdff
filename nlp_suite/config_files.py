"""Config files by path, and the shipped ones by name."""

import difflib
import re
from pathlib import Path

from nlp_suite.errors import ConfigError

SHIPPED = Path(__file__).with_name("configs")  # in the repository a link to the folder beside this package


def shipped_configs() -> dict[str, Path]:
    """Name → file of every config that comes with the package.

    Example:
        >>> shipped_configs()["sentiment_sample"].name
        'sentiment_sample.yaml'
    """
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def shipped_help() -> dict[str, str]:
    """Name → what a shipped config is, as the comment at its head begins."""
    return {name: _opening(path.read_text("utf-8")) for name, path in shipped_configs().items()}


def find_config(given: str | Path) -> Path:
    """The file that is meant: an existing path, or the name of a shipped config.

    Raises:
        ConfigError: there is neither.
    """
    path, shipped = Path(given), shipped_configs()
    if path.is_file():
        return path
    if str(given) in shipped:
        return shipped[str(given)]
    near = [path.stem] if path.stem in shipped else difflib.get_close_matches(path.stem, shipped, n=1, cutoff=0.7)
    what = "is no file" if path.exists() else "does not exist"
    hint = f": did you mean the shipped config {near[0]!r}?" if near else ""
    raise ConfigError(f"config file {str(path)!r} {what}{hint} (by name there are: nlp-suite list configs)")


def _opening(text: str) -> str:
    """The first paragraph of the comment at the head of a file, in one line."""
    comment = re.match(r"(?:# .*\n)*", text)[0]  # type: ignore[index]  # it matches an empty text, too
    return re.sub(r"^# ", "", comment, flags=re.MULTILINE).replace("\n", " ").strip()
