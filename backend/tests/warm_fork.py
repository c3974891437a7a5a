"""Imported once in the process that runs are forked from: what every run would otherwise do first, each for itself."""

from __future__ import annotations

import gc

import peft  # noqa: F401
import pytest  # noqa: F401 - a child imports the main module of its parent
import torch._dynamo
import transformers.models.qwen3.modeling_qwen3
from accelerate import optimizer  # noqa: F401
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

import opd.pipeline.walk
import opd.training.gold
import run_processes  # noqa: F401

get_checkpoint_conversion_mapping("qwen3")  # a thousand regular expressions
gc.collect()
gc.freeze()  # a child's collector would walk through all of torch, and copy its pages
