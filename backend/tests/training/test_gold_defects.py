"""TRL 1.16's GOLDTrainer, defect by defect: each test shows the stock trainer at fault, and ours without the fault."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from trl.experimental.gold import GOLDConfig, GOLDTrainer
from trl.experimental.gold.gold_trainer import ULDLoss

from opd.objectives.alignment import TextCodec
from opd.training.decoding import Completion
from opd.training.gold import GoldTrainer
from opd.training.gold_across import ACROSS_SETTINGS, AcrossLoss, TeacherSide, lay_out
from opd.training.models import Student, load_teacher
from opd.training.plan import WindowPlan
from opd.training.window_trainer import Recipe
from tokenizers_in_tests import byte_level, model_for

ONE, MANY = byte_level("one_digit"), byte_level("words", 900, 1)  # a number is single digits here, one token there
END = ONE.convert_tokens_to_ids("<|im_end|>")
TEACHERS_TEMPLATE = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[answer] "
QUESTIONS = ["Add 12 and 30.", "Add 7 and 5, please.", "total revenue?", "price of cloud hardware"]
TEXTS = ["12+30=42", "7+5=12.", "growth of the margin", "working token prices then"]
RECIPE = Recipe(learning_rate=1e-3, warmup_steps=0, max_grad_norm=1e9, max_completion_tokens=12)


def other_teacher() -> Any:
    """A tokenizer with a template of its own, which is not the student's."""
    import copy

    tokenizer = copy.deepcopy(MANY)
    tokenizer.chat_template = TEACHERS_TEMPLATE
    return tokenizer


def ids(tokenizer: Any, question: str) -> list[int]:
    found = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=False
    )
    return [int(token) for token in found]


def answer(tokenizer: Any, text: str) -> Completion:
    return Completion((*tokenizer(text, add_special_tokens=False)["input_ids"], END), True)


class Ours:
    """GoldTrainer on answers that are given (lambda 0), or on what the student writes."""

    def __init__(self, folder: Path, *, across: bool = False, share: float = 0.0, **changes: Any):
        self.model = model_for(ONE, seed=1)
        tokenizer = other_teacher() if across else ONE
        self.teacher = model_for(tokenizer, seed=2)
        side = None
        if across:
            codecs = [TextCodec(t, vocab_size=len(t), eos_ids=[t.eos_token_id]) for t in (ONE, tokenizer)]
            side = TeacherSide(*codecs, {tuple(ids(ONE, q)): tuple(ids(tokenizer, q)) for q in QUESTIONS})
        self.trainer = GoldTrainer(
            Student(self.model, ONE, None, (END,), ONE.pad_token_id, False),  # type: ignore[arg-type]  # no facts
            self.teacher,
            [ids(ONE, question) for question in QUESTIONS],
            WindowPlan(len(QUESTIONS), len(QUESTIONS), 1, share, 0),
            replace(RECIPE, **changes),
            beta=0.5,
            across=side,
            answers=[answer(ONE, text) for text in TEXTS],
            output_dir=folder,
        )

    def gradient_norm(self) -> float:
        self.trainer.training_step(self.model, self.trainer.plan[0])
        return norm(self.model)


def norm(model: Any) -> float:
    return float(torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm())


def stock(folder: Path, *, across: bool = False, references: list[str] = TEXTS, **settings: Any) -> Any:
    """TRL's own trainer on the same prompts and answers."""
    teacher_folder = folder / "teacher"
    tokenizer = other_teacher() if across else ONE
    if across:
        tokenizer.save_pretrained(teacher_folder)
        settings |= {"use_uld_loss": True, "teacher_tokenizer_name_or_path": str(teacher_folder)}
    ga = settings.get("gradient_accumulation_steps", 1)
    arguments: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": 1,
        "per_device_train_batch_size": len(QUESTIONS) // ga,
        "max_completion_length": 12,
        "learning_rate": 1e-3,
        "lmbda": 0.0,
        "temperature": 1.0,
        "top_p": 1.0,
        "max_grad_norm": 1e9,
        "logging_steps": 1,
        "use_cpu": True,
        "bf16": False,
        "activation_checkpointing": False,
        "report_to": [],
        "disable_tqdm": True,
        "save_strategy": "no",
        **settings,
    }
    rows = {"prompt": [ONE.decode(ids(ONE, question)) for question in QUESTIONS], "completion": references}
    return GOLDTrainer(
        model=model_for(ONE, seed=1),
        teacher_model=model_for(tokenizer, seed=2),
        args=GOLDConfig(**arguments),
        train_dataset=Dataset.from_dict(rows),
        processing_class=ONE,
    )


