"""Rules that hold for every file of ours, read from the syntax tree: no `noqa` gets around them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*(ROOT / "backend" / "opd").rglob("*.py"), *(ROOT / "tools").rglob("*.py"), ROOT / "hatch_build.py"])

# Loading one of these formats runs whatever its author put in.
UNSAFE_MODULES = {"cloudpickle", "dill", "jsonpickle", "marshal", "pickle", "shelve"}
_PICTURE = re.compile(r"""(?:!\[[^\]]*\]\(|(?:src|srcset)=")([^)"#]+)[)"]""")
UNSAFE_CALLS = {
    "eval": "runs text as code",
    "exec": "runs text as code",
    "os.popen": "goes through a shell",
    "os.system": "goes through a shell",
    "torch.load": "unpickles; use safetensors",
    "yaml.load": "can build any object; use yaml.safe_load",
    "yaml.unsafe_load": "can build any object; use yaml.safe_load",
}


def violations(source: str) -> Iterator[str]:
    """Each breach of the rules in this source text, with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            names = []
        for name in names:
            if name.split(".")[0] in UNSAFE_MODULES:
                yield f"line {node.lineno}: imports {name}, which unpickles"
            if name in UNSAFE_CALLS:
                yield f"line {node.lineno}: imports {name}, which {UNSAFE_CALLS[name]}"
        if isinstance(node, ast.Call):
            yield from _unsafe_call(node)


def _unsafe_call(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    if name in UNSAFE_CALLS:
        yield f"line {call.lineno}: {name} {UNSAFE_CALLS[name]}"
    for keyword in call.keywords:
        is_false = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        if keyword.arg in ("shell", "trust_remote_code", "allow_pickle") and not is_false:
            yield f"line {call.lineno}: {keyword.arg} may only be False"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_of_ours_runs_what_a_stranger_wrote(path: Path) -> None:
    assert list(violations(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from dill import loads",
        "import torch\ntorch.load('x')",
        "from torch import load",
        "from yaml import load as read",
        "eval('1')",
        "subprocess.run('ls', shell=True)",
        "subprocess.run('ls', shell=flag)",
        "load(name, trust_remote_code=True)",
        "def f():\n    import os\n    os.system('ls')",
    ],
)
def test_the_rules_catch_what_they_are_for(source: str) -> None:
    assert list(violations(source))


@pytest.mark.parametrize(
    "source",
    ["model.eval()", "f(trust_remote_code=False)", "import yaml\nyaml.safe_load('a')", "run(['ls'], shell=False)"],
)
def test_the_rules_let_pass_what_is_harmless(source: str) -> None:
    assert list(violations(source)) == []


def test_importing_the_server_loads_no_ml_package() -> None:
    script = (
        "import sys, opd.main\n"
        "heavy = {'torch', 'transformers', 'trl', 'peft', 'accelerate', 'datasets'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT / "backend", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_left_for_later(path: Path) -> None:
    marks = re.findall(r"#\s*(?:TODO|FIXME|XXX|HACK)\b.*", path.read_text("utf-8"))
    assert marks == []


def test_pictures_of_the_docs_are_there_and_small_and_all_are_shown() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {(page.parent / target).resolve() for page in pages for target in _PICTURE.findall(page.read_text("utf-8"))}
    assert named, "the docs show what the studio looks like"
    assert [path.name for path in sorted(named) if not path.is_file()] == []
    pictures = [path for path in (ROOT / "docs" / "img").rglob("*") if path.suffix in {".webp", ".svg", ".png"}]
    assert sum(path.stat().st_size for path in pictures) <= 3_000_000
    texts = "".join(page.read_text("utf-8") for page in pages)
    assert [path.name for path in pictures if f"{path.name})" not in texts and f'{path.name}"' not in texts] == []
