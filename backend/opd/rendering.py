"""Prompts as a model reads them: through its own chat template, token by token, before anything is trained.

In: prompts, and a model's folder on this machine. Out: tokens in order, their number, and where training begins. Every
token of a prompt is read and none is trained on: the loss is over what the student writes after it. Loads no ML
package.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from opd.data_loader import PromptRecord
from opd.errors import ModelNotFoundError
from opd.hub_cache import local_folder
from opd.teachers.tokenizer_folder import TokenizerFolder

MAX_COUNTED = 2000
"""Prompts whose tokens are counted; a file of a million would keep the page waiting."""
_MAX_SHOWN_TOKENS = 1500


class RenderingPart(BaseModel):
    """Base of the shapes: frozen, unknown keys refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )


class RenderedToken(RenderingPart):
    """One token, as the piece of text that it stands for."""

    text: str
    special: bool
    """A mark of the model, such as <|im_start|>, and no text."""


class RenderedPrompt(RenderingPart):
    """One prompt as the model reads it."""

    id: str
    line: int
    tokens: list[RenderedToken]
    """At most 1,500; joined they are the text."""
    num_tokens: int
    """All of them. None is trained on."""


class Rendering(RenderingPart):
    """Prompts through one model's chat template."""

    model: str
    prompts: list[RenderedPrompt]
    num_counted: int
    """Prompts that the statistics are about."""
    shortest: int
    median: int
    longest: int
    context_length: int
    end: str
    """What ends an answer; empty where the template puts nothing there. The student learns to write it."""


def render_prompts(model: str, records: Sequence[PromptRecord], num_shown: int) -> Rendering:
    """The first prompts token by token, and how long all of them are.

    Raises:
        ModelNotFoundError: the model is not on this machine.
        UnsafeModelError, ModelMismatchError: its folder cannot be used, or has no chat template for these prompts.
    """
    folder = local_folder(model)
    if folder is None:
        raise ModelNotFoundError(
            f"The model {model[:120]!r} is not on this machine, so its chat template is not known yet.",
            hint="Choose a model that is here, or start a run with it: that downloads it.",
        )
    tokenizer = TokenizerFolder.load(folder)
    texts = [tokenizer.render(record.messages) for record in records[:MAX_COUNTED]]
    lengths = sorted(len(tokenizer.encode(text)) for text in texts)
    end = tokenizer.end_of_turn
    return Rendering(
        model=model,
        prompts=[_rendered(tokenizer, record, text) for record, text in zip(records[:num_shown], texts, strict=False)],
        num_counted=len(lengths),
        shortest=lengths[0] if lengths else 0,
        median=lengths[len(lengths) // 2] if lengths else 0,
        longest=lengths[-1] if lengths else 0,
        context_length=tokenizer.facts.context_length,
        end="" if end is None else tokenizer.text_of([end]),
    )


def _rendered(tokenizer: TokenizerFolder, record: PromptRecord, text: str) -> RenderedPrompt:
    encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
    specials = {index for index, token in added.items() if token.special}
    tokens: list[RenderedToken] = []
    begin = 0
    # Tokens that are parts of one character share its place: the first of them carries it.
    for index, (_, stop) in zip(encoding.ids[:_MAX_SHOWN_TOKENS], encoding.offsets, strict=False):
        tokens.append(RenderedToken(text=text[begin : max(begin, stop)], special=index in specials))
        begin = max(begin, stop)
    return RenderedPrompt(id=record.id, line=record.line, tokens=tokens, num_tokens=len(encoding.ids))
