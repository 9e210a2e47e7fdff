"""UTF-8 bytes: nothing to train, nothing unknown, long rows."""

from collections.abc import Iterable

from nlp_suite.config import ComponentSettings
from nlp_suite.registry import TOKENIZERS
from nlp_suite.text.tokenizers.base import SPECIAL_TOKENS, Tokenizer

_FIRST = len(SPECIAL_TOKENS)


class ByteSettings(ComponentSettings):
    """The byte tokenizer has no settings."""

    name: str = "byte"


@TOKENIZERS.register(ByteSettings)
class ByteTokenizer(Tokenizer):
    """UTF-8 bytes (ByT5, Xue et al. 2022, arXiv:2105.13626): byte b has id 4 + b; 260 ids.

    There is nothing to learn and nothing is unknown. Decoding gives valid UTF-8: a character of which truncation
    left only some bytes becomes U+FFFD.

    Example:
        >>> ByteTokenizer().tokens[4 + ord("a")]
        '<0x61>'
    """

    lossless = True

    def __init__(self):
        self.tokens = [*SPECIAL_TOKENS, *(f"<0x{byte:02X}>" for byte in range(256))]

    def train(self, texts: Iterable[bytes]) -> None:
        """Nothing to learn."""

    def assets(self) -> dict[str, bytes]:
        """None."""
        return {}

    def restore(self, assets: dict[str, bytes]) -> None:
        """Nothing to take."""

    def resources(self) -> dict:
        """The string of each id; special ones are empty, UNKNOWN does not occur."""
        import tensorflow as tf

        return {"bytes": tf.constant([b""] * _FIRST + [bytes([byte]) for byte in range(256)])}  # [260]

    def tokenize(self, text, resources: dict):
        """tf.string [B] → RaggedTensor int32 [B, (T)]; by one copy of all bytes, far faster than a split."""
        import tensorflow as tf

        values = tf.io.decode_raw(tf.strings.reduce_join(text), tf.uint8)  # [total]
        lengths = tf.strings.length(text)  # [B], bytes
        return tf.RaggedTensor.from_row_lengths(tf.cast(values, tf.int32) + _FIRST, lengths, validate=False)

    def detokenize(self, ids, resources: dict):
        """RaggedTensor int32 [B, (T)] → tf.string [B]."""
        import tensorflow as tf

        text = tf.strings.reduce_join(ids.with_flat_values(tf.gather(resources["bytes"], ids.flat_values)), axis=-1)
        return tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
