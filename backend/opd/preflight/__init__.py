"""What is ready and what is not, before a run: looked at in about a second, without loading a model.

In: a configuration and the store. Out: items, each ok, warn or fail, with what was found and what to do. A run that
starts in spite of a failed item will fail in its own pre-flight, with the same words.

    look      the looks in their order
    models    packages, student, teacher, objective
    prompts   data, what is held out, few or many, context length
    room      memory, disk, device
    asking    the teacher's probe; a chat teacher's readiness; the judge
"""

from opd.preflight.asking import ask_teacher
from opd.preflight.items import PreflightItem
from opd.preflight.look import preflight

__all__ = ["PreflightItem", "ask_teacher", "preflight"]
