"""What a path holds: a table, running text, two files of sentences, a folder of one of them, or a folder a class."""

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_suite.data.compression import COMPRESSIONS, bare_suffix, compression_of
from nlp_suite.data.init.seen import Choice
from nlp_suite.data.sources.base import SPLITS
from nlp_suite.data.sources.directory import FOLDERS
from nlp_suite.data.sources.parts import part_files
from nlp_suite.data.sources.reading import count_pairs, existing_file, text_lines
from nlp_suite.data.table_reading import FORMATS
from nlp_suite.errors import DataError, UsageError
from nlp_suite.registry import unknown

TABLE_SUFFIXES = tuple(FORMATS)
TEXT_SUFFIXES = ("", ".txt", ".text", ".md")
NO_DATA = {"readme", "license", "licence", "manifest", "changelog", "notice", "sha256sums", "md5sums"}
LANGUAGE = re.compile(r"[a-z]{2,3}(?:[-_][A-Za-z]{2,4})?")
TRANSLATE_FOLDER = re.compile(
    rf"({LANGUAGE.pattern})\.({'|'.join(n for ns in FOLDERS.values() for n in ns)})\.txt(\.gz)?"
)
SNIFFED_LINES = 100
DELIMITERS = {"\t": "tabs", "|": "vertical bars", ";": "semicolons"}  # of a table whose name ends as that of a text
LONG_LINE = 30  # words on average, of lines that are texts of their own


@dataclass(frozen=True)
class Layout:
    """Where data lie.

    Attributes:
        title: what they are called, for the head of the config.
        source: settings of `data.source` as far as they are known → choice.
        tables: split → files whose columns must be found; empty where the source needs none.
        kinds: names of the corpus kinds that the source can give, the likeliest first; empty: any, by the columns.
    """

    title: str
    source: Mapping[str, Choice]
    tables: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of a config for them."""
        path = Path(self.title)
        return stem(path).removesuffix(f".{_language(path)}") or "data"


def look(given: Mapping[str, str], source: str | None = None, target: str | None = None) -> Layout:
    """The layout of what was given.

    Args:
        given: split → path, with `"train"`.
        source: what the user named as source of a translation: a column, or a language of a folder.
        target: the same, or the file of the translations.

    Raises:
        DataError: no such file; a folder that holds nothing that can be read, or several things.
        UsageError: what is meant must be said.
    """
    path = Path(given["train"]).expanduser()
    if path.is_dir():
        if len(given) > 1:
            raise UsageError(
                f"{path} is a folder, whose splits are found by their names: give no --validation and --test"
            )
        return _folder(path.resolve() if not path.name else path, source, target)
    files = {split: part_files([other]) for split, other in given.items()}
    first = files["train"][0]
    title = path.name if path.is_file() else path.parent.name or "data"
    if is_table(first) or _delimiter(first):
        return Layout(title, *_tables(files, given))
    if translation := _translation(path, target):
        return _parallel(path.name, {s: [_both(paths[0], path, translation)] for s, paths in files.items()})
    return _running_text(title, {split: [p] for split, p in given.items()})


def stem(path: Path) -> str:
    """A file's name without suffixes of format and compression, as `reviews` of `reviews.csv.gz`."""
    name = path.name
    for suffix in (*COMPRESSIONS, *TABLE_SUFFIXES, *TEXT_SUFFIXES):
        name = name[: len(name) - len(suffix)] if suffix and name.lower().endswith(suffix) else name
    return name


def is_table(path: Path) -> bool:
    """Whether a file's name says that it is a table."""
    return bare_suffix(path) in TABLE_SUFFIXES


def _delimiter(path: Path) -> str | None:
    """Of which character the first lines of a text file have equally many, and some: what no sentence holds that often."""
    read = itertools.islice(text_lines(path, "replace"), SNIFFED_LINES)
    lines = [line for _, line in read if line.strip()]
    for delimiter in DELIMITERS if len(lines) > 1 else "\t":
        if len({line.count(delimiter) for line in lines}) == 1 and delimiter in lines[0]:
            return delimiter
    return None


