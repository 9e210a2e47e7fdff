"""What a corpus looks like: labels, documents or pairs, lengths, duplicates within and across splits, a few examples."""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping

from nlp_suite.data.corpus_stats import SHOWN, duplicates, figures, shortened, text_hash
from nlp_suite.data.inspect_pairs import inspect_pairs
from nlp_suite.data.kinds.text import lines


def inspect(examples: Mapping[str, Iterable[dict[str, str]]], store_statistics: dict | None = None) -> dict:
    """Reads every split of labelled texts once and counts; of a text only its hash and lengths are kept.

    Args:
        examples: split to examples `{"text": …, "label": …}`, label optional; any iterable.
        store_statistics: token statistics by split, as `prepare` gives them; passed through as `tokens`.

    Returns:
        A JSON-able dict:

        * `kind`: `"labelled"`;
        * `splits`: split → `examples`, `labels` (label → rows), `empty_texts`, and `characters` and `words`, each with
          `min`, `mean`, `p5`, `p50`, `p95`, `p99`, `max`;
        * `duplicates`: `within` (split → rows whose text came before in that split), `across` (a list of `split`,
          `also_in`, `rows`: rows whose text also occurs in an earlier split) and `conflicting` (texts that occur with
          more than one label, anywhere);
        * `examples`: label → the first few texts, cut to 200 characters;
        * `tokens`: `store_statistics`.

    Example:
        >>> inspect({"train": [{"text": "fine", "label": "pos"}]})["splits"]["train"]["labels"]
        {'pos': 1}
    """
    report = {"kind": "labelled", "splits": {}, "duplicates": {}, "examples": {}}
    seen: dict[str, array] = {}  # split → hashes of its texts
    labels_of: dict[int, str] = {}
    conflicting = set()
    for split, rows in examples.items():
        labels, characters, words, texts = Counter(), array("q"), array("q"), array("Q")
        for example in rows:
            text, label = example["text"], example.get("label")
            key = text_hash(text)
            texts.append(key)
            characters.append(len(text))
            words.append(len(text.split()))
            if label is None:
                continue
            labels[label] += 1
            if labels_of.setdefault(key, label) != label:
                conflicting.add(key)
            shown = report["examples"].setdefault(label, [])
            if len(shown) < SHOWN:
                shown.append(shortened(text))
        report["splits"][split] = {
            "examples": len(characters),
            "labels": dict(sorted(labels.items())),
            "empty_texts": characters.count(0),
            "characters": figures(characters),
            "words": figures(words),
        }
        seen[split] = texts
    report["duplicates"] = {**duplicates(seen), "conflicting": len(conflicting)}
    report["examples"] = dict(sorted(report["examples"].items()))
    report["tokens"] = store_statistics
    return report


def inspect_text(examples: Mapping[str, Iterable[dict[str, str]]], store_statistics: dict | None = None) -> dict:
    """Reads every split of running text once and counts; of a line only its hash and lengths are kept.

    Args:
        examples: split to examples `{"text": …}`, `"document"` optional, as sources of kind `"text"` give them.
        store_statistics: token statistics by split, as `prepare` gives them; passed through as `tokens`.

    Returns:
        A JSON-able dict:

        * `kind`: `"text"`;
        * `splits`: split → `documents`, `lines`, `blank_lines`, `words` (parted by white space), `characters` (without
          line ends), and by line `line_words`, `line_characters` with `min`, `mean`, `p5`, `p50`, `p95`, `p99`, `max`;
          the same by document as `document_lines`;
        * `duplicates`: `within` and `across` as `inspect` gives them, of lines that are not blank;
        * `examples`: split → its first few lines that are not blank, cut to 200 characters;
        * `tokens`: `store_statistics`.

    Example:
        >>> inspect_text({"train": [{"text": "one\\ntwo"}]})["splits"]["train"]["lines"]
        2
    """
    report = {"kind": "text", "splits": {}, "duplicates": {}, "examples": {}}
    seen: dict[str, array] = {}  # split → hashes of its lines
    for split, rows in examples.items():
        characters, words, documents, texts, shown = array("q"), array("q"), array("q"), array("Q"), []
        blank = 0
        for line, begins in lines(rows):
            if begins:
                documents.append(0)
            documents[-1] += 1
            characters.append(len(line))
            words.append(len(line.split()))
            if not words[-1]:
                blank += 1
                continue
            texts.append(text_hash(line))
            if len(shown) < SHOWN:
                shown.append(shortened(line))
        report["splits"][split] = {
            "documents": len(documents),
            "lines": len(characters),
            "blank_lines": blank,
            "words": sum(words),
            "characters": sum(characters),
            "line_words": figures(words),
            "line_characters": figures(characters),
            "document_lines": figures(documents),
        }
        report["examples"][split] = shown
        seen[split] = texts
    report["duplicates"] = duplicates(seen)
    report["tokens"] = store_statistics
    return report


def inspect_experiment(experiment) -> dict:
    """`inspect`, `inspect_text` or `inspect_pairs` on the splits of an experiment, as its task reads them; nothing is written.

    The validation split and the limit are applied.

    Token statistics are among them once the experiment was prepared.

    Args:
        experiment: a resolved `nlp_suite.config.Experiment`.

    Raises:
        DataError: data that cannot be read.
    """
    from nlp_suite.data.prepare import kind_of, known_statistics, open_source, selected, splits

    source = open_source(experiment)
    chosen = splits(experiment, source)
    examples = {split: selected(source, *choice) for split, choice in chosen.items()}
    make = {"labelled": inspect, "text": inspect_text, "pairs": inspect_pairs}[kind_of(experiment)]
    return make(examples, known_statistics(experiment, source))
