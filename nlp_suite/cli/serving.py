"""The verbs of serving: a server, a question to one, and whether a stock one could serve a model."""

import json
from pathlib import Path
from typing import Annotated

import typer

from nlp_suite.cli.common import AsJson, console


def add_commands(app: typer.Typer) -> None:
    """Adds the verbs to the command line."""

    @app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
        short_help="Serve models over gRPC and REST as TensorFlow Serving does, with its flags.",
    )
    def serve(context: typer.Context) -> None:
        """Serve models over gRPC and REST as TensorFlow Serving does; takes the flags of tensorflow_model_server."""
        from nlp_suite.serving.engine import run

        run(context.args)

    @app.command()
    def query(
        host: Annotated[
            str, typer.Argument(metavar="HOST", help="HOST:PORT, http://… or grpc://…; https://… or grpcs://… for TLS.")
        ],
        texts: Annotated[
            list[str] | None,
            typer.Argument(metavar="[TEXT … | -]", help="Texts, or rows as JSON; - reads standard input."),
        ] = None,
        input: Annotated[Path | None, typer.Option(help="File with a text or a row a line.")] = None,
        model: Annotated[str, typer.Option(help="Name of the model.")] = "default",
        grpc: Annotated[bool, typer.Option("--grpc", help="Ask over gRPC; default REST.")] = False,
        signature: Annotated[str, typer.Option(help="Signature to ask.")] = "serving_default",
        version: Annotated[int | None, typer.Option(help="Version; default the newest.")] = None,
        label: Annotated[str | None, typer.Option(help="Version label instead of a number.")] = None,
        timeout: Annotated[float, typer.Option(help="Seconds for each request of at most 32 texts.")] = 30.0,
        ca: Annotated[Path | None, typer.Option(help="TLS: PEM file with the authorities to trust.")] = None,
        cert: Annotated[Path | None, typer.Option(help="TLS: PEM file with a client certificate to show.")] = None,
        key: Annotated[Path | None, typer.Option(help="TLS: PEM file with its key; default: in --cert.")] = None,
        as_json: AsJson = False,
    ) -> None:
        """Ask a server, stock or built-in, about texts, or about rows of other inputs such as numbers."""
        from nlp_suite.serving.client.asking import answers
        from nlp_suite.tasks.shared.lines import read_texts

        for lines in answers(
            host,
            model,
            read_texts(texts, input),
            grpc=grpc,
            signature=signature,
            as_json=as_json,
            version=version,
            label=label,
            timeout=timeout,
            ca=ca,
            cert=cert,
            key=key,
        ):
            print(lines, flush=True)

    @app.command()
    def doctor(
        model: Annotated[Path, typer.Argument(metavar="SAVED_MODEL", help="Exported version, or its model's folder.")],
        server_version: Annotated[str, typer.Option(help="Version of TensorFlow Serving.")] = "2.19",
        cost: Annotated[bool, typer.Option("--cost", help="Load it, and measure what a row costs.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Say whether a stock TensorFlow Serving will serve a SavedModel; exit code 1 if not."""
        from nlp_suite.native_output import suppress_native_log
        from nlp_suite.serving.doctor import examine, format_report

        with suppress_native_log():
            report = examine(model, server_version, measure_cost=cost)
        if as_json:
            print(json.dumps(report.as_dict()))
        else:
            console().print(format_report(report))
        raise typer.Exit(0 if report.ok else 1)
