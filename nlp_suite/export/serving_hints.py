"""What an export tells a server beside its graph: `assets.extra/serving.json`, which a stock server ignores."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from nlp_suite.errors import ExportError

FILE = "assets.extra/serving.json"


@dataclass(frozen=True)
class ServingHints:
    """What cannot be read off the signatures.

    Attributes:
        compiled: signature → the signature that gives the same answers, compiled by XLA.
        page_form: form of the endpoint's page that asks this model; empty where none is stated.
        independent_rows: whether the answer to a row is the same whatever rows stand beside it, so that a server may
            run requests together.
        columns: input → names of the places of its last dimension, for the page.
    """

    compiled: Mapping[str, str] = field(default_factory=dict)
    page_form: str = ""
    independent_rows: bool = False
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def write(self, directory: Path) -> None:
        """Writes the file into a version folder."""
        path = directory / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1), "utf-8")


def read_hints(directory: Path) -> ServingHints | None:
    """The hints in a version folder, or None where it has none.

    Raises:
        ExportError: a file that holds something else.
    """
    path = directory / FILE
    try:
        values = json.loads(path.read_text("utf-8"))
        compiled = {str(name): str(form) for name, form in values.get("compiled", {}).items()}
        columns = {str(name): [str(each) for each in names] for name, names in values.get("columns", {}).items()}
        return ServingHints(compiled, str(values.get("page_form", "")), values.get("independent_rows") is True, columns)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        raise ExportError(f"{str(path)!r} cannot be read: {error}") from error
