"""HTML in texts, as graph ops: character references become characters, tags and comments become spaces.

A reference is one of HTML 4 by name (and `&apos;`), or any by number, and ends with a semicolon; what HTML 5 adds, and names
without a semicolon, stay as they are. `&amp;` that stands before another reference is part of it: text that was escaped
twice is common, text that says how to escape is not. So markup that was escaped is markup.

A tag is one that HTML has, and what stands in it looks like attributes: `x <y and z> w` and `a <b and c> d` stay.
"""

from html.entities import name2codepoint

_AMPERSANDS = r"(?i)&(?:(?:amp|#0*38|#x0*26);)+"
_REFERENCE = r"&(?:#0*[0-9]{1,7}|#[xX]0*[0-9A-Fa-f]{1,6}|[A-Za-z][0-9A-Za-z]{1,31});"
_ANY_REFERENCE = r"(?s).*&[#A-Za-z][0-9A-Za-z]*;.*"
_DIGITS = 7
_WINDOWS_1252 = [ord(bytes([byte]).decode("cp1252", "replace")) for byte in range(0x80, 0xA0)]
"""What numbers from 128 to 159 mean in HTML."""

_NAMES = """
a abbr acronym address applet area article aside audio b base basefont bdi bdo bgsound big blink blockquote body br button
canvas caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed fieldset
figcaption figure font footer form frame frameset h[1-6] head header hgroup hr html i iframe image img input ins kbd label
legend li link main map mark marquee math menu meta meter nav nobr noframes noscript object ol optgroup option output p param
picture pre progress q rp rt ruby s samp script search section select slot small source span strike strong style sub summary
sup svg table tbody td template textarea tfoot th thead time title tr track tt u ul var video wbr xmp
"""
_FLAGS = """
allowfullscreen async autofocus autoplay checked compact controls default defer disabled hidden ismap loop multiple muted
nohref noshade novalidate nowrap open readonly required reversed selected
"""
_NAME, _FLAG = ("|".join(words.split()) for words in (_NAMES, _FLAGS))
# After the name: flags, and then attributes, or the tag that broke this one off.
_ATTRIBUTES = rf"(?:\s+(?:{_FLAG}))*(?:\s+[A-Za-z_:@][-\w:.]*\s*=[^>]*|[\s/]*<[^>]*|[\s/]*)"
_MARKUP = rf"<(?:(?i:/?(?:{_NAME}){_ATTRIBUTES})>|!--(?s:.)*?-->|!(?i:doctype)\b[^>]*>|\?(?i:xml)\b[^>]*>)"


def remove_markup(text):
    """tf.string [B] → the same with a space for every tag and comment."""
    import tensorflow as tf

    return tf.strings.regex_replace(text, _MARKUP, " ")


def entity_table():
    """Name → character, as a `tf.lookup.StaticHashTable` that whoever saves the graph must keep."""
    import tensorflow as tf

    entities = {**{name: chr(point) for name, point in name2codepoint.items()}, "apos": "'"}
    pairs = tf.lookup.KeyValueTensorInitializer(tf.constant(list(entities)), tf.constant(list(entities.values())))
    return tf.lookup.StaticHashTable(pairs, "")


def decode_entities(text, table, after=lambda text: text):
    """tf.string [B], valid UTF-8 without NUL → the same with characters for character references.

    Args:
        text: tf.string [B].
        table: of `entity_table`.
        after: what else is done to texts where one of them had a reference.
    """
    import tensorflow as tf

    is_needed = tf.reduce_any(tf.strings.regex_full_match(text, _ANY_REFERENCE))
    return tf.cond(is_needed, lambda: after(_decoded(text, table)), lambda: text)


def _decoded(text, table):
    import tensorflow as tf

    text = tf.strings.regex_replace(text, _AMPERSANDS, "&")
    marked = tf.strings.regex_replace(text, _REFERENCE, "\x00\\0\x00")
    split = tf.raw_ops.StringSplitV2(input=marked, sep="\x00")  # of each text: piece, reference, piece, …, piece
    row, column = tf.unstack(split.indices, axis=1)  # [P] each, in order
    pieces, is_reference = split.values, tf.cast(column % 2, tf.bool)  # [P]
    name = tf.strings.substr(tf.where(is_reference, pieces, "&;"), 1, _DIGITS + 26)
    name = tf.strings.regex_replace(name, ";", "")  # [P]; empty for what is no reference
    named = table.lookup(name)
    named = tf.where(tf.equal(named, ""), table.lookup(tf.strings.lower(name)), named)
    named = tf.where(tf.equal(named, ""), pieces, named)  # not in the table: as it is
    characters = tf.where(tf.strings.regex_full_match(name, "#.*"), _numbered(name), named)
    return tf.strings.unsorted_segment_join(tf.where(is_reference, characters, pieces), row, tf.shape(text)[0])


def _numbered(name):
    """`#233` or `#xE9`, tf.string [P] → the character; U+FFFD for what is none, anything for another name."""
    import tensorflow as tf

    is_hexadecimal = tf.strings.regex_full_match(name, "#[xX].*")
    digits = tf.strings.regex_replace(name, "^#[xX]?|^[^#].*", "")
    digits = tf.strings.substr(tf.strings.join(["0" * _DIGITS, digits]), -_DIGITS, _DIGITS)
    codes = tf.cast(tf.io.decode_raw(digits, tf.uint8), tf.int32)  # [P, 7], ASCII
    values = tf.where(
        codes >= ord("a"), codes - ord("a") + 10, tf.where(codes >= ord("A"), codes - ord("A") + 10, codes - ord("0"))
    )
    powers = tf.range(_DIGITS - 1, -1, -1)
    base = tf.where(is_hexadecimal, 16, 10)[:, None]
    number = tf.reduce_sum(values * base**powers, axis=1)  # [P]
    meant = tf.gather(_WINDOWS_1252, tf.clip_by_value(number - 0x80, 0, len(_WINDOWS_1252) - 1))
    number = tf.where((number >= 0x80) & (number < 0xA0), meant, tf.where(tf.equal(number, 0), 0xFFFD, number))
    return tf.strings.unicode_encode(number[:, None], "UTF-8", errors="replace")
