"""The texts that an export is warmed up and checked with."""

import numpy as np

HARD = (  # what a client may send
    b"",
    b"   ",
    b"a",
    "Größe, naïveté, 日本語, 👍".encode(),
    b"bad \xff\xfe bytes and a NUL \x00 inside",
    b"word " * 600,
)
_PLAIN = (b"A wonderful film, well worth the wait.", b"Two hours that I will not get back.", b"Not bad at all.")


def warmup_texts(run, number: int = 8) -> list[bytes]:
    """The config's warm-up texts, or texts spread over the training split, or a few plain sentences without data."""
    if run.experiment.export.warmup_texts:
        return [text.encode("utf-8") for text in run.experiment.export.warmup_texts]
    return _from_split(run, "train", number) or list(_PLAIN)


def check_texts(run, number: int = 24) -> list[bytes]:
    """Texts that Python and the export must answer alike: real ones, and the hard ones."""
    return [*(_from_split(run, "validation", number) or _PLAIN), *HARD]


def _from_split(run, split, number) -> list[bytes]:
    from nlp_suite.data.prepare import kind_of
    from nlp_suite.errors import DataError

    try:
        store = run.stores()[split]
    except (DataError, OSError, KeyError):
        return []  # the data are not on this machine; an export does not need them
    rows = np.unique(np.linspace(0, len(store) - 1, number).astype(int))
    return [text.encode("utf-8") for text in kind_of(run.experiment).input_texts(store, rows)]
