"""The teacher of a run, whatever its kind: `open_teacher` gives what the configuration names."""

from opd.pipeline.teachers.base import RunTeacher
from opd.pipeline.teachers.opening import open_teacher

__all__ = ["RunTeacher", "open_teacher"]
