"""The run configuration: every setting of a run, its meaning, its default and what it may be combined with.

In: a mapping (YAML, JSON, a form). Out: a frozen, complete `RunConfig`; nothing is filled in later.
Knows nothing of models, files, processes or key values: a configuration can be checked without loading anything.
The docstring under a field is also the help text on the page (through the JSON Schema).
"""

from opd.config.base import SIGNAL_WORDS, Config, SignalKind
from opd.config.data import DataConfig
from opd.config.judge import JudgeConfig
from opd.config.models import LoraConfig, StudentConfig
from opd.config.objectives import (
    ContrastObjective,
    DivergenceObjective,
    GoldObjective,
    GuidedObjective,
    ImitationObjective,
    MarkObjective,
    Objective,
    PolicyGradientObjective,
    TopKForwardObjective,
    TopKReverseObjective,
    objective_needs,
)
from opd.config.parse import describe_problems, field_errors, load_config, parse_config, read_yaml, resolve_paths
from opd.config.run import RunConfig
from opd.config.stages import (
    AnswersConfig,
    BaselineConfig,
    CheckpointConfig,
    EvaluationConfig,
    ExpansionConfig,
    SamplingConfig,
    WarmStartConfig,
)
from opd.config.teachers import (
    ChatModel,
    ChatTeacher,
    LocalTeacher,
    ServerTeacher,
    Teacher,
    teacher_provides,
    usual_objectives,
)

__all__ = [
    "SIGNAL_WORDS",
    "AnswersConfig",
    "BaselineConfig",
    "ChatModel",
    "ChatTeacher",
    "CheckpointConfig",
    "Config",
    "ContrastObjective",
    "DataConfig",
    "DivergenceObjective",
    "EvaluationConfig",
    "ExpansionConfig",
    "GoldObjective",
    "GuidedObjective",
    "ImitationObjective",
    "JudgeConfig",
    "LocalTeacher",
    "LoraConfig",
    "MarkObjective",
    "Objective",
    "PolicyGradientObjective",
    "RunConfig",
    "SamplingConfig",
    "ServerTeacher",
    "SignalKind",
    "StudentConfig",
    "Teacher",
    "TopKForwardObjective",
    "TopKReverseObjective",
    "WarmStartConfig",
    "describe_problems",
    "field_errors",
    "load_config",
    "objective_needs",
    "parse_config",
    "read_yaml",
    "resolve_paths",
    "teacher_provides",
    "usual_objectives",
]
