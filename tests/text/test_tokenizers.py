"""Every tokenizer of the registry goes through the same checks, and so does one that was just written."""

import functools

import pytest

from nlp_suite.config import ComponentSettings
from nlp_suite.registry import TOKENIZERS
from nlp_suite.text.tokenizers.base import Tokenizer
from nlp_suite.text.tokenizers.byte import ByteTokenizer
from tests.text.tokenizer_checks import (
    CHECKS,
    PRESET_CHECKS,
    PRESETS,
    VARIANTS,
    check_nasty_strings_one_by_one_and_batched,
    run_tokenizer_checks,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("label", VARIANTS)
def test_every_tokenizer(label, check):
    check(label)


@pytest.mark.parametrize("check", PRESET_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("label", PRESETS)
def test_every_kind_of_pretrained_tokenizer(label, check):
    pytest.importorskip("tokenizers")
    check(label)


@pytest.mark.parametrize(
    "check",
    [check for check in CHECKS if check not in PRESET_CHECKS],
    ids=lambda check: check.__name__.removeprefix("check_"),
)
def test_byte_level_bpe_loses_nothing(check):
    pytest.importorskip("tokenizers")
    check("preset byte_bpe")


class Reversed(ByteTokenizer):
    """Bytes whose ids run backwards."""

    def __init__(self):
        super().__init__()
        self.tokens = [*self.tokens[:4], *self.tokens[:3:-1]]

    @functools.cached_property
    def _flip(self):
        import tensorflow as tf

        return lambda ids: ids.with_flat_values(tf.where(ids.flat_values > 3, 263 - ids.flat_values, ids.flat_values))

    def tokenize(self, text, resources):
        return self._flip(super().tokenize(text, resources))

    def detokenize(self, ids, resources):
        return super().detokenize(self._flip(ids), resources)


class Forgetful(Reversed):
    """Says that nothing is lost, and decodes without what it has done to the ids."""

    def detokenize(self, ids, resources):
        return ByteTokenizer.detokenize(self, ids, resources)


def test_a_new_tokenizer_is_checked_by_its_name():
    with TOKENIZERS.temporary():
        for cls in (Reversed, Forgetful):
            TOKENIZERS.register(ComponentSettings, name=cls.__name__.lower())(cls)
        run_tokenizer_checks("reversed")
        with pytest.raises(AssertionError):
            check_nasty_strings_one_by_one_and_batched("forgetful")


def test_a_tokenizer_that_lacks_something_is_refused():
    class Half(ByteTokenizer):
        detokenize = Tokenizer.detokenize

    with TOKENIZERS.temporary(), pytest.raises(TypeError, match=r"tokenizer 'half' .* does not define: detokenize"):
        TOKENIZERS.register(name="half")(Half)
