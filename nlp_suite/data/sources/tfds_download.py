"""Downloads and prepares one TFDS data set; run as a script of its own, so that what it patches stays in its process.

TFDS 4.9.10 retries a download ten times with growing pauses (204 s without network) and sets no time limit on connecting or
reading. Here there is one attempt, with limits. Arguments: the data set and the folder ("" for the
default). The last line of standard output is the reason if it failed.
"""

import functools
import logging
import socket
import sys

CONNECT_SECONDS, READ_SECONDS = 10, 60


def main(dataset: str, data_dir: str) -> int:
    """Prepares `dataset` under `data_dir`; 0 if it is there afterwards."""
    import requests
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader

    logging.disable(logging.WARNING)
    downloader.MAX_RETRIES = 0
    with_limits = functools.partialmethod(requests.Session.request, timeout=(CONNECT_SECONDS, READ_SECONDS))
    setattr(requests.Session, "request", with_limits)  # noqa: B010 (a plain assignment is refused by type checkers)
    socket.setdefaulttimeout(READ_SECONDS)
    try:
        tfds.builder(dataset, data_dir=data_dir or None).download_and_prepare()
    except Exception as error:  # any failure is reported with the folder by who started this
        print(f"{type(error).__name__}: {error}".replace("\n", " "))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
