"""`opd serve`: a model folder or a run's result behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from opd.cli.folders import open_store, resolve_run_name
from opd.cli.output import say
from opd.cli.studio import read_token


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("serve")(serve)


def serve(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL_OR_RUN",
            help="Folder of a model or of LoRA adapters, Hugging Face id, or a finished run.",
            show_default=False,
        ),
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on; another than loopback needs a token.")] = "127.0.0.1",
    token_file: Annotated[
        Path | None, typer.Option(help="File with the bearer token that every request must carry.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name under which the model is offered.", show_default=False)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
) -> None:
    """Serve a model as OpenAI's API does: chat, completions, and log-probabilities of given tokens.

    With these (`prompt_logprobs`, as vLLM spells them) it can be the teacher of a run on another machine:
    teacher.type server, teacher.base_url the address that is printed. A run is named by its id, the id's first
    letters, or latest. Ctrl-C ends it.
    """
    from opd.serving.app import serve as serve_model

    store = open_store()
    token = read_token(token_file)

    def ready(address: str, offered: str) -> None:
        print(address, flush=True)
        say(f"{offered} answers there{'' if token is None else ', with the token'}. Ctrl-C ends it.")

    with contextlib.suppress(KeyboardInterrupt):  # the usual way to end it
        serve_model(
            resolve_run_name(store, model),
            host=host,
            port=port,
            token=token,
            name=name,
            device=device,
            dtype=dtype,
            runs_dir=store.runs_path,
            on_ready=ready,
        )
