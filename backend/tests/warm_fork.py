"""Imported once in the process that runs are forked from: what every run would otherwise do first, each for itself."""

from __future__ import annotations

import gc
from importlib import import_module

from transformers.conversion_mapping import get_checkpoint_conversion_mapping

from opd.teachers.addresses import tls_context

for name in (
    "opd.pipeline.walk", "opd.training.gold", "peft", "torch._dynamo", "accelerate.optimizer",
    "transformers.models.qwen3.modeling_qwen3", "run_processes", "nurse",
    "pytest",  # a child imports the main module of its parent
):  # fmt: skip
    import_module(name)
get_checkpoint_conversion_mapping("qwen3")  # a thousand regular expressions
tls_context(trust_env=False)  # the system's certificates
gc.collect()
gc.freeze()  # a child's collector would walk through all of torch, and copy its pages
