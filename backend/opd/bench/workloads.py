"""What a speed measurement works on: shapes of models and batches, and everything built from them.

In: a name or a YAML file. Out: a `Workload`, and from it models with random weights, a tokenizer, and prompts whose
text encodes to exactly the ids asked for. Nothing is downloaded. The end token lies outside the models' vocabulary,
so no model can write it: every completion has full length and every contender does the same work.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import Field, ValidationError

from opd.config import Config
from opd.errors import ConfigError
from opd.model_files import ModelFacts
from opd.training.models import Student

PAD_ID = 0


class Shape(Config):
    """A Qwen3 model with tied embeddings and random weights."""

    width: int = Field(ge=8)
    """Width of the residual stream."""
    layers: int = Field(ge=1)
    """Decoder layers."""
    mlp_width: int = Field(ge=8)
    """Width inside the gated feed-forward block."""
    heads: int = Field(ge=1)
    """Query heads."""
    kv_heads: int = Field(ge=1)
    """Key and value heads."""
    head_width: int = Field(ge=2, multiple_of=2)
    """Width of one head."""

    @property
    def layer_weights(self) -> int:
        """Matrix elements of one layer: what its products read."""
        attention = self.width * self.head_width * 2 * (self.heads + self.kv_heads)
        return attention + 3 * self.width * self.mlp_width

    @property
    def body_weights(self) -> int:
        """Matrix elements of all layers, the embedding aside."""
        return self.layers * self.layer_weights


class Workload(Config):
    """One optimizer step, as every contender has to do it."""

    name: str = "custom"
    """Shown in the report."""
    student: Shape
    """The model that learns."""
    teacher: Shape
    """The model that grades."""
    vocabulary: int = Field(ge=16)
    """Tokens of both models."""
    prompt_tokens: tuple[int, int]
    """Shortest and longest prompt; lengths are spread evenly between them."""
    completion_tokens: int = Field(ge=1)
    """Length of every completion."""
    rows: int = Field(ge=1)
    """Completions of one optimizer step."""
    accumulation: int = Field(1, ge=1)
    """Micro-batches that TRL's trainers cut a step into. Ours takes the step as a whole."""
    on_policy_fraction: float = Field(1.0, ge=0, le=1)
    """Of our trainer: share of the rows that the student writes; the others come with an answer of the same length."""
    micro_batch_rows: int | None = Field(None, ge=1)
    """Of our trainer: rows that are scored at once. null: as many as fit."""
    beta: float = Field(1.0, ge=0, le=1)
    """0 forward KL, 1 reverse KL."""
    learning_rate: float = 1e-5
    """Peak learning rate; without consequence for the speed."""
    seed: int = 0
    """Of weights, prompts and sampling."""

    @property
    def completion_tokens_per_step(self) -> int:
        """Completion tokens of all rows."""
        return self.rows * self.completion_tokens

    @property
    def prompt_lengths(self) -> list[int]:
        """Length of each row's prompt."""
        low, high = self.prompt_tokens
        return [low + round((high - low) * i / max(1, self.rows - 1)) for i in range(self.rows)]


_SMALL = Shape(width=256, layers=12, mlp_width=768, heads=8, kv_heads=4, head_width=32)
_LARGE = Shape(width=512, layers=8, mlp_width=1536, heads=8, kv_heads=4, head_width=64)

