"""Token-level distillation between two tokenizers: prefix marginalisation with a back-step.

Two models that divide text differently have no common next-token law to compare. They do have a common question:
given this text, what comes next? This room turns the teacher's answer, given in its tokens, into a law over buckets of
the student's tokens, at (nearly) every position of the student's own text.

    codec            a tokenizer as bytes
    correspondence   what one tokenizer's tokens mean in the other's (`maps`, `links`)
    walk             where each position of a batch finds its target
    plan             the same as index tensors; `chunk` is the part that some positions need
    target           laws and plan to mass on columns
    loss             divergence of the student from it, with `splits` and `terms`

How it is used, for one optimizer window:

    maps = Correspondence(student_codec, teacher_codec)             # once a run
    plan = make_plan(maps, completions)                             # student ids, end token included
    laws = FullLaws(teacher logits before each of plan.teacher_ids)
    alignment_losses(maps, plan, student_logits, slice(0, plan.num_positions), laws, beta=1.0)

With `chunked.chunked_loss` the student's logits need not exist all at once.

Derivation, proof by the chain rule and limits: docs/objectives.md, "Two tokenizers".
"""

from opd.objectives.alignment.codec import TextCodec
from opd.objectives.alignment.correspondence import Correspondence
from opd.objectives.alignment.loss import AlignedLoss, alignment_losses
from opd.objectives.alignment.plan import AlignmentPlan, make_plan
from opd.objectives.alignment.target import FullLaws, Laws, ListedLaws

__all__ = [
    "AlignedLoss",
    "AlignmentPlan",
    "Correspondence",
    "FullLaws",
    "Laws",
    "ListedLaws",
    "TextCodec",
    "alignment_losses",
    "make_plan",
]
