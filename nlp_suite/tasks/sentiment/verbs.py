"""The verbs of sentiment classification on the command line beside those of all tasks: vectors of texts, and ensembles."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from nlp_suite.registry import VERBS

LOGGER = logging.getLogger(__name__)


@VERBS.register()
def embed(
    model: Annotated[Path, typer.Argument(metavar="RUN_OR_EXPORT", help="Run folder, export or .keras file.")],
    output: Annotated[
        Path,
        typer.Option(help="File to write: .npy, the vectors as an array, or .parquet, with all columns of --input."),
    ],
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT … | -]", help="Texts; - reads standard input.")
    ] = None,
    input: Annotated[
        Path | None, typer.Option(help="A table, read by the run's own columns, or a file with a text a line.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of texts in the table, or its number from 0.")
    ] = None,
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Vectors of length 1, so that products are cosines.")
    ] = False,
) -> None:
    """Write a vector for every text: what the head of a classifier reads."""
    from nlp_suite.tasks.sentiment.embedding import embed_texts

    print(embed_texts(model, texts, input, output, column=text, normalize=normalize).describe())


@VERBS.register()
def ensemble(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN …", help="Run folders of classifiers.")],
    to: Annotated[Path, typer.Option(help="The new run folder, which stands alone.")],
    weights: Annotated[
        str, typer.Option(help="validation: of the least cross-entropy on the first run's validation split; or equal.")
    ] = "validation",
) -> None:
    """Make one run of several classifiers: the weighted mean of their calibrated probabilities."""
    from nlp_suite.progress import say
    from nlp_suite.tasks.sentiment.ensemble.making import ensemble

    made = ensemble(runs, to, weights=weights, progress=lambda line: say(line, LOGGER))  # type: ignore[arg-type]
    shares = ", ".join(f"{name} {weight:.3f}" for name, weight in made.experiment.task.members.items())
    print(f"{to}: an ensemble; weights: {shares}\nnext: nlp-suite evaluate {to}")
