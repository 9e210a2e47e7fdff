"""Which server serves: a stock `tensorflow_model_server` where there is one, or this package's own endpoint."""

import os
import shutil

from nlp_suite.serving.flags import BOOLEANS, FLAGS, Options, help_text, parse_flags, read_flags
from nlp_suite.serving.status import Code, ServingError

BINARY = "tensorflow_model_server"
_ENGINES = ("auto", "builtin", BINARY)


def run(arguments: list[str]) -> None:
    """What `nlp-suite serve` does with its arguments; returns when the server has ended.

    Raises:
        ServingError: flags that cannot be, or a server that cannot start.
    """
    if {"--help", "-h"} & set(arguments):
        print("Usage: nlp-suite serve --model_name=NAME --model_base_path=DIR --rest_api_port=8501\n")
        print("Flags, named as those of tensorflow_model_server:\n" + help_text())
        return
    engine = "auto"
    for _, name, value in read_flags(arguments):
        engine = value or "" if name == "engine" else engine
    if engine not in _ENGINES:
        raise ServingError(Code.INVALID_ARGUMENT, f"--engine={engine}: allowed are {', '.join(_ENGINES)}")
    binary = shutil.which(BINARY)
    if engine == BINARY and binary is None:
        raise ServingError(Code.NOT_FOUND, f"--engine={BINARY}: there is no {BINARY} on PATH")
    if engine == BINARY or (engine == "auto" and binary):
        os.execv(binary, [binary, *_stock_flags(arguments)])
    options = parse_flags(arguments)
    if options.version:
        from nlp_suite import __version__

        print(f"nlp_suite {__version__}, the built-in endpoint")
        return
    _serve(options)


def _stock_flags(arguments):
    """The arguments as the stock server reads them, which is `--name=value` only; what is unknown here stays as it is.

    Raises:
        ServingError: flags that only the built-in endpoint has.
    """
    flags, own = [], []
    for written, name, value in read_flags(arguments):
        if name not in FLAGS or value is None:
            flags.append(written)
        elif FLAGS[name].own:
            own.append(f"--{name}={value}")
        else:
            truth = BOOLEANS.get(value.lower()) if FLAGS[name].type is bool else None
            flags.append(f"--{name}={value if truth is None else str(truth).lower()}")
    own = [flag for flag in own if not flag.startswith("--engine=")]
    if own:
        raise ServingError(
            Code.INVALID_ARGUMENT, f"{', '.join(own)}: only the built-in endpoint has that; add --engine=builtin"
        )
    return flags


def _serve(options: Options):
    from nlp_suite.serving.server import serve

    serve(options)
