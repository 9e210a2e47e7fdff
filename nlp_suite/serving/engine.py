"""Which server serves: a stock `tensorflow_model_server` where there is one, or this package's own endpoint."""

import os
import shutil

from nlp_suite.serving.flags import Options, help_text, parse_flags
from nlp_suite.serving.status import Code, ServingError

BINARY = "tensorflow_model_server"
_OWN = {"engine", "host", "rest_api_max_body_bytes", "grpc_max_message_bytes", "drain_seconds", "page"}


def run(arguments: list[str]) -> None:
    """What `nlp-suite serve` does with its arguments; returns when the server has ended.

    Raises:
        ServingError: flags that cannot be, or a server that cannot start.
    """
    if {"--help", "-h"} & set(arguments):
        print("Usage: nlp-suite serve --model_name=NAME --model_base_path=DIR --rest_api_port=8501\n")
        print("Flags, named as those of tensorflow_model_server:\n" + help_text())
        return
    engine, rest = _engine(arguments)
    binary = shutil.which(BINARY)
    if engine == BINARY and binary is None:
        raise ServingError(Code.NOT_FOUND, f"--engine={BINARY}: there is no {BINARY} on PATH")
    if engine == BINARY or (engine == "auto" and binary):
        own = [a for a in rest if a.lstrip("-").partition("=")[0] in _OWN]
        if own:
            raise ServingError(
                Code.INVALID_ARGUMENT, f"{', '.join(own)}: only the built-in endpoint has that; add --engine=builtin"
            )
        os.execv(binary, [binary, *rest])
    options = parse_flags(rest)
    if options.version:
        from nlp_suite import __version__

        print(f"nlp_suite {__version__}, the built-in endpoint")
        return
    _serve(options)


def _engine(arguments):
    """The engine asked for, and the arguments without it."""
    engine, rest, waiting = "auto", [], list(arguments)
    while waiting:
        argument = waiting.pop(0)
        name, equals, value = argument.lstrip("-").partition("=")
        if name != "engine" or not argument.startswith("-"):
            rest.append(argument)
        elif equals or waiting:
            engine = value if equals else waiting.pop(0)
        else:
            engine = ""
    if engine not in ("auto", "builtin", BINARY):
        raise ServingError(Code.INVALID_ARGUMENT, f"--engine={engine}: allowed are auto, builtin, {BINARY}")
    return engine, rest


def _serve(options: Options):
    from nlp_suite.serving.server import serve

    serve(options)
