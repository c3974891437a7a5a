"""Model folders as files: find them, refuse dangerous ones, read their facts. Loads no weights and imports no torch.

In: a folder or a Hugging Face id. Out: a folder that the gate has passed, and `ModelFacts`. Every loader in this
project takes a folder from here, so nothing unsafe ever reaches one: a model folder is data from strangers, and loaders
have executed code from it before (see docs/architecture.md).

    finding   from a name to a folder, downloaded if need be
    gate      safetensors only, no code, honest headers; and the facts
"""

from opd.model_files.finding import KNOWN_MODELS, Progress, find_model, find_tokenizer, nearest_models
from opd.model_files.gate import ModelFacts, check_model_folder, check_tokenizer_folder, read_facts

__all__ = [
    "KNOWN_MODELS",
    "ModelFacts",
    "Progress",
    "check_model_folder",
    "check_tokenizer_folder",
    "find_model",
    "find_tokenizer",
    "nearest_models",
    "read_facts",
]
