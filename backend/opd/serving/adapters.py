"""LoRA adapters in PEFT's form, merged into the model they belong to while it is loaded.

In: a folder with `adapter_config.json` and `adapter_model.safetensors`. Out: which model it changes, and that model
with W + alpha/r · B·A in place of W. Read by hand and strictly: PEFT's own reader takes patterns, further modules and
other kinds of adapters from the folder, and a stranger's folder gets none of that here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from opd.errors import ModelMismatchError, UnsafeModelError
from opd.model_files.gate import inside, read_header, read_json

CONFIG, STATE = "adapter_config.json", "adapter_model.safetensors"
_PREFIX, _DOWN, _UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


class AdapterConfig(BaseModel):
    """What is read of PEFT's configuration; whatever would need another computation must be off."""

    peft_type: Literal["LORA"]
    base_model_name_or_path: str = Field(min_length=1)
    r: int = Field(ge=1)
    lora_alpha: float = Field(gt=0)
    bias: Literal["none"] = "none"
    use_dora: Literal[False] = False
    use_rslora: Literal[False] = False
    fan_in_fan_out: Literal[False] = False
    modules_to_save: None = None
    rank_pattern: dict[str, int] = Field(default_factory=dict, max_length=0)
    alpha_pattern: dict[str, float] = Field(default_factory=dict, max_length=0)


@dataclass(frozen=True)
class Adapter:
    """Adapters in a folder."""

    folder: Path
    config: AdapterConfig

    @property
    def base(self) -> str:
        """Folder or id of the model they change; a path that begins with a dot counts from the adapters' folder."""
        named = self.config.base_model_name_or_path
        return str((self.folder / named).resolve()) if named.startswith(".") else named

    def merge_into(self, model: Any) -> None:
        """Change the model's weights.

        Raises:
            ModelMismatchError: they were made for a model of another shape.
        """
        from safetensors.torch import load_file

        rank, tensors = self.config.r, load_file(inside(self.folder, STATE))
        for name in sorted({name.removesuffix(_DOWN).removesuffix(_UP) for name in tensors}):
            down_RI, up_OR = tensors.get(name + _DOWN), tensors.get(name + _UP)
            weight_OI = _weight_of(model, name.removeprefix(_PREFIX))
            if down_RI is None or up_OR is None or weight_OI is None:
                raise self._misfit(f"{name} is no pair of factors for one of its linear layers")
            if (*up_OR.shape, *down_RI.shape) != (weight_OI.shape[0], rank, rank, weight_OI.shape[1]):
                raise self._misfit(f"{name} is not of rank {rank} for a layer of {tuple(weight_OI.shape)}")
            if weight_OI is model.get_input_embeddings().weight:  # the head alone was adapted, so the two part here
                weight_OI = type(weight_OI)(weight_OI.detach().clone(), requires_grad=False)
                model.get_output_embeddings().weight = weight_OI
            delta_OI = up_OR.float() @ down_RI.float() * (self.config.lora_alpha / rank)
            weight_OI.data += delta_OI.to(weight_OI)

    def _misfit(self, what: str) -> ModelMismatchError:
        return ModelMismatchError(
            f"The adapter in {self.folder} does not fit its model: {what}.",
            hint="Give the model that it was trained on as base_model_name_or_path.",
        )


def find_adapter(model: str | Path) -> Adapter | None:
    """The adapters in this folder; None where it is no folder of adapters.

    Raises:
        UnsafeModelError: a file leads elsewhere, or they are no plain LoRA.
    """
    folder = Path(model).expanduser()
    if not (folder / CONFIG).is_file():
        return None
    folder = folder.resolve()
    try:
        config = AdapterConfig.model_validate(read_json(folder, CONFIG))
    except ValidationError as error:
        first = error.errors()[0]
        raise UnsafeModelError(
            f"{folder / CONFIG}: {'.'.join(map(str, first['loc']))}: {first['msg']}; expected a plain LoRA.",
            hint="Merge other adapters with the program that made them, and serve the merged folder.",
        ) from None
    read_header(folder, STATE)
    return Adapter(folder, config)


def _weight_of(model: Any, name: str) -> Any:
    try:
        weight = getattr(model.get_submodule(name), "weight", None)
    except AttributeError:
        return None
    return weight if weight is not None and weight.ndim == 2 else None
