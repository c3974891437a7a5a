"""One export from a run to a verified folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from opd.errors import InputError, StorageError
from opd.export.folders import write_card, write_lora, write_merged
from opd.export.source import Source, need_adapter, open_source
from opd.store.exports import Check, ExportedFile, ExportForm, ExportReport
from opd.store.runs import RunFolder
from opd.training import checkpoint

GGUF_NAME = "model.gguf"
PHASES = ("Reading the run's model", "Writing and verifying", "Counting the files")

Say = Callable[[str, int], None]
"""Called with a phase in words and the number of phases before it."""


def export_run(
    run: RunFolder,
    form: ExportForm,
    folder: Path,
    *,
    step: int | None = None,
    final: bool = False,
    precision: str = "f16",
    say: Say = lambda phase, done: None,
) -> ExportReport:
    """Write one form into a folder that is empty or not there; a failure leaves it as it was.

    Args:
        step: export this checkpoint; None: what the verdict recommends, else the finished model.
        final: export the finished model whatever the verdict recommends.
        precision: f16, bf16 or f32: how GGUF stores matrices.

    Raises:
        InputError: the folder holds something, or the model cannot be put into this form faithfully.
        VerificationError: what was written is not the run's model.
        StorageError: no space.
    """
    started = time.monotonic()
    _check_target(folder)
    say(PHASES[0], 0)
    source = open_source(run, step=step, final=final)
    if form == "lora":
        need_adapter(source)  # said before anything is written
    stage = folder.with_name(f".{folder.name}.stage")
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    try:
        say(PHASES[1], 1)
        checks = _write(source, form, stage, precision)
        say(PHASES[2], 2)
        facts = {"run_id": run.run_id, "step": step, "form": form, "checks": [check.model_dump() for check in checks]}
        write_card(stage, facts)
        files = [
            ExportedFile(name=path.name, num_bytes=path.stat().st_size, sha256=checkpoint.file_digest(path))
            for path in sorted(stage.iterdir())
        ]
        checkpoint.replace_folder(stage, folder)
    except OSError as error:
        raise StorageError(
            f"The export could not be written: {error.strerror or error}.", hint="Free disk space and export again."
        ) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return ExportReport(
        form=form,
        path=str(folder),
        run_id=run.run_id,
        step=step,
        precision=precision if form in ("gguf", "ollama") else None,
        files=files,
        checks=checks,
        duration_s=time.monotonic() - started,
        how_to_use=_how_to_use(form, folder, run),
    )


def _write(source: Source, form: ExportForm, folder: Path, precision: str) -> list[Check]:
    if form == "lora":
        return write_lora(source, folder)
    if form == "merged":
        return write_merged(source, folder)
    if find_spec("gguf") is None:
        raise InputError(
            "The package gguf is not installed.", hint='Install it with `pip install "opd-studio[train]"`.'
        )
    from opd.export.gguf_file import as_precision, write_gguf
    from opd.export.templates import find_template, modelfile

    template = find_template(source.tokenizer) if form == "ollama" else None
    checks = write_gguf(source, folder / GGUF_NAME, as_precision(precision))
    if template is not None:
        (folder / "Modelfile").write_text(modelfile(template, GGUF_NAME), encoding="utf-8")
        found = f"{template.family}: the same text as the model's own for every conversation tried"
        checks.append(Check(what="chat template", found=found))
    return checks


def _check_target(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already and holds something.", hint="Give a new or an empty folder.")


def _how_to_use(form: ExportForm, folder: Path, run: RunFolder) -> str:
    return {
        "lora": f'PeftModel.from_pretrained(base, "{folder}")',
        "merged": f"opd serve {folder}",
        "gguf": f"llama-server -m {folder / GGUF_NAME}",
        "ollama": f"ollama create {run.run_id} -f {folder / 'Modelfile'}",
    }[form]
