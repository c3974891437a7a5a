"""The prompts: whether they can be used, what is held out, and whether they fit into the context."""

from __future__ import annotations

from opd.config import RunConfig
from opd.data_loader import DataReport, check_file, shared_prompts
from opd.errors import DataError
from opd.estimate import prompt_lengths
from opd.evaluation.regime import regime_advice
from opd.hub_cache import local_folder
from opd.model_files import read_facts
from opd.preflight.items import Finding

_FEW_TEST_PROMPTS = 30


def report(config: RunConfig) -> DataReport | None:
    """The check of the prompts; None where there is no file, which the look at the data then says."""
    try:
        return check_file(config.data.path)
    except DataError:
        return None


def data(config: RunConfig, report: DataReport | None) -> Finding:
    """Whether the prompts can be used."""
    report = report or check_file(config.data.path)
    if not report.ok:
        return _first_problem(report)
    if config.data.answer_match != "none" and report.num_references == 0:
        return Finding(
            "fail",
            f"answer_match is {config.data.answer_match}, but no prompt has an answer to compare with.",
            "Set answer_match to none, or add an `answer` to each line.",
        )
    detail = f"{report.num_samples:,} prompts"
    if report.num_duplicates:
        return Finding(
            "warn",
            f"{detail}, {report.num_duplicates:,} of them twice.",
            "Nothing has to be done; repeated prompts simply count more.",
        )
    return Finding("ok", f"{detail}, no problems.")


def held_out(config: RunConfig, report: DataReport | None) -> Finding | None:
    """How many prompts the verdict rests on; None where nothing is evaluated."""
    if not config.evaluation.enabled:
        return None
    if config.data.test_path is not None:
        separate = check_file(config.data.test_path)
        if not separate.ok:
            return _first_problem(separate)
        num = separate.num_samples
        if shared := shared_prompts(config.data.path, config.data.test_path):
            return Finding(
                "warn",
                f"{shared:,} of {num:,} are trained on as well: on those, the verdict shows memory and not skill.",
                "Take them out of one of the two files.",
            )
    elif report is None:
        return None
    else:
        num = round(report.num_samples * config.data.test_fraction)
    if num < _FEW_TEST_PROMPTS:
        return Finding(
            "warn",
            f"Only {num}: the verdict will have wide intervals.",
            "Hold out more prompts, or give a separate file as test_path.",
        )
    return Finding("ok", f"{num:,} for the verdict.")


def _first_problem(report: DataReport) -> Finding:
    first = next(problem for problem in report.problems if problem.severity == "error")
    count = f"{report.num_errors:,} problem{'s' if report.num_errors != 1 else ''}"
    return Finding("fail", f"{count}, first in line {first.line}, byte {first.byte_offset}: {first.reason}.", first.fix)


def regime(config: RunConfig, report: DataReport | None) -> Finding | None:
    """What was measured with as many prompts as these, and what it suggests."""
    if report is None:
        return None
    held_out = 0 if config.data.test_path is not None else round(report.num_samples * config.data.test_fraction)
    words = regime_advice(config, report.num_samples - held_out)
    return Finding("ok", words) if words else None


def context(config: RunConfig, report: DataReport | None) -> Finding | None:
    """Whether the longest prompt and completion fit; None where a part is not here yet."""
    folder = local_folder(config.student.model)
    if folder is None or report is None:
        return None
    context = read_facts(folder).context_length
    lengths = prompt_lengths(config, report)
    needed = lengths.longest_prompt + lengths.longest_completion
    if context and needed > context:
        return Finding(
            "warn",
            f"The longest prompt and completion take about {needed:,} tokens; the student reads {context:,}.",
            "Lower sampling.max_completion_tokens or shorten the longest prompts.",
        )
    return Finding("ok", f"About {needed:,} of {context:,} tokens.")
