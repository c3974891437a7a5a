"""What a run with a teacher that only answers cannot say of itself: its distance from the teacher, and tokens paid.

The run sees a teacher that only answers; the bench may look at its weights. Measured as runs with a local teacher do.
"""

from __future__ import annotations

from opd.data_loader import load_prompts
from opd.demo.bundled import teacher_dir
from opd.evaluation.measure import Settings, Subject, evaluate_model, weights_digest
from opd.evaluation.scoring import LocalScorer
from opd.evaluation.summary import per_prompt
from opd.store.money import Ledger, costs
from opd.store.runs import RunFolder
from opd.training.models import decode_text, encode_prompts, load_student, load_weights, pick_device, pin_threads

_SCORED_PROMPTS = 100


def reverse_kl(run: RunFolder) -> float:
    """Mean over held-out prompts, nats/token, on the student's own samples at temperature 1."""
    config = run.config()
    pin_threads(config)
    device = pick_device(config)
    trained = config.student.model_copy(update={"model": str(run.student_path)})
    student = load_student(config.model_copy(update={"student": trained}), device)
    teacher = load_weights(teacher_dir(), next(student.model.parameters()).dtype, device).eval()
    records = load_prompts(str(config.data.test_path))[:_SCORED_PROMPTS]
    longest = config.sampling.max_completion_tokens
    evaluation = evaluate_model(
        Subject("after", student.model, weights_digest(student.model), student.eos_ids, student.pad_id),
        records,
        encode_prompts(student.tokenizer, records, max_completion_tokens=longest, context_length=0),
        data=config.data,
        settings=Settings(
            max_completion_tokens=longest, num_scored_prompts=_SCORED_PROMPTS, seed=config.seed, chunk_size=128
        ),
        decode=decode_text(student.tokenizer),
        scorer=LocalScorer(teacher, weights_digest(teacher)),
    )
    return per_prompt(evaluation, "reverse_kl").mean


def tokens_written(run: RunFolder) -> int:
    """Output tokens that the teacher was paid for in this run."""
    with Ledger(run.path.parent.parent / "money.db") as ledger:
        return sum(row.output_tokens for row in costs(ledger, run_id=run.run_id))
