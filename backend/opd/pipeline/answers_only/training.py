"""The trainer of an objective that is made of answers alone: which rows it trains on, and with what signal."""

from __future__ import annotations

from typing import Any

from opd.config import ContrastObjective, GuidedObjective, ImitationObjective, MarkObjective
from opd.evaluation.wording import percent
from opd.pipeline.answers_only.desk import tell
from opd.pipeline.answers_only.guide import headroom, tell_guide, write_guide
from opd.pipeline.answers_only.marks import TeacherMarks
from opd.pipeline.measuring import Measurements
from opd.pipeline.workbench import Workbench
from opd.training.contrast import ContrastRows
from opd.training.decoding import Completion, generate
from opd.training.guided import GuidedSelf
from opd.training.marking import MarkedRows, Marking
from opd.training.models import peak_learning_rate
from opd.training.plan import WindowPlan, derive_seed
from opd.training.signals import Likelihood
from opd.training.trainer import OPDTrainer
from opd.training.window_trainer import Hooks


def answers_trainer(
    bench: Workbench, answers: list[Completion], measurements: Measurements, hooks: Hooks
) -> OPDTrainer | None:
    """The trainer of the distillation stage; None where the stage has nothing to learn from and is left out."""
    config, objective, student = bench.config, bench.config.objective, bench.student
    plan = WindowPlan(len(bench.train_ids), config.batch_size, config.max_steps, config.on_policy_fraction, config.seed)
    recipe = bench.recipe(peak_learning_rate(config, student.facts))
    common: dict[str, Any] = {"answers": answers, "hooks": hooks, "output_dir": bench.scratch}
    match objective:
        case ImitationObjective():
            return OPDTrainer(student, Likelihood(), bench.train_ids, plan, recipe, **common)
        case MarkObjective():
            common["source"] = MarkedRows(
                bench.train_ids,
                answers,
                TeacherMarks(bench),
                Marking(objective.refresh_every, objective.drafts, objective.correction_weight, config.seed),
                num_steps=config.max_steps,
                tokenizer=student.tokenizer,
                decode=bench.decode,
                end_id=student.eos_ids[0],
            )
            return OPDTrainer(student, Likelihood(), bench.train_ids, plan, recipe, **common)
        case ContrastObjective():
            frozen = _frozen(bench) if config.on_policy_fraction < 1 else []
            common["source"] = ContrastRows(bench.train_ids, answers, frozen, weight=objective.weight)
            return OPDTrainer(student, Likelihood(), bench.train_ids, plan, recipe, **common)
        case GuidedObjective():
            signal = _guided(bench, measurements, objective, answers)
            return OPDTrainer(student, signal, bench.train_ids, plan, recipe, **common) if signal else None
        case other:
            raise TypeError(f"{other.type} is not made of answers")


def tell_training(bench: Workbench, steps: int) -> None:
    """Say in words what the stage trained on."""
    objective, share = bench.config.objective, bench.config.on_policy_fraction
    num = len({record.id for record in bench.prompts.train})
    match objective:
        case ImitationObjective():
            tell(bench, "imitation", f"Learned the teacher's answers to {num:,} prompts for {steps:,} steps.")
        case MarkObjective():
            TeacherMarks(bench).tell()
        case ContrastObjective():
            words = f"Told the teacher's answers to {num:,} prompts from the student's own texts for {steps:,} steps"
            tell(bench, "contrast", f"{words}, {percent(share)} of them written at that very step.")
        case _:
            words = f"Learned for {steps:,} steps to write without the guide as the untrained student writes with it."
            tell(bench, "guided", words)


def _frozen(bench: Workbench) -> list[Completion]:
    """What the student writes to each prompt before the stage; the same however often the run resumes."""
    student, config = bench.student, bench.config

    def write() -> list[list[Any]]:
        texts = generate(
            student.model,
            bench.train_ids,
            seeds=[derive_seed(config.seed, "frozen", index) for index in range(len(bench.train_ids))],
            max_new_tokens=config.sampling.max_completion_tokens,
            eos_ids=student.eos_ids,
            pad_id=student.pad_id,
            temperature=config.sampling.temperature,
            batch_size=64,
        )
        return [[list(text.ids), text.finished] for text in texts]

    return [Completion(tuple(ids), bool(finished)) for ids, finished in bench.results.once("frozen_texts", write)]


def _guided(
    bench: Workbench, measurements: Measurements, objective: GuidedObjective, answers: list[Completion]
) -> GuidedSelf | None:
    guide = write_guide(bench)
    found = headroom(bench, measurements, guide, answers) if guide is not None else None
    tell_guide(bench, guide, found)
    if guide is None or found is None or not found.is_there:
        return None
    with_guide = bench.encode([guide.before(record) for record in bench.prompts.train])
    pairs = {tuple(plain): tuple(ids) for plain, ids in zip(bench.train_ids, with_guide, strict=True)}
    student = bench.student
    untrained = student.model if student.trains_adapter else bench.fresh_student().model.eval()
    return GuidedSelf(untrained, pairs, pad_id=student.pad_id, beta=objective.beta, clip=objective.clip)
