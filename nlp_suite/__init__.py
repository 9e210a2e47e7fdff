"""Keras 3 pipelines for sentiment, language modelling and translation, exported as string-in, string-out SavedModels.

Importing this package imports neither TensorFlow nor Keras. Its classes register themselves with Keras as soon as Keras
is imported, before or after, so `keras.saving.load_model` opens a model of ours once `import nlp_suite` was run.
"""

from typing import TYPE_CHECKING, Any

import wrapt

from nlp_suite._version import __version__
from nlp_suite.errors import NlpSuiteError
from nlp_suite.registry import TASKS, import_all, lazy_attribute

if TYPE_CHECKING:  # what is imported when asked for, for type checkers
    from nlp_suite.config import load_experiment
    from nlp_suite.data.init import init_config
    from nlp_suite.data.prepare import prepare
    from nlp_suite.export import run_export as export_run
    from nlp_suite.export.load import load
    from nlp_suite.export.predict_table import predict_table
    from nlp_suite.tasks.sentiment.ensemble.making import ensemble
    from nlp_suite.tasks.sentiment.imported import import_model, import_run
    from nlp_suite.training.cross_validation import cross_validate
    from nlp_suite.training.evaluate import evaluate
    from nlp_suite.training.learning_curve import learning_curve
    from nlp_suite.training.repetition import repeat
    from nlp_suite.training.train import train
    from nlp_suite.tuning.search import search

__all__ = [
    "NlpSuiteError",
    "__version__",
    "cross_validate",
    "ensemble",
    "evaluate",
    "export_run",
    "import_model",
    "import_run",
    "init_config",
    "learning_curve",
    "load",
    "load_experiment",
    "predict_table",
    "prepare",
    "repeat",
    "search",
    "train",
]

_LAZY_EXPORTS = {  # public name: (module, attribute), imported when asked for
    "load": ("nlp_suite.export.load", "load"),
    "load_experiment": ("nlp_suite.config", "load_experiment"),
    "init_config": ("nlp_suite.data.init", "init_config"),
    "prepare": ("nlp_suite.data.prepare", "prepare"),
    "train": ("nlp_suite.training.train", "train"),
    "cross_validate": ("nlp_suite.training.cross_validation", "cross_validate"),
    "learning_curve": ("nlp_suite.training.learning_curve", "learning_curve"),
    "repeat": ("nlp_suite.training.repetition", "repeat"),
    "search": ("nlp_suite.tuning.search", "search"),
    "ensemble": ("nlp_suite.tasks.sentiment.ensemble.making", "ensemble"),
    "evaluate": ("nlp_suite.training.evaluate", "evaluate"),
    "export_run": ("nlp_suite.export", "run_export"),
    "import_model": ("nlp_suite.tasks.sentiment.imported", "import_model"),
    "import_run": ("nlp_suite.tasks.sentiment.imported", "import_run"),
    "predict_table": ("nlp_suite.export.predict_table", "predict_table"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY_EXPORTS:
        raise AttributeError(f"module 'nlp_suite' has no attribute {name!r} (public: {', '.join(__all__)})")
    module, attribute = _LAZY_EXPORTS[name]
    return lazy_attribute(module, attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


@wrapt.when_imported("keras")
def _register_with_keras(_: Any) -> None:
    """Imports every class of ours that Keras may meet in a saved model."""
    from nlp_suite.backend import let_in

    with let_in():
        for package in ("layers", "layers.attentions", "backbones", "backbones.decoders"):
            import_all(f"nlp_suite.{package}")
        for task in TASKS.classes():
            task.import_network()
