"""WordPiece: words cut into the longest pieces of a learned vocabulary, as BERT does."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.errors import TextError
from nlp_suite.registry import TOKENIZERS
from nlp_suite.text.tokenizers.base import (
    SPECIAL_TOKENS,
    UNKNOWN,
    UNKNOWN_SURFACE,
    Tokenizer,
    from_lines,
    to_lines,
)
from nlp_suite.text.tokenizers.words import PLAIN_PATTERN, count_words, join_words, split_words

_SUFFIX = "##"
_FILE = "vocabulary.txt"
MAX_WORDS = 50_000  # different words to learn from, the most frequent ones
MAX_CHARACTERS = 1000  # different characters in the vocabulary; words with others are unknown


class WordPieceSettings(ComponentSettings):
    """Settings of the WordPiece tokenizer."""

    name: str = "wordpiece"
    vocabulary_size: int = Field(8000, ge=5, description="maximum number of ids, including the four special ones")
    max_bytes_per_word: int = Field(100, ge=1, description="longer words are unknown")


@TOKENIZERS.register(WordPieceSettings)
class WordPieceTokenizer(Tokenizer):
    """WordPiece (Schuster & Nakajima 2012; Devlin et al. 2019) as in Song et al. 2021 (arXiv:2012.15524).

    Text is split into words, punctuation marks, symbols and Han characters, and a word into the longest pieces from its
    left; pieces that continue a word begin with `##`. A word that cannot be cut up is one UNKNOWN, decoded as U+FFFD; so
    is U+0011, with which TF Text marks the end of a word.
    The vocabulary comes from TF Text's learner, which KerasHub's `compute_word_piece_vocabulary` calls too.

    Args:
        vocabulary_size: maximum number of ids, including special ones.
        max_bytes_per_word: longer words are UNKNOWN.

    Raises:
        TextError: in `train`, if the vocabulary is too small for the characters of the corpus.

    Example:
        >>> tokenizer = WordPieceTokenizer(vocabulary_size=100)
        >>> tokenizer.train([b"unable", b"able"])
    """

    reserved: ClassVar[Mapping[str, str]] = {"\x11": UNKNOWN_SURFACE}  # in a vocabulary it ends the process

    def __init__(self, vocabulary_size: int = 8000, max_bytes_per_word: int = 100):
        self._size = vocabulary_size
        self._max_bytes = max_bytes_per_word

    def train(self, texts: Iterable[bytes]) -> None:
        """Counts words and runs the learner on the counts."""
        self.tokens = _learn(count_words(texts, PLAIN_PATTERN), self._size, self._max_bytes)

    def assets(self) -> dict[str, bytes]:
        """`vocabulary.txt`, one piece a line in the order of the ids."""
        return {_FILE: to_lines(self.tokens)}

    def restore(self, assets: dict[str, bytes]) -> None:
        """Takes the vocabulary from `vocabulary.txt`."""
        self.tokens = from_lines(assets[_FILE], _FILE)

    def resources(self) -> dict:
        """TF Text's tokenizer, which holds its automaton as a constant, and the surface forms."""
        import tensorflow as tf
        import tensorflow_text

        tokenizer = tensorflow_text.FastWordpieceTokenizer(
            vocab=self.tokens,
            suffix_indicator=_SUFFIX,
            max_bytes_per_word=self._max_bytes,
            token_out_type=tf.int32,
            unknown_token=SPECIAL_TOKENS[UNKNOWN],
            no_pretokenization=True,
        )
        pieces = self.tokens[len(SPECIAL_TOKENS) :]
        marked = ["\x00" + piece.removeprefix(_SUFFIX) if _is_suffix(piece) else piece for piece in pieces]
        return {"wordpiece": tokenizer, "surfaces": tf.constant(["", UNKNOWN_SURFACE, "", "", *marked])}

    def tokenize(self, text, resources: dict):
        """tf.string [B] → RaggedTensor int32 [B, (T)]."""
        words = split_words(text, PLAIN_PATTERN)  # [B, (words)]
        return resources["wordpiece"].tokenize(words).merge_dims(1, 2)

    def detokenize(self, ids, resources: dict):
        """RaggedTensor int32 [B, (T)] → tf.string [B]: pieces joined to words, words with a space between them."""
        import tensorflow as tf

        pieces = ids.with_flat_values(tf.gather(resources["surfaces"], ids.flat_values))
        return tf.strings.regex_replace(join_words(pieces), " ?\x00", "")