# ---- sources


def _tables(files: Mapping[str, Sequence[Path]], settings: Mapping[str, Any]) -> tuple[Any, Any]:
    source = {"name": Choice("files"), **{split: Choice(settings[split]) for split in SPLITS if split in settings}}
    first = files["train"][0]
    if not is_table(first) and (delimiter := _delimiter(first)):
        name = DELIMITERS[delimiter]
        source["format"] = Choice("tsv" if delimiter == "\t" else "csv", f"its first lines have equally many {name}")
    return source, files


def _running_text(title: str, files: Mapping[str, Sequence[str]]) -> Layout:
    source = {"name": Choice("text", "plain text, no table")}
    for split in SPLITS:
        if split in files:
            source[split] = Choice(files[split][0] if len(files[split]) == 1 else list(files[split]))
    source["documents"] = _documents(part_files(files["train"])[0])
    return Layout(title, source, kinds=("text",))


def _documents(path: Path) -> Choice:
    """Whether long lines without blank ones between them are documents of their own."""
    lines = [line for _, line in itertools.islice(text_lines(path, "replace"), 2000)]
    full = [line for line in lines if line.strip()]
    if len(full) > 1 and len(full) == len(lines) and sum(len(line.split()) for line in full) > LONG_LINE * len(full):
        return Choice("line", "long lines and no blank ones: every line is a text of its own")
    return Choice("file", "a file is one text; sentences that do not belong together: line")


# ---- translation


def _language(path: Path) -> str | None:
    """The language that a file's name ends in, as `de` of `train.de`."""
    suffix = bare_suffix(path).removeprefix(".")
    known = f".{suffix}" in (*TABLE_SUFFIXES, *TEXT_SUFFIXES)
    return suffix if not known and LANGUAGE.fullmatch(suffix) else None


def _translation(path: Path, target: str | None) -> Path | None:
    """The file that translates another one line by line: the one that is named, or the only one of its name with as many lines."""
    if target:
        return existing_file(target)
    language = _language(path)
    if not language:
        return None
    others = [other for other in sorted(path.parent.iterdir()) if _language(other) not in (None, language)]
    others = [other for other in others if other.name == _renamed(path, path, other)]
    equal = [other for other in others if len(set(count_pairs(path, other))) == 1]
    if len(equal) > 1:
        names = ", ".join(str(other) for other in equal)
        raise UsageError(f"{path} has several translations: {names}; choose one with --target")
    return equal[0] if equal else None


def _renamed(path: Path, source: Path, target: Path) -> str:
    """The name of a file with the language of `target` where that of `source` stands."""
    end = source.name.rpartition(f".{_language(source)}")[2]
    return path.name.removesuffix(f".{_language(source)}{end}") + f".{_language(target)}{end}"


def _both(path: Path, source: Path, target: Path) -> dict[str, str]:
    """A file of a split and its translation, which is called as that of the training split."""
    if path == source:
        return {"source": str(path), "target": str(target)}
    translation = path.with_name(_renamed(path, source, target))
    if translation.name == path.name or not translation.is_file():
        raise UsageError(
            f"{path}: its translation is not at {translation}; name the files of a split alike, as val.en and val.de"
        )
    return {"source": str(path), "target": str(translation)}


def _parallel(title: str, pairs: Mapping[str, Sequence[Mapping[str, str]]]) -> Layout:
    source = {"name": Choice("parallel", "line n of one file translates line n of the other")}
    for split in SPLITS:
        if files := pairs.get(split):
            sides = {side: [pair[side] for pair in files] for side in ("source", "target")}
            source[split] = Choice({side: p[0] if len(p) == 1 else p for side, p in sides.items()})
    return Layout(title, source, kinds=("pairs",))


