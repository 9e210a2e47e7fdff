"""The texts that an export is warmed up and checked with."""

import numpy as np

from nlp_suite.data.prepare import kind_of
from nlp_suite.errors import DataError
from nlp_suite.training.run import Run

HARD_TEXTS = (  # what a client may send
    b"",
    b"   ",
    b"a",
    "Größe, naïveté, 日本語, 👍".encode(),
    b"bad \xff\xfe bytes and a NUL \x00 inside",
    b"word " * 600,
)
PLAIN_TEXTS = (b"A wonderful film, well worth the wait.", b"Two hours that I will not get back.", b"Not bad at all.")


def warmup_texts(run: Run, number: int = 8) -> list[bytes]:
    """The config's warm-up texts, or texts spread over the training split, or a few plain sentences without data."""
    if run.experiment.export.warmup_texts:
        return [text.encode("utf-8") for text in run.experiment.export.warmup_texts]
    return _from_split(run, "train", number) or list(PLAIN_TEXTS)


def check_texts(run: Run, number: int = 24) -> list[bytes]:
    """Texts that Python and the export must answer alike: real ones, and the hard ones."""
    return [*(_from_split(run, "validation", number) or PLAIN_TEXTS), *HARD_TEXTS]


def _from_split(run: Run, split: str, number: int) -> list[bytes]:
    try:
        store = run.stores()[split]
    except (DataError, OSError, KeyError):
        return []  # the data are not on this machine; an export does not need them
    rows = np.unique(np.linspace(0, len(store) - 1, number).astype(int)).tolist()
    return [text.encode("utf-8") for text in kind_of(run.experiment).input_texts(store, rows)]
