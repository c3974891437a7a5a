"""Chat templates in Ollama's words.

Ollama renders with Go's templates, models come with Jinja's; one cannot be translated into the other in general. So a
family is recognised by what its template *does*: it is written only where conversations rendered by the Go template,
read here by the few words it uses, are the very text that the model's own template gives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opd.errors import InputError
from opd.export.checks import CONVERSATIONS

_CHATML = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
_LLAMA3 = (
    "<|begin_of_text|>{{ range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n{{ .Content }}<|eot_id|>"
    "{{ end }}<|start_header_id|>assistant<|end_header_id|>\n\n"
)
FAMILIES: dict[str, tuple[str, str]] = {"ChatML": (_CHATML, "<|im_end|>"), "Llama 3": (_LLAMA3, "<|eot_id|>")}
"""Name → template in Go's words, and the text that ends an answer."""
_LOOP = re.compile(r"\{\{ range \.Messages \}\}(.*?)\{\{ end \}\}", re.DOTALL)


@dataclass(frozen=True)
class OllamaTemplate:
    """A template, the text that ends an answer, and the system message that the model's own template adds by itself."""

    family: str
    template: str
    stop: str
    system: str | None


def find_template(tokenizer: Any) -> OllamaTemplate:
    """The family whose template gives the same text as the model's.

    Raises:
        InputError: none does.
    """
    rendered = [
        tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
        for messages in CONVERSATIONS
    ]
    for family, (template, stop) in FAMILIES.items():
        system = _own_system(template, rendered[0])
        texts = [render(template, with_system(messages, system)) for messages in CONVERSATIONS]
        if texts == rendered:
            return OllamaTemplate(family, template, stop, system)
    raise InputError(
        "This model's chat template gives other text than the templates that can be written in Ollama's words "
        f"({', '.join(FAMILIES)}).",
        hint="Export it as gguf: the file holds the model's own template, which llama.cpp's server uses.",
    )


def render(template: str, messages: Sequence[Mapping[str, str]]) -> str:
    """What Go's template engine makes of one of `FAMILIES`."""

    def each(found: re.Match[str]) -> str:
        return "".join(
            found[1].replace("{{ .Role }}", message["role"]).replace("{{ .Content }}", message["content"])
            for message in messages
        )

    return _LOOP.sub(each, template)


def with_system(messages: Sequence[Mapping[str, str]], system: str | None) -> list[Mapping[str, str]]:
    """As Ollama does with SYSTEM: put in front where a conversation brings none."""
    if system is None or messages[0]["role"] == "system":
        return list(messages)
    return [{"role": "system", "content": system}, *messages]


def modelfile(template: OllamaTemplate, gguf_name: str) -> str:
    """What `ollama create` reads."""
    lines = [f"FROM ./{gguf_name}", f'TEMPLATE """{template.template}"""']
    if template.system is not None:
        lines.append(f'SYSTEM """{template.system}"""')
    return "\n".join([*lines, f"PARAMETER stop {json.dumps(template.stop)}", ""])


def _own_system(template: str, rendered: str) -> str | None:
    """The system message that stands in a conversation which brought none."""
    marked = render(template, [{"role": "system", "content": "\0"}, *CONVERSATIONS[0]])
    before, _, after = marked.partition("\0")
    if rendered.startswith(before) and rendered.endswith(after):
        return rendered[len(before) : len(rendered) - len(after)]
    return None
