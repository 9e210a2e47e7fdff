"""The verbs of translation on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from nlp_suite.registry import VERBS


@VERBS.register()
def translate(
    model: Annotated[Path, typer.Argument(metavar="RUN_OR_SAVED_MODEL", help="Run folder or export.")],
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT … | -]", help="Texts; - or nothing reads standard input.")
    ] = None,
    input: Annotated[
        Path | None, typer.Option(help="A table, read by the run's own columns, or a file with a text a line.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File to write; default: standard output. For a table .csv, .tsv, .jsonl or .parquet, with all its columns."
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of texts in the table, or its number from 0.")
    ] = None,
    beam_size: Annotated[int | None, typer.Option(help="Hypotheses of the search; 1 is greedy.")] = None,
    n_best: Annotated[int, typer.Option(help="Translations a text, at most the beam size.")] = 1,
    length_penalty: Annotated[float | None, typer.Option(help="Above 0 prefers longer translations.")] = None,
    coverage_penalty: Annotated[
        float | None, typer.Option(help="Above 0 prefers all of the source translated.")
    ] = None,
    no_repeat_ngram: Annotated[int | None, typer.Option(help="N-grams of this length occur at most once.")] = None,
    min_length: Annotated[
        int | None, typer.Option(help="Tokens of a translation at least, however short the text is.")
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens of a translation at most.")] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Draw a translation instead of searching for the best.")
    ] = False,
    temperature: Annotated[float | None, typer.Option(help="Of sampling; default 1.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Sample from the K most probable tokens.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Sample from the fewest tokens that reach this probability.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same translation.")] = None,
    ensemble: Annotated[
        list[Path] | None, typer.Option(help="Another run to translate together with; may be given several times.")
    ] = None,
    attention: Annotated[
        Path | None,
        typer.Option(help="Write a page with the attention of every translation; jsonl then has the weights too."),
    ] = None,
    format: Annotated[str, typer.Option(help="text, tsv or jsonl.")] = "text",
) -> None:
    """Translate texts with a run, several runs or a SavedModel; what is not given is as in the run's config."""
    from nlp_suite.tasks.shared.lines import requested_table
    from nlp_suite.tasks.shared.score_output import report_remarks
    from nlp_suite.tasks.translation.output import check_request, open_translation, write_translations
    from nlp_suite.tasks.translation.table import check_table_request, translate_table

    options = {
        "beam_size": beam_size,
        "n_best": n_best,
        "length_penalty": length_penalty,
        "coverage_penalty": coverage_penalty,
        "no_repeat_ngram": no_repeat_ngram,
        "min_length": min_length,
        "max_length": max_length,
        "temperature": 1.0 if sample and temperature is None else temperature,
        "top_k": top_k,
        "top_p": top_p,
        "seed": seed,
    }
    options = {name: value for name, value in options.items() if value is not None}
    if table := requested_table(texts, input, text):
        written = check_table_request(table, output, format, attention)
        opened = open_translation([model, *(ensemble or [])])
        print(translate_table(opened, table, written, text, **options).describe())
        report_remarks(opened)
        return
    check_request(texts, input, output, format, attention)
    opened = open_translation([model, *(ensemble or [])])
    write_translations(opened, texts, input, output, format, attention, **options)
