"""Tokenizers of pretrained causal models: the words of each family, special tokens, and texts that come back as they were."""

import io
import itertools
import json

import numpy as np
import pytest

from nlp_suite.config import TextSettings
from nlp_suite.errors import ConfigError
from nlp_suite.pretrained.folder import open_folder
from nlp_suite.text.text_layer import END, PAD, START, UNKNOWN, TextLayer
from nlp_suite.text.tokenizers.preset import PresetTokenizer
from tests.text.nasty import NASTY
from tests.text.preset_folders import TEXTS

QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
MODEL_TYPES = {"gpt2": "gpt2", "smollm2": "llama", "llama3": "llama", "qwen2": "qwen2"}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>' }}\n"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPACES = ["".join(parts) for parts in itertools.product(" \n\t", repeat=3)]
WORDS = [
    f"{before}{space}{after}" for before, after in (("a", "b"), ("7", "8"), ("!", "?"), ("", "")) for space in SPACES
]
FURTHER = [
    *WORDS,
    "I'll don't WE'VE 12345 x1y2",
    "(hello)\r\n\r\n  world!!\n",
    "a\u00a0b\u2028 c",
    "½ ¾ 四十二 ١٢٣",
    "ﬁ e\u0301 é",
]


def pre_tokenizer(label):
    from tokenizers import Regex, pre_tokenizers

    def split(pattern):
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), byte_level])

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return {
        "gpt2": lambda: byte_level,
        "smollm2": lambda: pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level]),
        "qwen2": lambda: split(QWEN),
        "llama3": lambda: split(LLAMA3),
    }[label]()


def oracle(label):
    tokenizers = pytest.importorskip("tokenizers")
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = tokenizers.Tokenizer(models.BPE(ignore_merges=label == "llama3"))
    if label == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer(label), decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=letters, show_progress=False)
    tokenizer.train_from_iterator([*TEXTS, *FURTHER * 3], trainer)
    tokenizer.add_special_tokens(SPECIAL)
    if label == "llama3":
        template = tokenizers.processors.TemplateProcessing(
            single="<|im_start|> $A", special_tokens=[("<|im_start|>", tokenizer.token_to_id("<|im_start|>"))]
        )
        tokenizer.post_processor = tokenizers.processors.Sequence([tokenizers.processors.ByteLevel(), template])
    tokenizer.encode_special_tokens = True
    return tokenizer


