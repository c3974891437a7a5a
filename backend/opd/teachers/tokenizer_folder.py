"""A model folder's tokenizer and chat template, read directly: for checks that must be quick and load no ML package.

In: a folder that passed the gate. Out: `TokenizerFolder`: text to ids, conversations to text. Templates run in Jinja's
sandbox, with the names that Hugging Face gives them. Training itself uses transformers; a test holds the two together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from opd.errors import ModelMismatchError
from opd.model_files import ModelFacts, check_model_folder, check_tokenizer_folder, read_facts

_SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class TemplateMissingError(ModelMismatchError):
    """No chat template: chat prompts cannot be put to this model."""

    code = "template_missing"


class TokenizerUnusableError(ModelMismatchError):
    """A tokenizer without a tokenizer.json, or one that cannot be read."""

    code = "tokenizer_unusable"


@dataclass(frozen=True)
class TokenizerFolder:
    """One model's way of reading."""

    folder: Path
    backend_tokenizer: Any
    """`tokenizers.Tokenizer`; the name is transformers' own, so that this object can stand for a fast tokenizer."""
    facts: ModelFacts
    special_tokens: Mapping[str, str]
    template: str | None

    @staticmethod
    def load(folder: Path, *, alone: bool = False) -> TokenizerFolder:
        """Read a folder.

        Args:
            alone: the tokenizer is all that is there: the model is elsewhere. Its facts are then as far as known.

        Raises:
            ModelNotFoundError, UnsafeModelError: from the gate.
            TokenizerUnusableError: no readable tokenizer.json.
        """
        from tokenizers import Tokenizer

        if alone:
            check_tokenizer_folder(folder)
        else:
            check_model_folder(folder)
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise TokenizerUnusableError(
                f"{folder} has no tokenizer.json.",
                hint="Convert it: load the tokenizer with transformers (fast) and save it into the folder.",
            )
        try:
            backend = Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001  # the library raises bare Exception
            raise TokenizerUnusableError(
                f"{path} cannot be read: {error}.", hint="Fetch the model folder again, or update tokenizers."
            ) from None
        settings = {**_json(folder / "special_tokens_map.json"), **_json(folder / "tokenizer_config.json")}
        named = {name: _content(settings[name]) for name in _SPECIAL_NAMES if settings.get(name)}
        facts = read_facts(folder, with_weights=not alone)
        return TokenizerFolder(folder, backend, facts, named, _template(folder, settings))

    @property
    def num_tokens(self) -> int:
        """Tokens that the tokenizer knows; the model's outputs may be padded beyond them."""
        return int(self.backend_tokenizer.get_vocab_size(with_added_tokens=True))

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Ids by name."""
        return dict(self.backend_tokenizer.get_vocab(with_added_tokens=True))

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Every id that ends an answer: the model's own list first, the tokenizer's beside it."""
        ids = list(self.facts.eos_token_ids)
        own = self.vocabulary.get(self.special_tokens.get("eos_token", ""))
        return (*ids, *([own] if own is not None and own not in ids else []))

    @cached_property
    def end_of_turn(self) -> int | None:
        """The special token that the template puts after an assistant's text; None where it puts none."""
        text = self.render([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Certainly."}], False)
        after = text.rpartition("Certainly.")[2]
        specials = {
            index for index, token in self.backend_tokenizer.get_added_tokens_decoder().items() if token.special
        }
        return next((token for token in self.encode(after) if token in specials), None)

    def encode(self, text: str) -> list[int]:
        """Text to ids, without additions of the tokenizer's own; special tokens in the text are special."""
        return list(self.backend_tokenizer.encode(text, add_special_tokens=False).ids)

    def text_of(self, ids: Sequence[int]) -> str:
        """Ids to text, special tokens included."""
        return str(self.backend_tokenizer.decode(list(ids), skip_special_tokens=False))

    def render(self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = True) -> str:
        """A conversation as the model's text.

        Raises:
            TemplateMissingError: there is no template, or it does not take these messages.
        """
        from jinja2 import TemplateError

        if self.template is None:
            raise TemplateMissingError(
                f"The tokenizer in {self.folder} has no chat template.",
                hint="Take the instruct or chat version of this model; base models usually have none.",
            )
        try:
            return str(
                _compile(self.template).render(
                    messages=list(messages),
                    tools=None,
                    documents=None,
                    add_generation_prompt=add_generation_prompt,
                    **self.special_tokens,
                )
            )
        except TemplateError as error:
            raise TemplateMissingError(
                f"The chat template in {self.folder} does not take this conversation: {error.message}",
                hint="Remove system messages from the prompts, or take a model whose template knows them.",
            ) from None


def _compile(template: str) -> Any:
    """A template in the environment that Hugging Face's templates are written for."""
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def tojson(value: Any, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    # Marks for training masks; the text between them is rendered as it is.
    for mark in ("generation", "endgeneration"):
        for left, right in (("{%", "%}"), ("{%-", "-%}"), ("{%-", "%}"), ("{%", "-%}")):
            template = template.replace(f"{left} {mark} {right}", "")
    return environment.from_string(template)


def _template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    given = settings.get("chat_template")
    if isinstance(given, list):  # several, by name
        named = {entry.get("name"): entry.get("template") for entry in given if isinstance(entry, dict)}
        given = named.get("default")
    return given if isinstance(given, str) and given else None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _content(value: Any) -> str:
    return str(value.get("content", "")) if isinstance(value, dict) else str(value)