WORKLOADS = {
    "toy": Workload(
        name="toy",
        student=Shape(width=128, layers=3, mlp_width=352, heads=4, kv_heads=2, head_width=32),
        teacher=Shape(width=192, layers=4, mlp_width=512, heads=6, kv_heads=2, head_width=32),
        vocabulary=512,
        prompt_tokens=(24, 48),
        completion_tokens=25,
        rows=16,
        accumulation=4,
    ),
    "realistic": Workload(
        name="realistic",
        student=_SMALL,
        teacher=_LARGE,
        vocabulary=32_000,
        prompt_tokens=(128, 128),
        completion_tokens=64,
        rows=8,
    ),
    "long-prompt": Workload(
        name="long-prompt",
        student=_SMALL,
        teacher=_LARGE,
        vocabulary=32_000,
        prompt_tokens=(384, 384),
        completion_tokens=64,
        rows=4,
    ),
    "gpu": Workload(
        name="gpu",
        student=Shape(width=1024, layers=28, mlp_width=3072, heads=16, kv_heads=8, head_width=128),
        teacher=Shape(width=2048, layers=28, mlp_width=6144, heads=16, kv_heads=8, head_width=128),
        vocabulary=151_936,
        prompt_tokens=(128, 128),
        completion_tokens=256,
        rows=32,
    ),
}
"""toy: what the bundled demo is like; realistic and long-prompt: a laptop; gpu: a 0.6 B student of the Qwen3 family."""


def find_workload(config: str | Path) -> Workload:
    """A built-in workload by name, or one from a YAML file.

    Raises:
        ConfigError: no such name or file, or the file does not describe a workload.
    """
    if str(config) in WORKLOADS:
        return WORKLOADS[str(config)]
    path = Path(config)
    if not path.is_file():
        raise ConfigError(
            f"{config!s} is neither a workload nor a file, expected {', '.join(WORKLOADS)} or the path of a YAML file.",
            hint="Run `opd bench speed --config realistic`.",
        )
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
        return Workload.model_validate({"name": path.stem, **data} if isinstance(data, dict) else data)
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as error:
        raise ConfigError(
            f"{path} does not describe a workload: {error}", hint="docs/performance.md shows one."
        ) from None


def make_model(shape: Shape, vocabulary: int, seed: int) -> Any:
    """A model of this shape with seeded random weights, in float32 on the CPU."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.mlp_width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_width,
        max_position_embeddings=32_768,
        tie_word_embeddings=True,
        initializer_range=shape.width**-0.5,  # logits of unit variance: distributions worth comparing
        pad_token_id=PAD_ID,
    )
    model = Qwen3ForCausalLM(config)
    model.generation_config.eos_token_id = vocabulary
    model.generation_config.pad_token_id = PAD_ID
    return model


def make_student(workload: Workload, device: torch.device) -> Student:
    """The student with its tokenizer; all its weights learn."""
    model = make_model(workload.student, workload.vocabulary, workload.seed).to(device).train()
    weights = sum(p.numel() for p in model.parameters())
    facts = ModelFacts(
        path="",
        architecture="Qwen3ForCausalLM",
        num_parameters=weights,
        num_bytes=4 * weights,
        vocab_size=workload.vocabulary,
        context_length=32_768,
        hidden_size=workload.student.width,
        num_layers=workload.student.layers,
        has_chat_template=True,
        eos_token_ids=(workload.vocabulary,),
    )
    return Student(model, make_tokenizer(workload), facts, (workload.vocabulary,), PAD_ID, False)


def make_teacher(workload: Workload, device: torch.device, dtype: torch.dtype = torch.float32) -> Any:
    """The teacher, frozen."""
    model = make_model(workload.teacher, workload.vocabulary, workload.seed + 1).to(device, dtype).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


def make_prompts(workload: Workload) -> list[list[int]]:
    """One prompt a row, random ids."""
    draw = random.Random(workload.seed)
    return [[draw.randrange(1, workload.vocabulary) for _ in range(n)] for n in workload.prompt_lengths]


def make_tokenizer(workload: Workload) -> Any:
    """Each id is a word of its own, ` t17`, in a byte-level vocabulary, which GOLDTrainer insists on."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [f"Ġt{i}" for i in range(workload.vocabulary + 1)]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" t\d+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=words[PAD_ID], eos_token=words[-1], padding_side="left"
    )
    fast.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    return fast


def text_of(ids: list[int]) -> str:
    """Text that encodes to exactly these ids."""
    return "".join(f" t{i}" for i in ids)