def write(path, label, **config):
    tokenizer = oracle(label)
    path.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path / "tokenizer.json"))
    end = "<|endoftext|>" if label == "gpt2" else "<|im_end|>"
    settings = {"eos_token": end, "bos_token": "<|im_start|>", "unk_token": "<|endoftext|>", "pad_token": end}
    (path / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": CHAT}))
    size = tokenizer.get_vocab_size() + 2
    (path / "config.json").write_text(json.dumps({"model_type": MODEL_TYPES[label], "vocab_size": size, **config}))
    return tokenizer


def edit(path, change):
    content = json.loads((path / "tokenizer.json").read_text())
    change(content)
    (path / "tokenizer.json").write_text(json.dumps(content))


def layer_of(path, **settings):
    tokenizer = PresetTokenizer.of_folder(open_folder(str(path)))
    both = {"add_start": False, "add_end": False, "max_length": 10**7, "max_characters": 10**7}
    return TextLayer(TextSettings(tokenizer="preset", **{**both, **settings}), tokenizer)


def test_pieces_that_are_called_as_special_tokens_are_pieces(tmp_path):
    """Qwen2 merges letters to `</s>` and `<unk>`; neither is a token that its texts begin or end with."""
    tokenizer = write(tmp_path / "q", "qwen2")

    def add_pieces(content):
        model, new = (
            content["model"],
            [("<", "/"), ("</", "s"), ("</s", ">"), ("<", "u"), ("<u", "n"), ("<un", "k"), ("<unk", ">")],
        )
        known = [list(pair) for pair in model["merges"]]
        for pair in new:
            model["vocab"].setdefault("".join(pair), len(model["vocab"]) + 10)
            if list(pair) not in known:
                model["merges"].append(list(pair))

    edit(tmp_path / "q", add_pieces)
    settings = json.loads((tmp_path / "q" / "tokenizer_config.json").read_text())
    del settings["unk_token"]
    (tmp_path / "q" / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "q" / "config.json").write_text(
        json.dumps({"model_type": "qwen2", "vocab_size": tokenizer.get_vocab_size() + 40})
    )
    layer = layer_of(tmp_path / "q")
    layer.save(tmp_path / "saved")
    theirs = type(tokenizer).from_file(str(tmp_path / "q" / "tokenizer.json"))
    for text in ("a</s>", "a<unk>"):
        (row,) = TextLayer.load(tmp_path / "saved").encode([text])
        assert layer.tokenizer.model_ids[row].tolist() == theirs.encode(text, add_special_tokens=False).ids
        assert END not in row and UNKNOWN not in row and layer.decode([row]) == [text]


@pytest.fixture(scope="module", params=MODEL_TYPES)
def label(request):
    return request.param


@pytest.fixture(scope="module")
def written(label, tmp_path_factory):
    path = tmp_path_factory.mktemp("causal") / label
    return path, write(path, label), layer_of(path)


def test_the_ids_are_those_of_the_oracle_and_the_text_comes_back(label, written):
    _, tokenizer, layer = written
    left_out = {"NUL", "only NUL", "a megabyte", "a megabyte without a space"}
    nasty = [text for name, text in NASTY.items() if name not in left_out and "surrogate" not in name]
    texts = [t if isinstance(t, str) else t.decode("utf-8", "replace") for t in [*TEXTS, *FURTHER, *nasty]]
    texts = [text for text in texts if text]
    rows = layer.encode(texts)
    theirs = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    found = [(t, a) for t, r, a in zip(texts, rows, theirs, strict=True) if layer.tokenizer.model_ids[r].tolist() != a]
    assert found == []
    assert layer.decode(rows) == layer.normalise(texts)
    if label != "qwen2":
        assert layer.normalise(texts) == texts


def test_special_tokens_are_as_the_model_has_them(label, written, tmp_path):
    _, of_model, layer = written
    tokenizer, ids = layer.tokenizer, layer.tokenizer.model_ids
    end, start = of_model.token_to_id("<|im_end|>"), of_model.token_to_id("<|endoftext|>")
    if label == "gpt2":
        end = start
    if label == "llama3":
        start = of_model.token_to_id("<|im_start|>")
    assert (ids[START], ids[END], ids[PAD]) == (start, end, -1)
    # unknown pieces: none, unless the model has a token for them that does nothing else
    assert ids[UNKNOWN] == (of_model.token_to_id("<|endoftext|>") if label == "llama3" else -1)
    assert tokenizer.document_start == START and tokenizer.reads_line_breaks
    assert tokenizer.starts_prompts is (label == "llama3")
    outputs = ids[~tokenizer.no_output]
    size = of_model.get_vocab_size()
    assert sorted(outputs) == list(range(size + 2))
    assert ids[tokenizer.without_piece].tolist() == [size, size + 1]
    layer.save(tmp_path / "text")
    again = TextLayer.load(tmp_path / "text")
    assert again.fingerprint == layer.fingerprint
    assert np.array_equal(again.tokenizer.model_ids, ids) and again.tokenizer.document_start == START
    assert again.tokenizer.starts_prompts is tokenizer.starts_prompts
    row = layer.encode(["<|im_end|> is a text"])[0]
    assert not set(row.tolist()) & {PAD, UNKNOWN, START, END}


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("qwen2", lambda c: c["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex="x"), "other words than those of"),
        ("qwen2", lambda c: c.update(normalizer={"type": "NFKC"}), "normalises by NFKC"),
        ("smollm2", lambda c: c["pre_tokenizer"]["pretokenizers"][0].update(individual_digits=False), "other words"),
        ("gpt2", lambda c: c["added_tokens"].append({"id": 423, "content": "plain", "special": False}), "plain"),
        ("gpt2", lambda c: c["model"].update(byte_fallback=True), "BPE with byte_fallback True"),
        ("llama3", lambda c: c["post_processor"]["processors"].append({"type": "BertProcessing"}), "BertProcessing"),
        ("llama3", lambda c: c["model"].update(merges=c["model"]["merges"][:-9]), "9 pieces that no merges lead to"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_as_the_model_has_it_is_refused(tmp_path, name, change, message):
    write(tmp_path, name)
    edit(tmp_path, change)
    with pytest.raises(ConfigError, match=message):
        PresetTokenizer.of_folder(open_folder(str(tmp_path)))


def test_tokens_that_are_named_as_special_ones_are(tmp_path):
    write(tmp_path, "qwen2")
    edit(tmp_path, lambda c: c["added_tokens"].append({"id": 424, "content": "<tool_call>", "special": False}))
    layer = layer_of(tmp_path)
    assert layer.decode(layer.encode(["a <tool_call> b"])) == ["a <tool_call> b"]
    assert "<tool_call>" not in layer.id_to_token(layer.encode(["a <tool_call> b"])[0])


def test_the_older_files_say_enough_of_gpt2_and_qwen2_and_too_little_of_llama(tmp_path):
    for name in ("gpt2", "qwen2", "smollm2"):
        folder = tmp_path / name
        expected = write(folder, name)
        rows = PresetTokenizer.of_folder(open_folder(str(folder))).assets()
        content = json.loads((folder / "tokenizer.json").read_text())
        (folder / "vocab.json").write_text(json.dumps(content["model"]["vocab"]))
        (folder / "added_tokens.json").write_text(json.dumps({t: expected.token_to_id(t) for t in SPECIAL}))
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in content["model"]["merges"]]
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
        (folder / "tokenizer.json").unlink()
        opened = open_folder(str(folder))
        if name == "smollm2":
            with pytest.raises(ConfigError, match="how llama cuts a text into words is known by tokenizer.json only"):
                PresetTokenizer.of_folder(opened)
        else:
            assert PresetTokenizer.of_folder(opened).assets() == rows


def sentencepiece_model(prefix):
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*TEXTS, *(text.replace("\n", " ") for text in FURTHER)]),
        model_writer=model,
        model_type="bpe",
        vocab_size=420,
        hard_vocab_limit=False,
        byte_fallback=True,
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        user_defined_symbols=["\n\n", "<table>"],
        normalization_rule_name="identity",
        add_dummy_prefix=prefix,
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return model.getvalue()


@pytest.mark.parametrize("prefix", [False, True], ids=["gemma", "llama2"])
def test_sentencepieces_own_bpe_cuts_as_sentencepiece_does(tmp_path, prefix):
    import sentencepiece

    content = sentencepiece_model(prefix)
    (tmp_path / "tokenizer.model").write_bytes(content)
    processor = sentencepiece.SentencePieceProcessor(model_proto=content)
    size = processor.get_piece_size() + 3
    config = {"model_type": "llama" if prefix else "gemma", "vocab_size": size}
    (tmp_path / "config.json").write_text(json.dumps(config))
    layer = layer_of(tmp_path)
    left_out = {"NUL", "only NUL", "a megabyte", "a megabyte without a space"}
    nasty = [text for name, text in NASTY.items() if name not in left_out and "surrogate" not in name]
    texts = [t if isinstance(t, str) else t.decode("utf-8", "replace") for t in [*TEXTS, *FURTHER, *nasty]]
    texts = [text for text in texts if text and "▁" not in text]
    rows = layer.encode(texts)
    assert [layer.tokenizer.model_ids[row].tolist() for row in rows] == processor.encode(texts)
    assert layer.decode(rows) == texts
    assert layer.tokenizer.model_ids[:4].tolist() == [0, 3, 2, 1] and layer.tokenizer.starts_prompts
    assert layer.vocabulary_size == size
    layer.save(tmp_path / "text")
    assert TextLayer.load(tmp_path / "text").decode(rows) == texts
    (tmp_path / "tokenizer.model").write_bytes(b"no model")
    with pytest.raises(ConfigError, match=r"tokenizer\.model is damaged"):
        PresetTokenizer.of_folder(open_folder(str(tmp_path)))


def test_bytes_that_the_model_has_no_piece_for_are_dropped(tmp_path):
    """As SmolLM2 has none for some control characters; what stands around them is then merged."""
    import tokenizers

    write(tmp_path, "gpt2")
    letters = {"\x04": "Ą", "\x7f": "ġ"}  # both are written so by GPT-2
    edit(tmp_path, lambda c: [c["model"]["vocab"].pop(letter) for letter in letters.values()])
    of_model = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    layer = layer_of(tmp_path)
    texts = ["a\x04b", ".\x04..\x7f.", "\x04", "the\x7f film"]
    rows = layer.encode(texts)
    theirs = [encoding.ids for encoding in of_model.encode_batch(texts, add_special_tokens=False)]
    assert [layer.tokenizer.model_ids[row].tolist() for row in rows if END not in row] == [ids for ids in theirs if ids]
    assert layer.decode(rows) == ["ab", "....", "", "the film"] and not layer.tokenizer.lossless
