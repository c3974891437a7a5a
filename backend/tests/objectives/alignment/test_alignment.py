"""The two-tokenizer objective against exact laws: by enumeration, by the chain rule, by the same tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from laws_of_text import END, World, chunk_codec
from opd.objectives.alignment import (
    AlignedLoss,
    AlignmentPlan,
    Correspondence,
    FullLaws,
    Laws,
    ListedLaws,
    TextCodec,
    alignment_losses,
    make_plan,
)
from tokenizers_in_tests import SPECIALS, byte_level, corpus, model_for, sentence_pieces

PAIRS = [(teacher, student) for teacher in (1, 2, 3) for student in (1, 2, 3)]


def losses(
    maps: Correspondence, plan: AlignmentPlan, logits: Tensor, laws: Laws, beta: float = 1.0, chunk: int | None = None
) -> AlignedLoss:
    """All positions, in chunks."""
    size = chunk or plan.num_positions
    parts = [slice(i, min(i + size, plan.num_positions)) for i in range(0, plan.num_positions, size)]
    found = [alignment_losses(maps, plan, logits[part], part, laws, beta=beta) for part in parts]
    return AlignedLoss(*(torch.cat([getattr(f, name) for f in found]) for name in AlignedLoss.__dataclass_fields__))


# --- by enumeration ------------------------------------------------------------------------------


@pytest.mark.parametrize("alphabet", ["ab", "abc"])
@pytest.mark.parametrize(("teacher_size", "student_size"), PAIRS)
def test_the_student_that_speaks_the_teachers_language_is_the_optimum(
    teacher_size: int, student_size: int, alphabet: str
) -> None:
    """Cut the teacher's texts the student's way and count: that law has loss 0, gradient 0, and is told exactly."""
    teacher, student = chunk_codec(teacher_size), chunk_codec(student_size, shift=1)
    world = World.random(alphabet, 6 if alphabet == "ab" else 4)
    maps = Correspondence(student, teacher)
    completions = world.written_by(student)
    plan = make_plan(maps, completions)
    logits = world.logits(student, completions).requires_grad_()
    laws = FullLaws(world.logits(teacher, plan.teacher_ids))
    tokens = torch.tensor([token for ids in completions for token in ids])
    truth = torch.log_softmax(logits.detach(), -1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    for beta in (0.0, 0.5, 1.0):
        result = losses(maps, plan, logits, laws, beta)
        assert result.scored_C.all()
        assert result.loss_C.max() < 2e-5
        (grad,) = torch.autograd.grad(result.loss_C.sum(), logits)
        assert grad.abs().max() < 2e-5
        torch.testing.assert_close(result.teacher_logprob_C, truth, rtol=0, atol=1e-6)
    wrong = losses(maps, plan, logits.detach() + torch.randn_like(logits), laws)
    assert wrong.loss_C.mean() > 0.05


def test_following_the_loss_leads_to_the_teachers_language() -> None:
    """Descent on samples' losses alone, from a uniform student, finds the law that enumeration gives."""
    teacher, student = chunk_codec(2), chunk_codec(1, shift=1)
    world = World.random("ab", 4, seed=3)
    maps = Correspondence(student, teacher)
    completions = world.written_by(student)
    plan = make_plan(maps, completions)
    laws = FullLaws(world.logits(teacher, plan.teacher_ids))
    starts = sorted({ids[:k] for ids in completions for k in range(len(ids))})
    row = torch.tensor([starts.index(ids[:k]) for ids in completions for k in range(len(ids))])
    table = torch.zeros(len(starts), student.vocab_size, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([table], lr=0.3)
    for _ in range(150):
        optimizer.zero_grad()
        losses(maps, plan, table[row], laws, beta=0.5).loss_C.mean().backward()
        optimizer.step()
    law = torch.softmax(table.detach(), -1)
    for start, probabilities in world.next_laws(student).items():
        for token, probability in probabilities.items():
            assert law[starts.index(start), token].item() == pytest.approx(probability, abs=0.02)


def test_hindsight_misleads_the_law_at_the_boundary_and_not_ours() -> None:
    """The student stops after "a". Read in the finished text, [a] is a finished token, so the teacher's law there is
    surely "end", whatever it thinks of going on: the stop would be praised each time it happens."""
    teacher, student = chunk_codec(2), chunk_codec(1)
    world = World.random("ab", 4, seed=1)
    a = student.encode(b"a")
    assert a is not None
    truth = world.next_laws(student)[a]
    assert truth[END] < 0.5
    maps = Correspondence(student, teacher)
    plan = make_plan(maps, [(*a, END)])
    teacher_logits = world.logits(teacher, plan.teacher_ids)

    naive = torch.softmax(teacher_logits[1], -1)[END].item()
    assert naive == pytest.approx(1.0)

    logits = torch.randn(2, student.vocab_size, dtype=torch.float64)
    ours = losses(maps, plan, logits, FullLaws(teacher_logits)).teacher_logprob_C[1].exp().item()
    assert ours == pytest.approx(truth[END], abs=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("teacher_size", "student_size"), [(2, 1), (1, 2), (3, 2), (2, 3)])
def test_the_hand_made_gradient_is_the_derivative(teacher_size: int, student_size: int, beta: float) -> None:
    teacher, student = chunk_codec(teacher_size), chunk_codec(student_size)
    maps = Correspondence(student, teacher)
    texts = (b"abbab", b"aa", b"", b"babca")
    plan = make_plan(maps, [(*(student.encode(text) or ()), END) for text in texts])
    generator = torch.Generator().manual_seed(0)
    laws = FullLaws(torch.randn(plan.num_laws, teacher.vocab_size, generator=generator, dtype=torch.float64))
    logits = torch.randn(plan.num_positions, student.vocab_size, generator=generator, dtype=torch.float64)
    weights = torch.rand(plan.num_positions, generator=generator, dtype=torch.float64)

    def weighted(values: Tensor) -> Tensor:
        return (losses(maps, plan, values, laws, beta).loss_C * weights).sum()

    assert torch.autograd.gradcheck(weighted, logits.requires_grad_(), eps=1e-6, atol=1e-6, rtol=1e-4)


# --- with real tokenizers and models -------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    student: TextCodec
    teacher: TextCodec
    maps: Correspondence
    plan: AlignmentPlan
    completions: list[tuple[int, ...]]
    laws: list[Tensor]
    """Log-laws (float64) of a tiny teacher at each completion's teacher tokens."""

    def told(self, **changes: Any) -> list[Tensor]:
        """The teacher's log-probability of each student token, by completion."""
        logits = torch.randn(self.plan.num_positions, self.student.vocab_size)
        result = losses(self.maps, self.plan, logits, FullLaws(torch.cat(self.laws)), **changes)
        assert result.scored_C.all()
        return list(result.teacher_logprob_C.double().split([len(ids) for ids in self.completions]))

    def log_p(self) -> list[float]:
        """The teacher's log-probability of each text, from its own tokens."""
        return [
            law[range(len(ids)), list(ids)].sum().item()
            for law, ids in zip(self.laws, self.plan.teacher_ids, strict=True)
        ]


def codec_of(tokenizer: Any) -> TextCodec:
    return TextCodec(tokenizer, vocab_size=len(tokenizer), eos_ids=[tokenizer.convert_tokens_to_ids("<|im_end|>")])


@torch.inference_mode()
def make_pair(student_tokenizer: Any, teacher_tokenizer: Any, num_texts: int = 40) -> Pair:
    student, teacher = codec_of(student_tokenizer), codec_of(teacher_tokenizer)
    maps = Correspondence(student, teacher)
    texts = [line.strip().encode() for line in corpus(num_texts, seed=7)]
    completions = [(*(student.encode(text, at_start=True) or ()), student.eos_ids[0]) for text in texts]
    plan = make_plan(maps, completions)
    # A quarter of the random weights' contrast: probabilities of real size, far from the targets' floor.
    model = model_for(teacher_tokenizer, seed=1)
    prompt = teacher_tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], add_generation_prompt=True, tokenize=True, return_dict=False
    )
    laws = []
    for ids in plan.teacher_ids:
        logits = model(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
        laws.append(torch.log_softmax(logits.double() / 4, -1))
    return Pair(student, teacher, maps, plan, completions, laws)


ONE = ("one_digit", 420, 0)
THREE = ("three_digits", 900, 1)
WORDS = ("words", 600, 2)


def test_teacher_tokens_are_the_same_text_in_the_teachers_own_division() -> None:
    pair = make_pair(byte_level(*ONE), byte_level(*THREE))
    for ids, read in zip(pair.completions, pair.plan.teacher_ids, strict=True):
        text = b"".join(pair.student.bytes_of[token] or b"" for token in ids)
        assert read == (*(pair.teacher.encode(text, at_start=True) or ()), pair.teacher.eos_ids[0])


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_the_same_tokenizer_reproduces_the_plain_divergence(beta: float) -> None:
    """Through the general path: the teacher's ids are in another order, so nothing tells the two apart as equal."""
    pair = make_pair(byte_level(*ONE), byte_level("one_digit", 420, 0, True))
    assert pair.student.bytes_of != pair.teacher.bytes_of
    logits = torch.randn(pair.plan.num_positions, pair.student.vocab_size, requires_grad=True)
    laws = torch.cat(pair.laws).float()
    result = losses(pair.maps, pair.plan, logits, FullLaws(laws), beta)

    # The same laws with the teacher's ids renamed; special tokens that only one side knows are one outcome, the rest.
    columns = torch.tensor(pair.maps.static(False).teacher_column)
    kept = sorted(set(columns.tolist()) - {pair.student.vocab_size})
    others = [token for token in range(pair.student.vocab_size) if token not in kept]
    p = torch.zeros(len(laws), pair.student.vocab_size + 1).index_add_(1, columns, laws.exp())[:, [*kept, -1]]
    q = torch.softmax(logits, -1)
    q = torch.cat([q[:, kept], q[:, others].sum(-1, keepdim=True)], -1)
    # Where this corpus is divided by hindsight (a handful of positions) there is no such law to compare with.
    boundary = pair.plan.base >= 0
    boundary[pair.plan.extension[0]] = False
    assert boundary.float().mean() > 0.98
    same = pair.plan.place[boundary]
    p, q = p[pair.plan.base[boundary]], q[same]
    m = beta * p + (1 - beta) * q
    forward, reverse = (p * (p / q).log()).sum(-1), (q * (q / p).log()).sum(-1)
    between = beta * (p * (p / m).log()).sum(-1) + (1 - beta) * (q * (q / m).log()).sum(-1)
    truth = {0.0: forward, 1.0: reverse}.get(beta, between)
    torch.testing.assert_close(result.loss_C[same], truth.detach(), rtol=1e-5, atol=1e-5)
    (grad,) = torch.autograd.grad(result.loss_C[same].sum(), logits)
    (expected,) = torch.autograd.grad(truth.sum(), logits)
    torch.testing.assert_close(grad, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("student", "teacher"), [(THREE, ONE), (WORDS, ONE), (ONE, ONE)])
def test_chain_rule_with_a_student_of_larger_tokens(student: tuple[Any, ...], teacher: tuple[Any, ...]) -> None:
    """Σ log q(observed) is the teacher's log-probability of the text, to the last digits."""
    pair = make_pair(byte_level(*student), byte_level(*teacher))
    for told, log_p in zip(pair.told(), pair.log_p(), strict=True):
        assert told.sum().item() == pytest.approx(log_p, abs=1e-4)


@pytest.mark.parametrize(("student", "teacher"), [(ONE, THREE), (ONE, WORDS)])
def test_chain_rule_with_a_student_of_smaller_tokens(student: tuple[Any, ...], teacher: tuple[Any, ...]) -> None:
    """The same, plus exactly what is passed on at the rare boundaries that only later text makes boundaries.

    There the target counts a longer teacher token, which the next position, one token on, no longer sees. Random
    weights make the most of it: a trained teacher gives such divisions next to nothing.
    """
    pair = make_pair(byte_level(*student), byte_level(*teacher))
    passed_on = torch.zeros(pair.plan.num_positions, dtype=torch.float64)
    laws, plan = torch.cat(pair.laws).exp(), pair.plan
    columns = torch.tensor(pair.maps.static(False).teacher_column)
    step, law, token, column = plan.extension
    counted = (plan.base[step] >= 0) & (column == plan.observed[step])
    extra = torch.zeros(len(plan.place), dtype=torch.float64)
    extra.index_add_(0, step[counted], laws[law[counted], token[counted]])
    for i in extra.nonzero().flatten().tolist():
        ends_here = laws[plan.anchor[i], plan.anchor_token[i]] * laws[plan.base[i]][columns == plan.observed[i]].sum()
        passed_on[plan.place[i]] = torch.log1p(extra[i] / ends_here)
    assert (passed_on > 0).float().mean() < 0.05
    by_text = passed_on.split([len(ids) for ids in pair.completions])
    untouched = 0
    for told, log_p, extra_here in zip(pair.told(), pair.log_p(), by_text, strict=True):
        assert told.sum().item() == pytest.approx(log_p + extra_here.sum().item(), abs=1e-4)
        untouched += not extra_here.any()
    assert untouched >= 10


@pytest.mark.parametrize("mixed", ["three_words", "pieces_bytes", "bytes_pieces", "pieces_pieces"])
def test_where_tokens_cannot_be_told_apart_their_bucket_is_told(mixed: str) -> None:
    """Tokens that cross each other's boundaries: never less than the text's probability, and every position scored."""
    three, words, one = byte_level(*THREE), byte_level(*WORDS), byte_level(*ONE)
    pieces, others = sentence_pieces(700, 3), sentence_pieces(640, 4, leading_space=False)
    student, teacher = {
        "three_words": (three, words),
        "pieces_bytes": (pieces, one),
        "bytes_pieces": (one, pieces),
        "pieces_pieces": (pieces, others),
    }[mixed]
    pair = make_pair(student, teacher, num_texts=20)
    for told, log_p in zip(pair.told(), pair.log_p(), strict=True):
        assert told.sum().item() > log_p - 1e-3
        assert (told <= 0).all()


# --- what is not scored --------------------------------------------------------------------------


def test_after_a_stray_special_token_nothing_is_scored() -> None:
    student, teacher = codec_of(byte_level(*ONE)), codec_of(byte_level(*THREE))
    maps = Correspondence(student, teacher)
    stray = byte_level(*ONE).convert_tokens_to_ids(SPECIALS[1])
    before = student.encode(b"total 12") or ()
    plan = make_plan(maps, [(*before, stray, *before, student.eos_ids[0]), (*before, student.eos_ids[0])])
    laws = FullLaws(torch.randn(plan.num_laws, teacher.vocab_size))
    scored = losses(maps, plan, torch.randn(plan.num_positions, student.vocab_size), laws).scored_C
    num = len(before)
    assert scored.tolist() == [*[True] * num, *[False] * (num + 2), *[True] * (num + 1)]
    assert plan.teacher_ids[0] == teacher.encode(b"total 12")  # no end token: the student wrote none there


def test_a_truncated_completion_is_scored_up_to_its_last_token() -> None:
    student, teacher = codec_of(byte_level(*ONE)), codec_of(byte_level(*THREE))
    maps = Correspondence(student, teacher)
    whole = student.encode("total 12 好".encode()) or ()
    for cut in range(1, len(whole) + 1):  # in the middle of the character too
        plan = make_plan(maps, [whole[:cut]])
        laws = FullLaws(torch.randn(plan.num_laws, teacher.vocab_size))
        result = losses(maps, plan, torch.randn(cut, student.vocab_size), laws)
        assert result.loss_C.isfinite().all()
        assert result.scored_C[: min(cut, len(student.encode(b"total 12 ") or ()))].all()


def test_an_empty_answer_is_a_position_too() -> None:
    student, teacher = codec_of(byte_level(*ONE)), codec_of(byte_level(*THREE))
    maps = Correspondence(student, teacher)
    plan = make_plan(maps, [(student.eos_ids[0],), ()])
    law = torch.log_softmax(torch.randn(1, teacher.vocab_size), -1)
    result = losses(maps, plan, torch.randn(1, student.vocab_size), FullLaws(law))
    assert result.teacher_logprob_C.item() == pytest.approx(law[0, teacher.eos_ids[0]].item(), abs=1e-5)


def test_a_chunk_of_positions_is_that_part_of_the_whole() -> None:
    for student, teacher in ((ONE, THREE), (THREE, ONE), (THREE, WORDS)):
        pair = make_pair(byte_level(*student), byte_level(*teacher), num_texts=6)
        laws = FullLaws(torch.cat(pair.laws))
        logits = torch.randn(pair.plan.num_positions, pair.student.vocab_size)
        whole = losses(pair.maps, pair.plan, logits, laws, 0.5)
        parts = losses(pair.maps, pair.plan, logits, laws, 0.5, chunk=7)
        for name in AlignedLoss.__dataclass_fields__:
            torch.testing.assert_close(getattr(parts, name), getattr(whole, name), rtol=1e-5, atol=1e-6)


# --- a server's laws -----------------------------------------------------------------------------


def listed(pair: Pair, k: int) -> ListedLaws:
    """What a server lists: its K likeliest tokens, and the observed one."""
    laws = torch.cat(pair.laws)
    observed = torch.tensor([token for ids in pair.plan.teacher_ids for token in ids]).unsqueeze(-1)
    logprobs, ids = laws.topk(k, -1)
    known = (ids == observed).any(-1, keepdim=True)
    return ListedLaws(
        torch.cat([ids, torch.where(known, -1, observed)], -1),
        torch.cat([logprobs, laws.gather(-1, observed)], -1),
        pair.teacher.vocab_size,
    )


@pytest.mark.parametrize(("student", "teacher"), [(ONE, THREE), (THREE, ONE)])
def test_a_server_that_lists_every_token_is_as_good_as_the_whole_law(
    student: tuple[Any, ...], teacher: tuple[Any, ...]
) -> None:
    pair = make_pair(byte_level(*student), byte_level(*teacher), num_texts=10)
    logits = torch.randn(pair.plan.num_positions, pair.student.vocab_size)
    full = losses(pair.maps, pair.plan, logits, FullLaws(torch.cat(pair.laws)))
    served = losses(pair.maps, pair.plan, logits, listed(pair, pair.teacher.vocab_size))
    assert served.scored_C.all()
    # Targets of a server have a higher floor, which the least likely columns feel.
    torch.testing.assert_close(served.loss_C, full.loss_C, rtol=1e-2, atol=1e-2)


def test_a_slip_is_not_confirmed_for_want_of_listed_alternatives() -> None:
    """The teacher was sure of "2…"; the student wrote "37", of which only the observed token is listed. What is listed
    after "3" says "7, surely"; what is not listed outweighs it, so the position is left out."""
    student, teacher = codec_of(byte_level(*ONE)), codec_of(byte_level(*THREE))
    maps = Correspondence(student, teacher)
    plan = make_plan(maps, [(*(student.encode(b"=37") or ()), student.eos_ids[0])])
    assert [teacher.bytes_of[token] for token in plan.teacher_ids[0][:2]] == [b"=", b"37"]
    likely = [(teacher.encode(word) or ())[0] for word in (b"2", b"20", b"21")]
    ids = torch.tensor([[*likely, token] for token in plan.teacher_ids[0]])
    logprobs = torch.log(torch.tensor([[0.5, 0.3, 0.19, 1e-4]]).expand(plan.num_laws, -1))
    logits = torch.randn(plan.num_positions, student.vocab_size)
    result = losses(maps, plan, logits, ListedLaws(ids, logprobs, teacher.vocab_size))
    assert result.scored_C.tolist() == [True, True, False, result.scored_C[3].item()]
    assert result.loss_C[2] == 0
    complete = replace(pair_of_logits(plan, teacher, ids, logprobs), complete=True)
    assert losses(maps, plan, logits, complete).scored_C[2]


@dataclass(frozen=True)
class pair_of_logits:  # noqa: N801  # reads as the function it stands for
    """The same numbers, claimed to be the whole law."""

    plan: AlignmentPlan
    teacher: TextCodec
    ids: Tensor
    logprobs: Tensor
    complete: bool = False

    def probabilities(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        return ListedLaws(self.ids, self.logprobs, self.teacher.vocab_size).probabilities(start, stop)