def _is_suffix(piece: str) -> bool:
    return piece.startswith(_SUFFIX) and len(piece) > len(_SUFFIX)


def _learn(counts: dict[str, int], size: int, max_bytes: int) -> list[str]:
    """The special tokens, then the characters, then the learned pieces by count."""
    from tensorflow_text.tools.wordpiece_vocab import wordpiece_tokenizer_learner_lib as learner

    counts = {word: n for word, n in counts.items() if word != UNKNOWN_SURFACE and len(word.encode()) <= max_bytes}
    words = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_WORDS]
    words = learner.filter_input_words(words, learner.get_allowed_chars(words, MAX_CHARACTERS), -1)
    if not words:
        raise TextError(f"no word of at most max_bytes_per_word={max_bytes} bytes in the training texts")
    needed = len(SPECIAL_TOKENS) + 2 * len({character for word, _ in words for character in word})
    if size < needed:
        raise TextError(
            f"text.tokenizer.vocabulary_size {size} is too small: the characters of the training texts alone, at the "
            f"start of a word and within, take {needed}"
        )
    settings = learner.Params(
        upper_thresh=None,
        lower_thresh=None,
        num_iterations=4,
        max_input_tokens=-1,
        max_token_length=max(len(word) for word, _ in words),
        max_unique_chars=MAX_CHARACTERS,
        vocab_size=size,
        slack_ratio=0.0,
        include_joiner_token=True,
        joiner=_SUFFIX,
        reserved_tokens=list(SPECIAL_TOKENS),
    )
    first_guess = words[min(size * 3 // 4, len(words) - 1)][1]
    tokens = search_threshold(
        lambda threshold: learner.learn_with_thresh(words, threshold, settings), size, first_guess
    )
    return _limit_size(tokens, size)


def _limit_size(tokens: list[str], size: int) -> list[str]:
    """The first `size` tokens, but always all characters: the learner puts rare ones within words last."""
    required = {token for token in tokens if token in SPECIAL_TOKENS or len(token.removeprefix(_SUFFIX)) == 1}
    pieces = [token for token in tokens if token not in required]
    selected = required.union(pieces[: size - len(required)])
    return [token for token in tokens if token in selected]


def search_threshold(learn, size: int, threshold: int) -> list[str]:
    """Vocabulary of a count threshold that gives between 1 and 1.1 times `size` pieces, or all that the corpus gives.

    The learner's binary search over thresholds learns some 15 times: minutes on 25,000 reviews. The number of pieces is
    about inversely proportional to the threshold, so that three or four times suffice here.

    Args:
        learn: `learn(threshold)` → vocabulary.
        size: the number of pieces wanted.
        threshold: the first one to try.
    """
    low, high = 0, None  # the highest threshold known to give enough pieces, the lowest known to give too few
    enough: list[str] = []
    fewer: list[str] = []
    for _ in range(12):
        tokens = learn(threshold)
        if len(tokens) >= size:
            low, enough = threshold, tokens
            if len(tokens) <= 1.1 * size:
                break
        else:
            high, fewer = threshold, max(fewer, tokens, key=len)
        if high is not None and high - low <= 1:
            break
        threshold = max(round(threshold * len(tokens) / (1.05 * size)), low + 1)
        threshold = threshold if high is None else min(threshold, high - 1)
    return enough or fewer
