"""What a file's first bytes tell: a delimiter that few files have, and that it is no text at all."""

import bz2
import gzip
import re

import pytest

from nlp_suite.data.sources.reading import text_lines
from nlp_suite.data.table_reading import open_table
from nlp_suite.errors import DataError


def rows(path, **options):
    return [row for _, row in open_table(path, **options).rows()]


@pytest.mark.parametrize("delimiter", ["^", "~", ":", "\x01", "\x1f", "|"])
def test_an_unusual_delimiter_is_found_between_the_names_of_columns(write, delimiter):
    lines = [["id", "text", "label"], ["1", "a, b", "pos"], ["2", 'he said "no"; so', "neg"], ["3", "c, d, e", "pos"]]
    path = write("a.csv", "".join(delimiter.join(line) + "\n" for line in lines))
    assert rows(path) == lines[1:]
    assert (
        f"columns are delimited by {'vertical bars' if delimiter == '|' else repr(delimiter)}"
        in open_table(path).found()
    )
    dialogue = write("b.csv", "Anna: good morning\nBob: hello\nAnna: goodbye\n")
    assert rows(dialogue, header=False) == [["Anna: good morning"], ["Bob: hello"], ["Anna: goodbye"]]


@pytest.mark.parametrize(
    "name, begin, remedy",
    [
        ("a.csv", b"PK\x03\x04\x14\x00", "a zip archive or a workbook: unpack it"),
        ("a.csv", gzip.compress(b"text,label\na,b\n"), "compressed by gzip: let its name end in .gz"),
        ("a.tsv", bz2.compress(b"text\tlabel\n"), "compressed by bzip2: let its name end in .bz2"),
        ("a.jsonl.gz", gzip.compress(b"a.jsonl".ljust(257, b"\0") + b"ustar\0"), "a tar archive: unpack it"),
        ("a.txt", b"%PDF-1.7\n", "a PDF: save its text"),
    ],
    ids=["zip", "gzip", "bzip2", "tar", "pdf"],  # the time is in what gzip writes
)
def test_archives_and_wrong_names_are_told(write, name, begin, remedy):
    path = write(name, begin)
    with pytest.raises(DataError, match=f"{re.escape(name)}.* is {remedy}"):
        list(text_lines(path) if name.endswith(".txt") else open_table(path).rows())
