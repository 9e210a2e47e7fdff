"""Which columns of a table are what a task reads: by their names, by what they look like, or the user is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nlp_suite.data.init.seen import Choice
from nlp_suite.data.init.table_profile import Column
from nlp_suite.data.kinds.base import corpus_kind
from nlp_suite.errors import DataError, UsageError
from nlp_suite.registry import unknown

NAMES = {  # field → what its column is often called; a name decides only between columns that look alike
    "text": [
        "text",
        "texts",
        "review",
        "reviews",
        "sentence",
        "sentences",
        "comment",
        "comments",
        "content",
        "body",
        "message",
        "tweet",
        "document",
    ],
    "label": [
        "label",
        "labels",
        "class",
        "category",
        "target",
        "sentiment",
        "polarity",
        "intent",
        "topic",
        "rating",
        "stars",
        "score",
        "grade",
        "y",
    ],
    "source": ["source", "src", "en", "eng", "english", "input"],
    "target": [
        "target",
        "tgt",
        "trg",
        "translation",
        "de",
        "deu",
        "german",
        "fr",
        "fra",
        "french",
        "es",
        "spanish",
        "output",
    ],
}
NAME_WORDS = 4  # of a column on average; fewer are a name or a title, where another column has four times as many
OPTIONS = {"text": "--text", "text_b": "--text-b", "label": "--label", "source": "--source", "target": "--target"}


@dataclass(frozen=True)
class ColumnsChosen:
    """The columns of one corpus kind.

    Attributes:
        kind: name of the corpus kind.
        places: field → its column, and why.
    """

    kind: str
    places: Mapping[str, Choice]


def choose_columns(columns: Sequence[Column], told: Mapping[str, str], kind: str | None, where: str) -> ColumnsChosen:
    """The corpus kind of a table, where it is not told, and the columns of its fields.

    Args:
        columns: of the table.
        told: field → column that the user named.
        kind: name of the corpus kind, where the task is known.
        where: the file, for messages.

    Raises:
        UsageError: several columns could be meant; the message names them and the option that decides.
        DataError: no column can be meant.
    """
    chosen = {
        field: Choice(_place(columns, place, field, where), f"as {OPTIONS[field]} says")
        for field, place in told.items()
    }
    sought = kind is not None
    kind = kind or _kind(columns, chosen, where)
    read = corpus_kind(kind)
    apply = [OPTIONS[field] for field in (*read.fields, *read.optional_fields) if field in OPTIONS]
    if idle := [OPTIONS[field] for field in told if OPTIONS[field] not in apply]:
        raise UsageError(
            f"{where}: without effect here, where what is read is {read.wanted}: {', '.join(idle)}; leave out what has none "
            f"(what applies: {', '.join(apply)})"
        )
    if kind == "pairs":
        return ColumnsChosen(kind, _pair(columns, chosen, where))
    if "text" not in chosen:
        chosen["text"] = _text(columns, chosen, where)
    if kind != "labelled":
        others = ", ".join(repr(column.place) for column in _free(columns, {"text": chosen["text"]}))
        hint = "" if sought else " (--label makes one of them the label)"
        reason = f"not read: {others}{hint}" if others else chosen["text"].reason
        chosen = {"text": Choice(chosen["text"].value, reason)}
    elif "label" not in chosen:
        chosen["label"] = _label(columns, chosen, where)
    return ColumnsChosen(kind, chosen)


def _place(columns: Sequence[Column], told: str, field: str, where: str) -> str | int:
    """The place of a column that the user named, by name or number."""
    places = [column.place for column in columns]
    if told in places:
        return told
    if told.isdecimal() and int(told) in range(len(columns)):
        return columns[int(told)].place
    raise UsageError(f"{where}: {OPTIONS[field]}: {unknown('column', told, map(str, places))}")


def _free(columns: Sequence[Column], chosen: Mapping[str, Choice]) -> list[Column]:
    taken = {choice.value for choice in chosen.values()}
    return [column for column in columns if column.place not in taken]


def _kind(columns: Sequence[Column], chosen: Mapping[str, Choice], where: str) -> str:
    """What a table holds: pairs, texts with a label, or running text."""
    if {"source", "target"} & set(chosen):
        return "pairs"
    if {"label", "text_b"} & set(chosen):
        return "labelled"
    texts, labels = _texts(columns, chosen), _labels(columns, chosen)
    may_be_pairs = len(texts) == 2 and not labels and "text" not in chosen
    if may_be_pairs and _named(texts, "source") and _named(texts, "target"):  # a label may be called target, too
        return "pairs"
    if _named(columns, "label") or (labels and len(texts) < 2):
        return "labelled"
    if may_be_pairs:
        first, second = (column.language for column in texts)
        if first and second and first != second:
            return "pairs"
        names = " and ".join(column.describe() for column in texts)
        raise UsageError(
            f"{where}: two columns look like text: {names}; a sentence and its translation: give --source and --target; "
            "texts to classify: give --text and --label; running text: --text and --task language_model"
        )
    return "labelled" if labels else "text"


def _texts(columns: Sequence[Column], chosen: Mapping[str, Choice]) -> list[Column]:
    """Columns that look like text; where none does, the one that is called so."""
    free = _free(columns, chosen)
    texts = [column for column in free if column.is_text]
    longest = max((column.words for column in texts), default=0)
    texts = [column for column in texts if column.words >= min(NAME_WORDS, longest / 4)]
    named = [column for column in _named(free, "text") if column.is_written]
    return texts or (named if len(named) == 1 else [])


def _labels(columns: Sequence[Column], chosen: Mapping[str, Choice]) -> list[Column]:
    return [column for column in _free(columns, chosen) if column.is_label and not column.is_text]


def _named(columns: Sequence[Column], field: str) -> list[Column]:
    return [column for column in columns if str(column.place).strip().lower() in NAMES[field]]


def _one(candidates: Sequence[Column], field: str, looks_like: str, columns: Sequence[Column], where: str) -> Choice:
    """The only candidate, or the only one that is called so; else the user is asked."""
    option = OPTIONS[field]
    if not candidates:
        have = "; ".join(column.describe() for column in columns)
        raise DataError(
            f"{where}: no column looks like {looks_like}; the columns: {have}; if one is, name it with {option}"
        )
    if len(candidates) == 1:
        return Choice(candidates[0].place, "" if field != "label" else _balance(candidates[0]))
    named = _named(candidates, field)
    others = ", ".join(repr(column.place) for column in candidates if column not in named)
    if len(named) == 1:
        return Choice(named[0].place, f"by its name; {others} could be meant, too ({option})")
    names = " and ".join(column.describe() for column in named or candidates)
    many = {2: "two columns look"}.get(len(named or candidates), f"{len(named or candidates)} columns look")
    second = "; a second text that shares the label is named with --text-b" if field == "text" else ""
    raise UsageError(f"{where}: {many} like {looks_like}: {names}; choose one with {option}{second}")


def _balance(column: Column) -> str:
    return f"{column.distinct:,} different values in {column.looked_at}"


def _text(columns: Sequence[Column], chosen: Mapping[str, Choice], where: str) -> Choice:
    return _one(_texts(columns, chosen), "text", "text", _free(columns, chosen), where)


def _label(columns: Sequence[Column], chosen: Mapping[str, Choice], where: str) -> Choice:
    candidates = _labels(columns, chosen)
    named = [column for column in _named(_free(columns, chosen), "label") if column not in candidates]
    if named and not _named(candidates, "label") and len(named) == 1 and named[0].filled:
        column = named[0]
        if column.nested or column.decimals or column.numbers > 0.95:  # several labels a text, a rating, another number
            return Choice(column.place)
        raise DataError(
            f"{where}: the column {column.place!r} has {column.distinct:,} different values in {column.looked_at}, "
            f"so it is no column of labels, in which every value occurs several times; name another one with --label"
        )
    called_so = _named(candidates, "label")  # one value of them in the first rows: a file that is sorted, or one class
    varied = [column for column in candidates if column.distinct > 1 or column in called_so]
    return _one(varied or candidates, "label", "labels", _free(columns, chosen), where)


def _pair(columns: Sequence[Column], chosen: dict[str, Choice], where: str) -> dict[str, Choice]:
    texts = [
        column for column in _free(columns, chosen) if column.is_text or (column.is_written and not column.is_label)
    ]
    if missing := [side for side in ("source", "target") if side not in chosen]:
        if len(texts) > len(missing):
            texts = [column for column in texts if column.is_text]
        if len(texts) != len(missing):
            names = "; ".join(column.describe() for column in texts or columns)
            raise UsageError(
                f"{where}: columns that look like a side of a translation: {len(texts)}, needed: {len(missing)}: {names}; "
                "choose with --source and --target"
            )
        named = [column for side in missing for column in _named(texts, side)]
        for side, column in zip(missing, named if len(set(map(id, named))) == len(texts) == len(named) else texts):
            language = f", in {column.language}" if column.language else ""
            reverse = "; --source and --target turn it round" if side == "source" else ""
            chosen[side] = Choice(column.place, f"{column.words:.1f} words on average{language}{reverse}")
    return {side: chosen[side] for side in ("source", "target")}