def stock_norm(trainer: Any) -> float:
    trainer.train()
    return float(next(entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry))


def test_the_divisor_is_the_windows_tokens_whatever_the_accumulation(tmp_path: Path) -> None:
    """huggingface/trl#4719 comes back: the window is counted once for each of its parts."""
    whole, parts = (stock_norm(stock(tmp_path / f"stock{n}", gradient_accumulation_steps=n)) for n in (1, 4))
    assert parts == pytest.approx(whole / 4, rel=1e-2), "stock: a quarter of the gradient"
    ours = [Ours(tmp_path / f"ours{n}", micro_batch_size=n).gradient_norm() for n in (4, 1)]
    assert ours[1] == pytest.approx(ours[0], rel=1e-4)
    assert ours[0] == pytest.approx(whole, rel=1e-2), "and it is the gradient that stock has without accumulation"


def test_between_tokenizers_accumulation_does_not_multiply_the_gradient(tmp_path: Path) -> None:
    whole, parts = (
        stock_norm(stock(tmp_path / f"stock{n}", across=True, gradient_accumulation_steps=n)) for n in (1, 4)
    )
    assert parts > 2 * whole, "stock: the loss of each part is averaged on its own, and the parts are added up"
    ours = [Ours(tmp_path / f"ours{n}", across=True, micro_batch_size=n).gradient_norm() for n in (4, 1)]
    assert ours[1] == pytest.approx(ours[0], rel=1e-4)


def test_the_divisor_does_not_come_from_text_that_is_not_trained_on(tmp_path: Path) -> None:
    """At lambda 1 the data set's completions are never read, and yet they decide the size of the step."""
    norms = []
    for name, references in (("short", ["a"] * 4), ("long", ["a b c d e f g h i j"] * 4)):
        trainer = stock(tmp_path / name, references=references, lmbda=1.0)
        torch.manual_seed(7)
        norms.append(stock_norm(trainer))
    assert norms[0] > 3 * norms[1], "stock: the same rollouts, another gradient"
    ours = Ours(tmp_path / "ours", share=1.0)
    rows = ours.trainer.roll_out(ours.trainer.plan[0])
    expected = 0.0
    for row in rows:
        whole = torch.tensor([[*row.prompt_ids, *row.completion.ids]])
        logits = [model(whole).logits[0, len(row.prompt_ids) - 1 : -1] for model in (ours.model, ours.teacher)]
        expected += float(GOLDTrainer.generalized_jsd_loss(*logits, beta=0.5, reduction="sum"))
    tokens = sum(len(row.completion.ids) for row in rows)
    loss = ours.trainer.training_step(ours.model, ours.trainer.plan[0])
    assert float(loss) == pytest.approx(expected / tokens, rel=1e-4)


def test_prompts_are_enough(tmp_path: Path) -> None:
    trainer = stock(tmp_path / "stock", lmbda=1.0)
    with pytest.raises(KeyError, match="completion"):
        GOLDTrainer(
            model=trainer.model,
            teacher_model=model_for(ONE, seed=2),
            args=trainer.args,
            train_dataset=trainer.train_dataset.select_columns(["prompt"]),
            processing_class=ONE,
        )
    assert Ours(tmp_path / "ours", share=1.0).gradient_norm() > 0


def heard(teacher: Any, step: Any) -> list[int]:
    """What the teacher reads in its first row during a step, padding removed."""
    read: list[torch.Tensor] = []
    hook = teacher.register_forward_pre_hook(lambda _, args, kw: read.append(kw["input_ids"]), with_kwargs=True)
    step()
    hook.remove()
    return [token for token in read[0][0].tolist() if token != ONE.pad_token_id]


