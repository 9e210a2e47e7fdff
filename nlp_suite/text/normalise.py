"""Normalisation of text as TensorFlow graph ops; the one implementation, used everywhere.

In this order: valid UTF-8 (each bad sequence becomes U+FFFD), NUL to space, the cut to `max_characters`, invisible
characters out, HTML's character references to characters and its tags to spaces, lower case and Unicode form, every run of
white space (NBSP and byte order marks included) to one space, stop words out, no space at the ends. With
`collapse_spaces=False` white space stays as it is, line breaks too. Every op is in TensorFlow Serving's TF Text 2.12.
"""

import re

from nlp_suite.config import TextSettings
from nlp_suite.errors import TextError
from nlp_suite.text.html import decode_entities, remove_markup
from nlp_suite.text.invisible import drop_invisible
from nlp_suite.text.stop_words import LISTS
from nlp_suite.text.tokenizers.words import WORD_CHARACTERS

_TAG = r"</?[A-Za-z][^>]*>"  # of `strip_html: tags`
_SPACES = r"\s\p{Z}\x{0B}\x{1C}-\x{1F}\x{85}\x{FEFF}"
# Runs, and single ones other than the plain space: eight times faster than replacing every plain space by itself.
_RUN_OF_SPACES = (
    rf"[{_SPACES}]{{2,}}|[\t\n\f\r\x{{A0}}\x{{1680}}\x{{2000}}-\x{{200A}}\x{{2028}}\x{{2029}}\x{{202F}}\x{{205F}}"
    r"\x{3000}\x{0B}\x{1C}-\x{1F}\x{85}\x{FEFF}]"
)
_SINGLE_WORD = rf"{WORD_CHARACTERS}(?:['’]{WORD_CHARACTERS})*"


def normalise(text, settings: TextSettings, stop_words: tuple[str, ...] = (), entities=None):
    """Normalised text: tf.string [B], any bytes → tf.string [B], valid UTF-8; and which were cut, bool [B].

    Args:
        text: tf.string [B].
        settings: which steps are taken.
        stop_words: what `stop_word_list(settings)` gave.
        entities: of `nlp_suite.text.html.entity_table`, which `strip_html: true` needs.

    Example:
        >>> normalise(tf.constant(["A<br />B"]), TextSettings(), entities=entity_table())
        ([b'a b'], [False])
    """
    import tensorflow as tf
    import tensorflow_text

    def unicode_form(text):
        if settings.unicode_form == "none":
            return text
        return tensorflow_text.normalize_utf8(text, settings.unicode_form)

    def lower(text):
        return tf.strings.lower(text, encoding="utf-8") if settings.lowercase else text

    def visible(text):
        return drop_invisible(text) if settings.invisible == "drop" else text

    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
    text = tf.strings.regex_replace(text, r"\x00", " ")  # tf.strings.lower would end the text there
    text, is_cut = _truncate(text, settings)
    text = visible(text)
    is_compatible = settings.unicode_form in ("NFKC", "NFKD")
    if settings.strip_html is True:
        text = unicode_form(text) if is_compatible else text  # ＜br＞ is a tag then
        text = remove_markup(decode_entities(text, entities, visible))
    # The K forms make capitals (™ → TM), so lower case comes after them; lowering unmakes C and D (İ → i̇), so before.
    text = lower(unicode_form(text)) if is_compatible else unicode_form(lower(text))
    if settings.strip_html == "tags":
        text = tf.strings.regex_replace(text, _TAG, " ")
    if settings.collapse_spaces:
        text = tf.strings.regex_replace(text, _RUN_OF_SPACES, " ")
    if stop_words:
        text = _remove_stop_words(text, stop_words, settings)
    return tf.strings.strip(text) if settings.collapse_spaces else text, is_cut


def _truncate(text, settings: TextSettings):
    """At most `max_characters`, from the end or ends that `truncation` keeps; and which texts had more, bool [B]."""
    import tensorflow as tf

    limit = settings.max_characters
    characters = tf.strings.length(text, unit="UTF8_CHAR")  # [B]
    if settings.truncation == "head":
        return tf.strings.substr(text, 0, limit, unit="UTF8_CHAR"), characters > limit
    head = 0 if settings.truncation == "tail" else limit - limit // 2
    tail = tf.fill(tf.shape(text), limit - head)  # [B]
    truncated = tf.strings.substr(text, tf.maximum(characters - tail, 0), tail, unit="UTF8_CHAR")
    if head:
        truncated = tf.strings.join([tf.strings.substr(text, 0, head, unit="UTF8_CHAR"), truncated], " ")
    return tf.where(characters <= limit, text, truncated), characters > limit


def _remove_stop_words(text, stop_words: tuple[str, ...], settings: TextSettings):
    """Removes whole words: puts every word between NULs, deletes the stop words so marked, then the NULs."""
    import tensorflow as tf

    either_case = "" if settings.lowercase else "(?i)"
    alternatives = "|".join(re.escape(word) for word in stop_words)
    text = tf.strings.regex_replace(text, _SINGLE_WORD, "\x00\\0\x00")
    text = tf.strings.regex_replace(text, f"{either_case}\x00(?:{alternatives})\x00", "")
    text = tf.strings.regex_replace(text, "\x00", "")
    return tf.strings.regex_replace(text, " {2,}", " ") if settings.collapse_spaces else text


def stop_word_list(settings: TextSettings) -> tuple[str, ...]:
    """The stop words of `settings`, normalised as the text is, sorted; empty for "none".

    Raises:
        TextError: a stop word that is not a single word, and so would never match.
    """
    import tensorflow as tf

    words = LISTS.get(settings.stop_words, ()) if isinstance(settings.stop_words, str) else settings.stop_words
    if not words:
        return ()
    plain = settings.model_copy(update={"stop_words": "none", "collapse_spaces": True, "strip_html": False})
    normalised, _ = normalise(tf.constant([word.encode("utf-8", "surrogatepass") for word in words]), plain)
    single = tf.strings.regex_full_match(normalised, _SINGLE_WORD).numpy()
    if not single.all():
        bad = words[int(single.argmin())]
        raise TextError(f"text.stop_words: {bad!r} is not a single word (allowed: words such as 'the' or \"it's\")")
    return tuple(sorted({word.decode("utf-8") for word in normalised.numpy()}))
