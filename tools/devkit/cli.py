"""The commands of `tools/dev.py`: what each needs to be set up, and what it then runs."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence

from devkit import checks, environment, node, suite
from devkit.console import StepFailedError, duration, foreground, say, step
from devkit.environment import PYTHON, variables
from devkit.paths import CACHE, FRONTEND, ROOT, UI, VENV, venv_program

Command = Callable[[argparse.Namespace, list[str]], int]


def main(arguments: Sequence[str]) -> int:
    """Runs one command; exit code 130 when interrupted, 1 when a step failed."""
    parser = _parser()
    options, extra = parser.parse_known_args(arguments)
    if extra and not options.passes_on:
        parser.error(f"{options.command} takes no {' '.join(extra)}")
    run: Command = options.run
    try:
        return run(options, extra)
    except StepFailedError as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


def set_up(options: argparse.Namespace, extra: list[str]) -> int:
    """Everything that working on the project needs, installed and built."""
    _prepare("train", "dev")
    node.build_ui()
    say(f"Ready. The command line is {venv_program('opd').relative_to(ROOT)}")
    return 0


def demo(options: argparse.Namespace, extra: list[str]) -> int:
    """The bundled distillation, live in the studio."""
    _prepare("train")
    node.build_ui()
    return foreground([venv_program("opd"), "demo", *extra], env=variables())


def studio(options: argparse.Namespace, extra: list[str]) -> int:
    """The studio without the demo."""
    _prepare("train")
    node.build_ui()
    return foreground([venv_program("opd"), "studio", *extra], env=variables())


def check(options: argparse.Namespace, extra: list[str]) -> int:
    """Format, lint, types, storeys, generated files."""
    _prepare("train", "dev")
    outcomes = checks.run(checks.all_checks())
    failed = [outcome.check.name for outcome in outcomes if not outcome.passed]
    say(
        f"\n{len(outcomes) - len(failed)} of {len(outcomes)} checks passed"
        + (f"; failed: {', '.join(failed)}" if failed else "")
    )
    return 1 if failed else 0


def test(options: argparse.Namespace, extra: list[str]) -> int:
    """Everything; with arguments, only pytest with these arguments."""
    _prepare("train", "dev")
    node.build_ui()
    if extra:
        return suite.pytest(extra, env=suite.test_variables())[0]
    return suite.run(suite.parallel_arguments())


def torture(options: argparse.Namespace, extra: list[str]) -> int:
    """The long forms of the fault tests."""
    _prepare("train", "dev")
    node.build_ui()
    env = {**suite.test_variables(), "OPD_TORTURE_MINUTES": str(options.minutes)}
    return _marked("torture", env, ["-s", "--timeout", str(round(options.minutes * 60) + 600), *extra])


def screenshots(options: argparse.Namespace, extra: list[str]) -> int:
    """Pictures of every page into docs/img/."""
    _prepare("train", "dev")
    node.build_ui()
    env = {**suite.test_variables(), "OPD_SCREENSHOTS_DIR": str(ROOT / "docs" / "img")}
    return _marked("screenshots", env, extra)


def build(options: argparse.Namespace, extra: list[str]) -> int:
    """The user interface; with --dist also the wheel that ships it."""
    _prepare("train")
    node.build_ui()
    if options.dist:
        command = [str(PYTHON), "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", "."]
        step("Wheel", command, env=variables())
        say(f"  in dist/: {', '.join(sorted(path.name for path in (ROOT / 'dist').glob('*.whl')))}")
    return 0


def openapi(options: argparse.Namespace, extra: list[str]) -> int:
    """Writes every generated file: the OpenAPI document, the TypeScript made from it, the CLI reference."""
    _prepare("train", "dev")
    for name, module in checks.GENERATORS.items():
        step(name, [PYTHON, "-m", module], env=variables())
    found = node.ensure()
    node.install_packages(found)
    step("API types from OpenAPI", [*found.npm, "run", "generate"], env=found.variables(), cwd=FRONTEND)
    return 0


def clean(options: argparse.Namespace, extra: list[str]) -> int:
    """Removes what was built and cached; with --all also what was installed. Never touches runs or data."""
    caches = [
        ROOT / name for name in (".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache", ".hypothesis")
    ]
    targets = [CACHE, UI, ROOT / "dist", *caches]
    if options.all:
        targets += [VENV, FRONTEND / "node_modules"]
    for target in targets:
        if target.exists():
            shutil.rmtree(target)
            say(f"  removed {target.relative_to(ROOT)}")
    return 0


def _prepare(*extras: str) -> None:
    os.chdir(ROOT)
    started = time.monotonic()
    say("Setting up")
    environment.set_up(extras)
    if time.monotonic() - started > 5:
        say(f"  Python part took {duration(time.monotonic() - started)}")


def _marked(marker: str, env: dict[str, str], arguments: Sequence[str]) -> int:
    code, _ = suite.pytest(["-m", marker, *arguments], env)
    if code == 5:
        raise StepFailedError(f"No test in this tree is marked {marker!r}: there is nothing to run.")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py", description="Set up, run and check OPD Studio from a checkout.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(run: Command, *, passes_on: str = "") -> argparse.ArgumentParser:
        summary = (run.__doc__ or "").strip()
        epilog = f"Further arguments go to {passes_on}." if passes_on else None
        command = commands.add_parser(
            run.__name__.replace("set_up", "setup"), help=summary, description=summary, epilog=epilog
        )
        command.set_defaults(run=run, passes_on=bool(passes_on))
        return command

    add(set_up)
    add(demo, passes_on="opd demo")
    add(studio, passes_on="opd studio")
    add(test, passes_on="pytest")
    add(check)
    add(build).add_argument("--dist", action="store_true", help="also make the wheel")
    add(screenshots, passes_on="pytest")
    add(clean).add_argument("--all", action="store_true", help="also remove .venv and node_modules")
    add(torture, passes_on="pytest").add_argument("--minutes", type=float, default=30.0, help="how long (30)")
    add(openapi)
    return parser
