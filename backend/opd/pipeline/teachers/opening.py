"""From a configuration to the teacher at work: the one place that knows all kinds.

What a run rests on is proven here, before its first step: a served teacher is probed live, a pair of models compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch

from opd.config import ChatTeacher, LocalTeacher, RunConfig, ServerTeacher
from opd.data_loader import PromptRecord
from opd.errors import ConfigError
from opd.keys import provider_of_server
from opd.model_files import Progress, find_model, find_tokenizer
from opd.pipeline.beside import LineReporter
from opd.pipeline.money import Account
from opd.pipeline.reporter import Reporter
from opd.pipeline.teachers.across import AcrossRunTeacher
from opd.pipeline.teachers.base import RunTeacher
from opd.pipeline.teachers.chat import ChatRunTeacher
from opd.pipeline.teachers.local import LocalRunTeacher
from opd.pipeline.teachers.served import ServedRunTeacher
from opd.pipeline.teachers.tokenizers import Reading
from opd.store.runs import RunFolder
from opd.teachers.paid_client import PaidClient
from opd.teachers.pair_checks import PROBE_TEXTS, Pair, check_pair
from opd.teachers.probe import probe, refuse
from opd.teachers.probe_share import share_of_positions
from opd.teachers.scoring_server import Pays, ScoringServer
from opd.teachers.server_price import name_of_server, price_of_server
from opd.teachers.token_texts import TokenizerTexts
from opd.teachers.tokenizer_folder import TokenizerFolder
from opd.training.models import Student, load_teacher


def open_teacher(
    config: RunConfig,
    student: Student,
    device: torch.device,
    *,
    records: Sequence[PromptRecord],
    folder: RunFolder,
    reporter: Reporter | LineReporter,
    keys: Mapping[str, str],
    progress: Progress | None = None,
) -> RunTeacher:
    """The configured teacher, ready to be asked.

    Args:
        records: all prompts of the run; the only ones that it will be asked about.
        folder: the run's; its number is what money is booked under.
        reporter: told what is spent.
        keys: provider → API key; a value goes to its provider and nowhere else.

    Raises:
        ModelNotFoundError, UnsafeModelError, ModelMismatchError: models that cannot be used together.
        TeacherError: a server that does not answer, or not about what it was sent; a `TeacherAwayError` may pass.
        NotWaitedForError: the run is to end, and the server has not answered.
        ConfigError: a kind that a run cannot use yet.
    """
    match config.teacher:
        case LocalTeacher():
            return _local(config, config.teacher, student, device, records, progress)
        case ServerTeacher():
            return _served(config, config.teacher, student, records, folder, reporter, keys)
        case ChatTeacher():
            return ChatRunTeacher(config.teacher, config, student, folder, reporter, keys)
        case other:
            raise ConfigError(
                f"A {other.type} teacher cannot train a student yet.", hint="Choose a model on this machine."
            )


def _local(
    config: RunConfig,
    teacher: LocalTeacher,
    student: Student,
    device: torch.device,
    records: Sequence[PromptRecord],
    progress: Progress | None,
) -> RunTeacher:
    folder = find_model(teacher.model, revision=teacher.revision, progress=progress)
    pair = Pair(_tokenizer_of(student), TokenizerFolder.load(folder), config.objective.across_tokenizers)
    refuse(check_pair(pair))
    model = load_teacher(folder, teacher.dtype, device)
    if pair.same_tokenizer:
        return LocalRunTeacher(model, student, config)
    reading = Reading(student, pair.teacher, int(model.get_output_embeddings().weight.shape[0]))
    return AcrossRunTeacher(model, reading, config, records, share=share_of_positions(pair, PROBE_TEXTS))


def _served(
    config: RunConfig,
    teacher: ServerTeacher,
    student: Student,
    records: Sequence[PromptRecord],
    folder: RunFolder,
    reporter: Reporter | LineReporter,
    keys: Mapping[str, str],
) -> RunTeacher:
    key = keys.get(provider_of_server(teacher.dialect, teacher.base_url))
    if teacher.tokenizer is None:
        theirs = _tokenizer_of(student)
    else:  # fetched before the probe, which looks only at what is here
        theirs = TokenizerFolder.load(find_tokenizer(teacher.tokenizer), alone=True)
    price = price_of_server(teacher, capped_by_tokens=config.budget_tokens is not None)
    should_stop = lambda: reporter.stop_mode() is not None  # noqa: E731
    with ExitStack() as stack:
        pays: Pays | None = None
        if price is not None:
            account = stack.enter_context(Account(config, folder, reporter))
            pays = partial(
                PaidClient,
                price=price,
                purse=account.purse,
                name=name_of_server(teacher),
                most=teacher.max_concurrency,
                watch=account.tell,
            )
        report = probe(config, key=key, strict=True, pays=pays, should_stop=should_stop)
        server = ScoringServer.from_config(
            teacher,
            key=key,
            top_k=getattr(config.objective, "top_k", 0),
            texts=TokenizerTexts(theirs.text_of, theirs.vocabulary),
            pays=pays,
            should_stop=should_stop,
        )
        stack.callback(server.close)
        reading = None if report.same_tokenizer else Reading(student, theirs)
        return ServedRunTeacher(
            server, student, config, records, reading=reading, report=report, is_free=pays is None, ends=stack.pop_all()
        )


def _tokenizer_of(student: Student) -> TokenizerFolder:
    return TokenizerFolder.load(Path(student.facts.path))
