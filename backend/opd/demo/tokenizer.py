"""The demo models' tokenizer: a small byte-level BPE in the standard Hugging Face form, with a ChatML template.

In: nothing but the task's own words. Out: a fast tokenizer that any text survives, with every digit a token of its own
(or, as a variant, runs of digits left to BPE), padding on the left and a padding token that is not the end token.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from opd.demo.task import draw_question, solve

VOCABULARY_SIZE = 512  # an upper limit: the task's words need fewer
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_NUM_TEXTS = 4000
_ROLES = "system\nuser\nassistant\n"


def build_tokenizer(seed: int = 0, *, split_digits: bool = True, vocabulary_size: int = VOCABULARY_SIZE) -> Any:
    """Train the tokenizer.

    Args:
        split_digits: every digit alone. False leaves numbers to BPE: frequent pairs of digits become one token.
        vocabulary_size: at most so many tokens, the 256 bytes and 3 special ones included.
    """
    tokenizer = Tokenizer(models.BPE())
    whole_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = [pre_tokenizers.Digits(individual_digits=split_digits)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*digits, whole_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[PAD, START, END],
        # A merge seen only a few times joins the end of one number to something by chance.
        min_frequency=20,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(seed), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        padding_side="left",
        model_max_length=512,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def _texts(seed: int) -> Iterator[str]:
    rng = random.Random(f"tokenizer:{seed}")
    for _ in range(_NUM_TEXTS):
        question = draw_question("train", rng, difference_share=0.5)
        yield f"{_ROLES}{question.text}\n{solve(question, rng)}"
