"""The quick reader of tokenizer folders against transformers, and what a template may not do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from opd.teachers.base import TokenLaws
from opd.teachers.pair_checks import PROBE_CONVERSATIONS, PROBE_TEXTS
from opd.teachers.tensors import stack_laws
from opd.teachers.tokenizer_folder import TemplateMissingError, TokenizerFolder
from teachers.pairs import edit


@pytest.mark.parametrize("name", ["student", "other"])
def test_the_quick_reader_reads_like_transformers(models: Path, name: str) -> None:
    from transformers import AutoTokenizer

    slow = AutoTokenizer.from_pretrained(models / name, local_files_only=True)
    quick = TokenizerFolder.load(models / name)
    for text in PROBE_TEXTS:
        assert quick.encode(text) == slow(text, add_special_tokens=False)["input_ids"]
    for conversation in PROBE_CONVERSATIONS:
        for prompt in (True, False):
            assert quick.render(conversation, prompt) == slow.apply_chat_template(
                list(conversation), tokenize=False, add_generation_prompt=prompt
            )
    assert quick.end_of_turn == slow.convert_tokens_to_ids("<|im_end|>")
    assert quick.num_tokens == len(slow)


TEMPLATES = {
    "roles_checked": "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('No system!') }}{% endif %}"
    "{{ bos_token }}[{{ m.role }}] {{ m.content | trim }}{% endfor %}",
    "json_and_loops": "{%- for m in messages -%}{%- if loop.first -%}{%- continue -%}{%- endif -%}"
    "{{ m | tojson }}{%- endfor -%}{% if add_generation_prompt %}>{% endif %}",
    "namespace": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{{ ns.n }}:{{ m['content'] }};{% endfor %}",
    "masked": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_in_the_wild_render_alike(copies: Any, name: str) -> None:
    from transformers import AutoTokenizer

    folder = copies("student")
    (folder / "chat_template.jinja").write_text(TEMPLATES[name])
    edit(folder / "tokenizer_config.json", bos_token="<|im_start|>")
    slow, quick = AutoTokenizer.from_pretrained(folder, local_files_only=True), TokenizerFolder.load(folder)
    for conversation in PROBE_CONVERSATIONS:
        if name == "roles_checked" and conversation[0]["role"] == "system":
            with pytest.raises(TemplateMissingError, match="No system!"):
                quick.render(conversation)
            continue
        assert quick.render(conversation) == slow.apply_chat_template(
            list(conversation), tokenize=False, add_generation_prompt=True
        )


def test_a_template_cannot_leave_its_sandbox(copies: Any) -> None:
    folder = copies("student")
    (folder / "chat_template.jinja").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(TemplateMissingError):
        TokenizerFolder.load(folder).render(PROBE_CONVERSATIONS[0])


def test_a_signal_as_tensors() -> None:
    rows = (
        TokenLaws(np.array([[1, 2]]), np.array([[-0.5, -1.0]], np.float32), np.array([-0.5], np.float32)),
        TokenLaws(np.empty((0, 0), np.int64), np.empty((0, 0), np.float32), np.empty(0, np.float32)),
        TokenLaws(np.array([[3, 4, 5]]), np.array([[-1, -2, -3]], np.float32), np.array([-2.0], np.float32)),
    )
    ids, logprobs, observed = stack_laws(rows)
    assert ids.tolist() == [[1, 2, -1], [3, 4, 5]]
    assert logprobs.tolist() == [[-0.5, -1.0, -torch.inf], [-1, -2, -3]]
    assert observed.tolist() == [-0.5, -2.0]
