"""What a run will have cost at its end, told again while it is paid: spent, and the rest of its plan at real cost.

In: the call plan as it stood when this process began, and the ledger. Out: nano-dollars. What an answer costs is seen
once a few of its stage are paid; until then it is what the plan took it to be.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self

from opd.config import LocalTeacher, RunConfig
from opd.data_loader import check_file
from opd.errors import OPDError
from opd.estimate.bill import bill_of
from opd.estimate.lengths import prompt_lengths
from opd.estimate.plans import judge_plan, teacher_plan
from opd.store.money import Ledger, Meter, StagePaid, paid_by_stage

_FEWEST_PAID = 3


@dataclass(frozen=True)
class StageAhead:
    """What is planned of a stage: requests, and nano-dollars of all of them together."""

    num: float
    nano_usd: float


class Projection:
    """Of one run.

    Args:
        ahead: by stage what is to be paid beyond `before`.
        before: by stage what the run had paid when `ahead` was planned.
    """

    def __init__(self, ahead: Mapping[str, StageAhead], before: Mapping[str, StagePaid], ledger: Ledger, run_id: str):
        self._ahead, self._before, self._ledger, self._run_id = ahead, before, ledger, run_id

    @classmethod
    def of(cls, config: RunConfig, ledger: Ledger, run_id: str, *, stages: Collection[str] | None = None) -> Self:
        """From the run's plan; one that cannot be planned is projected as what it has spent.

        Args:
            stages: only these are still to come; None: all of the plan.
        """
        before = paid_by_stage(ledger, run_id)
        try:
            planned = _planned(config, ledger)
        except OPDError:
            planned = {}
        ahead = {
            stage: _beyond(found, before.get(stage), kept_are_left_out=stage == "answers")
            for stage, found in planned.items()
            if stages is None or stage in stages
        }
        return cls(ahead, before, ledger, run_id)

    def nano_usd(self, meter: Meter) -> int:
        """Spent, possibly paid, and the likely cost of what is still to be asked."""
        paid = paid_by_stage(self._ledger, self._run_id)
        rest = sum(self._rest(stage, paid.get(stage, StagePaid())) for stage in self._ahead)
        return meter.spent_nano_usd + meter.possibly_paid_nano_usd + round(rest)

    def _rest(self, stage: str, paid: StagePaid) -> float:
        ahead, before = self._ahead[stage], self._before.get(stage, StagePaid())
        num = ahead.num - (paid.num_calls - before.num_calls)
        if num <= 0 or not ahead.num:
            return 0.0
        seen = paid.num_calls >= _FEWEST_PAID
        return num * (paid.spent_nano_usd / paid.num_calls if seen else ahead.nano_usd / ahead.num)


def _planned(config: RunConfig, ledger: Ledger) -> dict[str, StageAhead]:
    if isinstance(config.teacher, LocalTeacher) and not config.evaluation.judge.model:
        return {}
    lengths = prompt_lengths(config, check_file(config.data.path))
    teacher = teacher_plan(config, ledger.database.path, lengths)
    judge = judge_plan(config, lengths, teacher.habits if teacher else None)
    num, nano = defaultdict[str, float](float), defaultdict[str, float](float)
    for plan in (teacher, judge):
        for call in plan.calls if plan else ():
            num[call.stage] += call.num.likely
            nano[call.stage] += bill_of([call], plan.price if plan else None, "likely").nano_usd
    return {stage: StageAhead(num[stage], nano[stage]) for stage in num}


def _beyond(planned: StageAhead, before: StagePaid | None, *, kept_are_left_out: bool) -> StageAhead:
    """What of a stage is still to come. A plan of answers leaves out those that are kept; others are planned whole."""
    if kept_are_left_out or before is None or not planned.num:
        return planned
    num = max(0.0, planned.num - before.num_calls)
    return StageAhead(num, planned.nano_usd * num / planned.num)
