"""What the shell offers at the tab key: names and folders that are found without an import of anything heavy."""

import glob
from pathlib import Path

from nlp_suite.config_files import shipped_configs
from nlp_suite.registry import EXPORTERS


def configs(incomplete: str) -> list[str]:
    """Names of the shipped configs, and YAML files."""
    files = glob.glob(f"{glob.escape(incomplete)}*.y*ml")
    return _beginning(incomplete, [*shipped_configs(), *files])


def runs(incomplete: str) -> list[str]:
    """Run folders: in `runs`, where they go by default, and beside or below what is typed already."""
    typed = glob.escape(incomplete)
    found = [
        Path(path) for pattern in ("runs/*", f"{typed}*", f"{typed}*/*") for path in glob.glob(f"{pattern}/run.json")
    ]
    return _beginning(incomplete, [str(path.parent) for path in found])


def export_formats(incomplete: str) -> list[str]:
    """Names of the export formats."""
    return _beginning(incomplete, EXPORTERS.names())


def _beginning(incomplete: str, names: list[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})