def test_the_teacher_reads_its_own_template_and_one_end(tmp_path: Path) -> None:
    trainer = stock(tmp_path / "stock", across=True, lmbda=1.0)
    tokenizer = trainer.teacher_tokenizer
    inputs = next(iter(trainer.get_train_dataloader()))
    # as after a rollout: the prompt's and the completion's text, decoded from the student's ids
    inputs["original_completion_text"] = [ONE.decode(answer(ONE, text).ids) for text in TEXTS]
    read = heard(trainer.teacher_model, lambda: trainer.compute_loss(trainer.model, inputs))
    assert "<|im_start|>user" in tokenizer.decode(read), "stock: the student's template, which the teacher never saw"
    assert read[-2:] == [END, END], "stock: the end of the answer twice"

    ours = Ours(tmp_path / "ours", across=True)
    read = heard(ours.teacher, ours.gradient_norm)
    question = next(q for q in QUESTIONS if q in tokenizer.decode(read))
    rendered = ids(tokenizer, question)
    assert read[: len(rendered)] == rendered
    text = TEXTS[QUESTIONS.index(question)]
    assert read[len(rendered) :] == [*tokenizer(text, add_special_tokens=False)["input_ids"], END]


def positions_with_gradient(loss: ULDLoss, text: str, *, ours: bool) -> list[bool]:
    """For each token of the answer and its end: whether the logits that predict it get any gradient."""
    codecs = [TextCodec(t, vocab_size=len(t), eos_ids=[END]) for t in (ONE, MANY)]
    prompt = ids(ONE, "x")
    pair = lay_out(TeacherSide(*codecs, {tuple(prompt): tuple(prompt)}), prompt, answer(ONE, text).ids)
    assert pair is not None
    mine, theirs = pair
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, len(mine.ids), len(ONE), generator=generator).requires_grad_()
    teacher = torch.randn(1, len(theirs.ids), len(MANY), generator=generator)
    if ours:
        assert isinstance(loss, AcrossLoss)
        value, _ = loss.summed(logits[0], mine, teacher[0], theirs)
    else:
        as_rows = [torch.tensor([row]) for row in (mine.labels(), theirs.labels(), mine.ids, theirs.ids)]
        spans = [torch.tensor([[(0, 0)] * row.start + row.spans]) for row in (mine, theirs)]
        value = loss(logits, teacher, *as_rows, *spans)
    value.backward()
    assert logits.grad is not None
    moved = logits.grad[0].abs().sum(-1) > 0
    return moved[mine.start - 1 : -1].tolist()


def test_every_token_is_scored_and_the_end_too() -> None:
    """huggingface/trl#5152: logits one position late; and the end of an answer is left out by default."""
    settings = GOLDConfig(output_dir="x", use_cpu=True, bf16=False, uld_use_hybrid_loss=True)
    observed = positions_with_gradient(ULDLoss(settings, ONE, MANY), "total 12", ours=False)
    assert not observed[0], "stock: nothing teaches the first token of an answer"
    settings.uld_token_merge_strategy = "bayesian"
    bayesian = positions_with_gradient(ULDLoss(settings, ONE, MANY), "total 12", ours=False)
    assert bayesian == [True] * (len(bayesian) - 1) + [False], "stock: nothing teaches when to stop"
    settings.uld_skip_student_eos = settings.uld_skip_teacher_eos = False
    codecs = [TextCodec(t, vocab_size=len(t), eos_ids=[END]) for t in (ONE, MANY)]
    ours = AcrossLoss(TeacherSide(*codecs, {}), settings, torch.device("cpu"))
    assert all(positions_with_gradient(ours, "total 12", ours=True))


def test_a_teacher_is_never_resized(tmp_path: Path) -> None:
    """Stock cuts a teacher with other tokens to the student's width and trains on what is left, without a word."""
    teacher = model_for(MANY, seed=2)
    rows = Dataset.from_dict({"prompt": ["a"], "completion": ["b"]})
    arguments = GOLDConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to=[])
    GOLDTrainer(model=model_for(ONE), teacher_model=teacher, args=arguments, train_dataset=rows, processing_class=ONE)
    assert teacher.get_input_embeddings().weight.shape[0] == len(ONE) != len(MANY), "stock"

    model_for(MANY).save_pretrained(tmp_path / "teacher")
    ours = load_teacher(tmp_path / "teacher", "auto", torch.device("cpu"))
    assert ours.get_input_embeddings().weight.shape[0] == len(MANY)


