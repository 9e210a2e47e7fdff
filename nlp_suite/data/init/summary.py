"""What was seen, in sentences for a terminal and for the head of a config."""

from collections.abc import Iterator, Mapping

from nlp_suite.data.init.seen import Seen, TextsSeen
from nlp_suite.data.kinds.base import corpus_kind

SHOWN_LABELS, SHOWN_LANGUAGES = 8, 4
MIN_SHARE = 0.05  # of a language or script that is named


def summary(seen: Seen) -> list[str]:
    """Sentences on rows, labels, texts, and what is wrong with them."""
    return [*_sizes(seen), *_labels(seen), *_texts(seen), *_remarks(seen)]


def _sizes(seen: Seen) -> Iterator[str]:
    unit = corpus_kind(seen.kind).unit
    yield "; ".join(f"{split}: {_counted(rows, unit)}" for split, rows in seen.rows.items())


def _labels(seen: Seen) -> Iterator[str]:
    labels = seen.train_labels
    if not labels:
        return
    most = sorted(labels, key=lambda label: -labels[label])
    shares = [f"{label!r} {labels[label] / seen.train_rows:.1%}" for label in most[:SHOWN_LABELS]]
    more = f" and {len(labels) - SHOWN_LABELS:,} more" if len(labels) > SHOWN_LABELS else ""
    yield f"{_counted(len(labels), 'labels')}: {', '.join(shares)}{more}"
    if rare := [label for label in most if labels[label] < 10]:
        yield f"labels with fewer than 10 rows, too few to learn or measure: {', '.join(map(repr, rare[:SHOWN_LABELS]))}"


def _texts(seen: Seen) -> Iterator[str]:
    for field, texts in seen.texts.items():
        tokens = texts.lengths["tokens"]
        spread = (
            f"{tokens['p5']:,.0f} to {tokens['p95']:,.0f} words and marks (90 % of them), at most {tokens['max']:,.0f}"
        )
        yield f"{field}: {_language(texts)}; {spread}; about {texts.tokens:,} in all"


def _language(texts: TextsSeen) -> str:
    """Languages and scripts, such as `English, Latin script`."""
    languages = _shares(texts.languages, SHOWN_LANGUAGES)
    scripts = _shares(texts.scripts, SHOWN_LANGUAGES)
    return f"{languages or 'a language that is not known'}, {scripts + ' script' if scripts else 'no letters'}"


def _shares(shares: Mapping[str, float], most: int) -> str:
    """The largest of some shares, or the only name where there is one."""
    shown = {name: share for name, share in list(shares.items())[:most] if share >= MIN_SHARE}
    if len(shown) == 1:
        return next(iter(shown))
    return ", ".join(f"{name} {share:.0%}" for name, share in shown.items())


def _remarks(seen: Seen) -> Iterator[str]:
    unit = corpus_kind(seen.kind).unit
    for field, texts in seen.texts.items():
        if texts.empty:
            yield f"{field}: {texts.empty:,} of {texts.count:,} {_verb(texts.empty, 'is', 'are')} empty"
    if seen.repeated:
        share = f"{seen.repeated / seen.train_rows:.1%}"
        yield f"{_counted(seen.repeated, f'training {unit}')} ({share}) {_verb(seen.repeated, 'repeats', 'repeat')} an earlier one"
    if seen.conflicting:
        yield f"{_counted(seen.conflicting, 'texts')} {_verb(seen.conflicting, 'stands', 'stand')} there with different labels"
    for (split, earlier), rows in seen.shared.items():
        if rows:
            share = f"{rows / max(1, seen.rows[split]):.1%}"
            stand = _verb(rows, "stands", "stand")
            yield f"{_counted(rows, unit)} of {split} ({share}) {stand} in {earlier}, too: figures measured on them flatter"
    yield from seen.remarks


def _counted(number: int, unit: str) -> str:
    """A number of something that is given in the plural, such as `1 example`, `2 examples`."""
    return f"{number:,} {unit.removesuffix('s') if number == 1 else unit}"


def _verb(number: int, one: str, several: str) -> str:
    return one if number == 1 else several
