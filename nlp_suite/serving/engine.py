"""Which server serves: a stock `tensorflow_model_server` where there is one, or this package's endpoint."""

import os
import shutil

from nlp_suite.serving.flags import BOOLEANS, FLAGS, help_text, parse_flags, read_flags
from nlp_suite.serving.status import Code, ServingError, invalid_argument

BINARY = "tensorflow_model_server"
_ENGINES = ("auto", "builtin", BINARY)


def run(arguments: list[str]) -> None:
    """What `nlp-suite serve` does with its arguments; returns when the server has ended.

    Raises:
        ServingError: impossible flags, or a server that cannot start.
    """
    if {"--help", "-h"} & set(arguments):
        print("Usage: nlp-suite serve --model_name=NAME --model_base_path=DIR --rest_api_port=8501\n")
        print("Flags, named as those of tensorflow_model_server:\n" + help_text())
        return
    engine = "auto"
    for _, name, value in read_flags(arguments):
        engine = value or "" if name == "engine" else engine
    if engine not in _ENGINES:
        raise invalid_argument(f"--engine={engine}: allowed are {', '.join(_ENGINES)}")
    binary = shutil.which(BINARY)
    if engine == BINARY and binary is None:
        raise ServingError(Code.NOT_FOUND, f"--engine={BINARY}: there is no {BINARY} on PATH")
    if binary and engine != "builtin":
        os.execv(binary, [binary, *_stock_flags(arguments)])
    options = parse_flags(arguments)
    if options.version:
        from nlp_suite._version import __version__

        print(f"nlp_suite {__version__}, the built-in endpoint")
        return
    from nlp_suite.serving.server import serve

    serve(options)


def _stock_flags(arguments: list[str]) -> list[str]:
    """The arguments as the stock server reads them, which is `--name=value` only; unknown ones stay as they are.

    Raises:
        ServingError: flags that only the built-in endpoint has.
    """
    flags, refused = [], []
    for written, name, value in read_flags(arguments):
        if name not in FLAGS or value is None:
            flags.append(written)
        elif FLAGS[name].builtin_only:
            refused += [f"--{name}={value}"] if name != "engine" else []
        else:
            truth = BOOLEANS.get(value.lower()) if FLAGS[name].type is bool else None
            flags.append(f"--{name}={value if truth is None else str(truth).lower()}")
    if refused:
        raise invalid_argument(f"{', '.join(refused)}: only the built-in endpoint has that; add --engine=builtin")
    return flags