def test_a_vocabulary_that_is_padded_further_changes_nothing(tmp_path: Path) -> None:
    """Outputs beyond the tokenizer's tokens (151,936 and 152,064 of one family, say) are not looked at."""
    plain, padded = Ours(tmp_path / "plain"), Ours(tmp_path / "padded")
    wide = model_for(ONE, seed=2, vocab_size=len(ONE) + 20)
    wide.load_state_dict(
        {
            name: torch.cat([value, torch.full((20, *value.shape[1:]), 3.0)]) if len(value) == len(ONE) else value
            for name, value in padded.teacher.state_dict().items()
        }
    )
    padded.trainer.teacher_model = wide
    assert padded.gradient_norm() == plain.gradient_norm()


def test_a_teacher_can_be_loaded_with_a_revision_and_no_dtype(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="dtype"):
        GOLDTrainer(
            model=model_for(ONE),
            teacher_model="anything",
            args=GOLDConfig(
                output_dir=str(tmp_path), use_cpu=True, bf16=False, teacher_model_init_kwargs={"revision": "main"}
            ),
            train_dataset=Dataset.from_dict({"prompt": ["a"], "completion": ["b"]}),
            processing_class=ONE,
        )
    model_for(ONE).save_pretrained(tmp_path / "model")
    ONE.save_pretrained(tmp_path / "model")
    assert load_teacher(tmp_path / "model", "auto", torch.device("cpu")).dtype is torch.float32


def test_sequence_distillation_trains_on_what_the_teacher_wrote(tmp_path: Path) -> None:
    """huggingface/trl#5725: `seq_kd` is stored and never read."""
    trainer = stock(tmp_path / "stock", seq_kd=True)
    asked: list[int] = []
    trainer.teacher_model.generate = lambda *_, **__: asked.append(1)
    trainer.train()
    assert trainer.seq_kd
    assert not asked, "stock: the teacher writes nothing, the data set's completions are used"
    ours = Ours(tmp_path / "ours").trainer  # the pipeline gives it the teacher's own answers
    assert {row.completion for row in ours.roll_out(ours.plan[0])} == {answer(ONE, text) for text in TEXTS}


def test_on_policy_text_is_sampled_from_the_student_as_it_is(tmp_path: Path) -> None:
    defaults = GOLDConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False)
    assert (defaults.temperature, defaults.top_p, defaults.learning_rate) == (0.9, 0.95, 1e-7), "stock"
    assert (Recipe(1e-5, 0).temperature, Recipe(1e-5, 0).top_p) == (1.0, 1.0)


# --- the method between two tokenizers, repaired as it is ------------------------------------------


def test_a_teacher_that_is_the_student_teaches_nothing() -> None:
    codec = TextCodec(ONE, vocab_size=len(ONE), eos_ids=[END])
    settings = GOLDConfig(output_dir="x", use_cpu=True, bf16=False, **ACROSS_SETTINGS)
    prompt = ids(ONE, "x")
    side = TeacherSide(codec, codec, {tuple(prompt): tuple(prompt)})
    pair = lay_out(side, prompt, answer(ONE, "total 12").ids)
    assert pair is not None
    logits = torch.randn(len(pair[0].ids), len(ONE), generator=torch.Generator().manual_seed(0))
    loss, scored = AcrossLoss(side, settings, torch.device("cpu")).summed(logits, pair[0], logits, pair[1])
    assert float(loss) == pytest.approx(0, abs=1e-6)
    assert scored == len(answer(ONE, "total 12").ids)