# ---- folders


def _folder(folder: Path, source: str | None, target: str | None) -> Layout:
    files, folders = _contents(folder)
    splits = [name for names in FOLDERS.values() for name in names]
    if not files and [f for f in folders if f.name in splits]:
        inner = next((f for f in folders if f.name in FOLDERS["train"]), None)
        if inner is None:
            raise DataError(f"{folder} has the folders {_names(folders)}, but no train")
        files, classes = _contents(inner)
        by_split = {s: str(f) for s, names in FOLDERS.items() for f in folders if f.name in names}
        if files and all(map(is_table, files)) and not classes:
            _check_one_format(folder, files)
            return Layout(folder.name, *_tables({s: _contents(Path(f))[0] for s, f in by_split.items()}, by_split))
        return _texts_in_folder(folder, files, classes)
    if files and folders:
        raise DataError(f"{folder} has files ({_names(files)}) beside folders ({_names(folders)}): give one of them")
    if folders:
        return _texts_in_folder(folder, files, folders)
    if not files:
        raise DataError(f"{folder} is empty")
    if translations := _translate_folder(folder, files, source, target):
        return translations
    if languages := _languages(files):
        return _languages_in_folder(folder, languages, source, target)
    _check_one_format(folder, files)
    named = _by_split(folder, files)
    if is_table(files[0]):
        settings = {s: str(p[0]) if len(p) == 1 else list(map(str, p)) for s, p in named.items()}
        settings = settings if len(named) > 1 or len(files) == 1 else {"train": str(folder)}
        return Layout(folder.name, *_tables(named, settings))
    if len(named) > 1 or len(files) == 1:
        return _running_text(folder.name, {split: list(map(str, paths)) for split, paths in named.items()})
    return _texts_in_folder(folder, files, [])


def _contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files and folders in a folder, sorted, without hidden ones and those that are about the data."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "_")))
    files = [path for path in entries if path.is_file() and path.name.lower().split(".")[0] not in NO_DATA]
    return files, [path for path in entries if path.is_dir()]


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths[:5]) + (", …" if len(paths) > 5 else "")


def _check_one_format(folder: Path, files: Sequence[Path]) -> None:
    """Refuses files of several formats."""
    suffixes = Counter(bare_suffix(path) for path in files)
    if len(suffixes) > 1:
        counts = ", ".join(f"{count:,} {suffix or 'without a suffix'}" for suffix, count in suffixes.most_common())
        raise DataError(
            f"{folder} has files of several formats: {counts}; give one file, or a folder that holds one format"
        )
    if not (is_table(files[0]) or next(iter(suffixes)) in TEXT_SUFFIXES):
        known = ", ".join((*TABLE_SUFFIXES, *TEXT_SUFFIXES[1:]))
        raise DataError(f"{folder}: no format is known by the suffix {next(iter(suffixes))!r}; known are {known}")


