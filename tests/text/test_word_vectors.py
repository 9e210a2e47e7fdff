"""Files of word vectors as they come: headers, byte order marks, gzip, words with spaces; and what is refused."""

import gzip

import numpy as np
import pytest

from nlp_suite.errors import ConfigError
from nlp_suite.text.word_vectors import read_word_vectors

WORDS = ["<pad>", "<unk>", "<s>", "</s>", "film", "at all", "\u00a0", "2013"]


def read(tmp_path, content, size=2):
    path = tmp_path / "vectors.vec"
    path.write_bytes(content)
    table = np.full((len(WORDS), size), 9.0, "float32")
    return read_word_vectors(str(path), WORDS, table), table


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b" \n"])
@pytest.mark.parametrize("header", [b"", b"4 2\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_form_is_read_alike(tmp_path, ending, header, mark, pack):
    lines = ["film 1 -2e-1", "at all 3 4", "\u00a0 5\t6", "2013  7 8"]
    found, table = read(tmp_path, pack(mark + header + ending.join(line.encode() for line in lines) + ending))
    assert (found.words, found.repeated) == (4, 0)
    np.testing.assert_allclose(table[4:], [[1, -0.2], [3, 4], [5, 6], [7, 8]])
    assert (table[:4] == 9).all()


def test_the_first_of_a_repeated_word_wins_and_the_others_are_counted(tmp_path):
    found, table = read(tmp_path, b"film 1 2\nother 0 0\nfilm 3 4\nfilm 5 6\nother 0 0\n")
    assert (found.words, found.repeated) == (1, 2) and table[4].tolist() == [1, 2]


def test_a_word_of_white_space_is_nobodys(tmp_path):
    assert read(tmp_path, b"film 1 2\n  3 4\n\n")[0].words == 1


@pytest.mark.parametrize(
    "content, message",
    [
        (b"film 1 2 3\n", "line 1: a vector of 3 numbers; backbone.embedding_size is 2 .give 3 there"),
        (b"9 300\nfilm 1 2\n", "line 1: a vector of 300 numbers; backbone.embedding_size is 2"),
        (b"2013 1 2 3\n", "line 1: a vector of 3 numbers"),
        (b"film 1 2\nshort 1\n", "line 2: a vector of 1 numbers"),
        (b"film 1 2\nat all nan 4\n", "line 2: 'at all nan 4' has numbers that are not finite"),
        (b"film 1 1e60\n", "line 1: .* not finite"),
        (b"the 1 2\nfilm 1 x\n", "line 2: 'film 1 x' is not a word and numbers"),
        (b"3 2\nfilm 1 2\n", "is incomplete: its first line says 3 vectors, and there are 1"),
        (gzip.compress(b"film 1 2\n" * 1000, mtime=0)[:-20], "is damaged or incomplete"),
    ],
)
def test_what_is_refused(tmp_path, content, message):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, content)


def test_an_empty_file_has_none(tmp_path):
    assert read(tmp_path, b"")[0].words == 0