def test_text_that_cannot_be_laid_beside_is_left_out() -> None:
    codecs = [TextCodec(t, vocab_size=len(t), eos_ids=[END]) for t in (ONE, MANY)]
    prompt = (5, 6)
    side = TeacherSide(*codecs, {prompt: (7,)})
    start = ONE.convert_tokens_to_ids("<|im_start|>")
    twelve = ONE("12", add_special_tokens=False)["input_ids"]
    pair = lay_out(side, prompt, (*twelve, start, *twelve))
    assert pair is not None
    assert [len(row.spans) for row in pair] == [2, 1], "what follows a special token stands for no text"
    assert pair[1].ids == [7, *MANY("12", add_special_tokens=False)["input_ids"]], "and there is no end to score"
    assert lay_out(side, prompt, (start,)) is None
    only_end = lay_out(side, prompt, (END,))
    assert only_end is not None
    assert only_end[1].ids == [7, END]


def test_where_numbers_are_divided_differently_it_cannot_tell_right_from_wrong() -> None:
    """The limit that no repair lifts, and the reason for the alarm: 28 and 27 cost the same."""
    codecs = [TextCodec(t, vocab_size=len(t), eos_ids=[END]) for t in (ONE, MANY)]
    prompt = ids(ONE, "x")
    side = TeacherSide(*codecs, {tuple(prompt): tuple(prompt)})
    number = next(text for text in (f" {n}" for n in range(10, 2000)) if len(pieces(MANY, text)) == 1)
    losses = {}
    for digit in "0123456789":
        pair = lay_out(side, prompt, pieces(ONE, number))
        assert pair is not None
        mine, theirs = pair
        student, teacher = torch.zeros(len(mine.ids), len(ONE)), torch.zeros(len(theirs.ids), len(MANY))
        teacher[theirs.start - 1, pieces(MANY, number)] = 30.0  # the teacher is sure of the number
        for place, token in enumerate(pieces(ONE, number[:-1] + digit)):
            student[mine.start - 1 + place, token] = 30.0  # the student of the same number, or of its neighbour
        settings = GOLDConfig(output_dir="x", use_cpu=True, bf16=False, **ACROSS_SETTINGS)
        losses[digit] = float(AcrossLoss(side, settings, torch.device("cpu")).summed(student, mine, teacher, theirs)[0])
    wrong = [loss for digit, loss in losses.items() if digit != number[-1]]
    assert min(wrong) <= losses[number[-1]] + 1e-6


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_a_number_that_is_divided_differently_is_unlearnt_though_it_is_right(beta: float) -> None:
    """Why students collapse: the teacher's certainty lies on a token that the student does not have.

    On the tokens that both have, single digits among them, the teacher is left with nearly nothing, so every digit of
    the student's is held to be too likely, and a step of descent makes the very number that the teacher expects rarer.
    """
    codecs = [TextCodec(t, vocab_size=len(t), eos_ids=[END]) for t in (ONE, MANY)]
    prompt = ids(ONE, "x")
    side = TeacherSide(*codecs, {tuple(prompt): tuple(prompt)})
    number = next(text for text in (f" {n}" for n in range(10, 2000)) if len(pieces(MANY, text)) == 1)
    digits = pieces(ONE, number)
    pair = lay_out(side, prompt, digits)
    assert pair is not None
    mine, theirs = pair
    teacher = torch.zeros(len(theirs.ids), len(MANY))
    teacher[theirs.start - 1, pieces(MANY, number)] = 30.0
    student = torch.zeros(len(mine.ids), len(ONE))
    student[[mine.start - 1 + place for place in range(len(digits))], digits] = 8.0  # it is rather sure of it, too
    student.requires_grad_()
    settings = GOLDConfig(output_dir="x", use_cpu=True, bf16=False, beta=beta, **ACROSS_SETTINGS)
    loss, _ = AcrossLoss(side, settings, torch.device("cpu")).summed(student, mine, teacher, theirs)
    (gradient,) = torch.autograd.grad(loss, student)

    def log_probability(logits: torch.Tensor) -> float:
        laws = logits.detach()[mine.start - 1 : mine.start - 1 + len(digits)].log_softmax(-1)
        return float(laws[range(len(digits)), digits].sum())

    assert log_probability(student - 0.1 * gradient) < log_probability(student) - 1e-5


def pieces(tokenizer: Any, text: str) -> list[int]:
    return [int(token) for token in tokenizer(text, add_special_tokens=False)["input_ids"]]