def _by_split(folder: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """Split → files, by the first word of their names; all are of train where none says a split."""
    words = {path: re.split(r"[^a-z]+", stem(path).lower(), maxsplit=1)[0] for path in files}
    named = {split: [p for p in files if words[p] in names] for split, names in FOLDERS.items()}
    named = {split: paths for split, paths in named.items() if paths}
    unnamed = [path for path in files if not any(path in paths for paths in named.values())]
    if unnamed and named:
        raise UsageError(
            f"{folder}: to which split do {_names(unnamed)} belong, beside {_names([p for ps in named.values() for p in ps])}? "
            "Name the files: TRAIN, --validation, --test"
        )
    if named and "train" not in named:
        raise DataError(f"{folder} has files of {' and '.join(named)}, but none of train")
    return named or {"train": list(files)}


def _texts_in_folder(folder: Path, files: Sequence[Path], folders: Sequence[Path]) -> Layout:
    """A file a text; where they lie in folders of their own, these are classes."""
    inner = [path for subfolder in folders for path in _contents(subfolder)[0]]
    suffixes = Counter("".join(path.suffixes[-2:] if compression_of(path) else path.suffix) for path in files or inner)
    if not suffixes:
        raise DataError(f"{folder} has folders ({_names(folders)}) without files in them")
    if len(suffixes) > 1 and suffixes.most_common(2)[1][1] * 10 > suffixes.total():
        counts = ", ".join(f"{count:,} {suffix or 'without a suffix'}" for suffix, count in suffixes.most_common(5))
        raise DataError(f"{folder} has files of several formats: {counts}; keep those of one format in it")
    suffix = suffixes.most_common(1)[0][0]
    if suffix not in TEXT_SUFFIXES and suffix not in [t + c for t in TEXT_SUFFIXES for c in COMPRESSIONS]:
        raise DataError(
            f"{folder}: its folders hold files that end in {suffix!r}; a file a text must be plain text, as .txt"
        )
    reason = "a folder a class, a file a text" if folders else "a file a text"
    source = {"name": Choice("directory", reason), "root": Choice(str(folder))}
    if suffix != ".txt":
        source["suffix"] = Choice(suffix, f"{suffixes[suffix]:,} files end so")
    return Layout(folder.name, source, kinds=("labelled", "text") if folders else ("text",))


def _languages(files: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """What stands before the language in the names → language → file, where all have one."""
    languages: dict[str, dict[str, Path]] = {}
    for path in files:
        if not (language := _language(path)):
            return {}
        languages.setdefault(stem(path).removesuffix(f".{language}"), {})[language] = path
    return languages if any(len(paths) > 1 for paths in languages.values()) else {}


def _two_languages(folder: Path, there: Sequence[str], source: str | None, target: str | None) -> tuple[str, str]:
    """Source and target among the languages of a folder."""
    if source and target:
        for option, language in (("--source", source), ("--target", target)):
            if language not in there:
                raise UsageError(f"{folder}: {option}: {unknown('language', language, there)}")
        return source, target
    if len(there) != 2 or source or target:
        raise UsageError(
            f"{folder} has the languages {', '.join(there)}: choose two with --source and --target, as "
            f"--source {there[0]} --target {there[-1]}"
        )
    return (there[0], there[1]) if there[1] != "en" else (there[1], there[0])


def _languages_in_folder(
    folder: Path, languages: Mapping[str, Mapping[str, Path]], source: str | None, target: str | None
) -> Layout:
    """Files as `train.en`, `train.de`."""
    there = sorted({language for paths in languages.values() for language in paths})
    source, target = _two_languages(folder, there, source, target)
    both = {name: paths for name, paths in languages.items() if {source, target} <= set(paths)}
    if not both:
        raise DataError(f"{folder} has no files of {source} and {target} that are called alike, as train.{source}")
    split_of = _by_split(folder, [paths[source] for paths in both.values()])
    pairs = {
        split: [
            {side: str(p[lang]) for side, lang in (("source", source), ("target", target))}
            for p in both.values()
            if p[source] in paths
        ]
        for split, paths in split_of.items()
    }
    return _parallel(folder.name, pairs)


def _translate_folder(folder: Path, files: Sequence[Path], source: str | None, target: str | None) -> Layout | None:
    """Files as `en.train.txt`, `de.train.txt`, which the source `parallel` finds by itself; None for others."""
    names = [TRANSLATE_FOLDER.fullmatch(path.name) for path in files]
    if not all(names):
        return None
    source, target = _two_languages(folder, sorted({name[1] for name in names if name}), source, target)
    settings = {"directory": str(folder), "source_language": source, "target_language": target}
    choices = {key: Choice(value) for key, value in settings.items()}
    return Layout(folder.name, {"name": Choice("parallel", "LANGUAGE.SPLIT.txt"), **choices}, kinds=("pairs",))
