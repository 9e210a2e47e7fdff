"""A folder with a file for every part of a network, the files for clients, and the model card."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nlp_suite.export.client_folder import write_client_folder
from nlp_suite.export.model_card import model_card, write_card
from nlp_suite.export.parts import Part, Tensors, parts_of
from nlp_suite.export.samples import check_texts
from nlp_suite.export.staging import place_new_folder, staging
from nlp_suite.training.run import Run

Cases = list[tuple[Tensors, Tensors]]


def write_part_folder(
    run: Run,
    to: Path,
    suffix: str,
    write: Callable[[Any, Part, Any, Path], tuple[Part, Cases]],
    check: Callable[[Mapping[Path, Cases]], dict[str, Any]],
) -> tuple[dict[str, Part], dict[str, Cases], dict[str, Any]]:
    """Writes and checks all parts of a run's network beside the folder, and puts them in its place.

    Args:
        run: whose network it is.
        to: a folder that is not there, or empty.
        suffix: of the files.
        write: network, part, what `Task.check_inputs` gave, file → the part as the file holds it, and what it must answer.
        check: file → what it must answer → what becomes of the report; it may replace the files.

    Returns:
        Name of a file → its part, name → its cases, and the report with the files' sizes.
    """
    network, to = run.model(), to.resolve()
    given = run.task.check_inputs(run, check_texts(run))
    with staging(to.parent) as folder:
        written = folder / "written"
        written.mkdir()
        parts: dict[str, Part] = {}
        cases: dict[Path, Cases] = {}
        for part in parts_of(run, network):
            file = written / f"{part.name or 'model'}{suffix}"
            parts[file.name], cases[file] = write(network, part, given, file)
        report = check(cases)
        write_client_folder(written, run, parts)
        write_card(written, model_card(run, network, to.name))
        sizes = {file.name: file.stat().st_size for file in cases}
        place_new_folder(written, to)
    return (
        parts,
        {file.name: of for file, of in cases.items()},
        {**report, "bytes": sum(sizes.values()), "files": sizes},
    )
