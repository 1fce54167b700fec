"""The commands on any terminal, from any directory, and without torch where it is not needed."""

import ast
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from experiment.terminal import SPELLINGS
from tests.conftest import ROOT, command

TRAIN = str(ROOT / "train.py")


def python(*arguments: str, encoding: str = "utf-8", status: int = 0) -> str:
    """Return what a Python process prints to both streams."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True)
    output = (done.stdout + done.stderr).decode(encoding)
    assert done.returncode == status, output
    return output


def spell_out(text: str, encoding: str) -> str:
    def is_known(character: str) -> bool:
        try:
            character.encode(encoding)
        except UnicodeEncodeError:
            return False
        return True

    return "".join(character if is_known(character) else SPELLINGS[character] for character in text)


def without_times(text: str) -> str:
    return re.sub(r"[\d.]+ s\b|\d+it/s|\d{4}-\d\d-\d\d/[\d-]+", "", text)


@pytest.mark.parametrize(
    ("arguments", "shown", "status"),
    [
        ([TRAIN, "--help"], ["a whole number ≥ 1", "a·x + b·y + c"], 0),
        ([TRAIN, "optimizer.lr=-1"], ["a number ≥ 0"], 1),
    ],
)
def test_a_terminal_without_a_character_shows_its_spelling(elsewhere, arguments, shown, status):
    full = python(*arguments, status=status)
    for text in shown:
        assert text in full
    for encoding in ("cp1252", "ascii"):
        limited = python(*arguments, encoding=encoding, status=status)
        assert without_times(limited) == without_times(spell_out(full, encoding))


@pytest.mark.parametrize(
    ("name", "shown"), [("sweep", [" ± "]), ("explain", ["Σ", "δ", "∂", "−"])], ids=["sweep", "explain"]
)
def test_a_terminal_shows_the_spelling_of_all_that_is_trained_and_explained(train, monkeypatch, name, shown):
    """In this process, with streams of the terminal's encoding."""

    def show(encoding: str) -> str:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            if name == "sweep":
                assert train("-m", "seed=0,1", "trainer.max_epochs=2") == 0
            else:
                assert command(name) == 0
        for stream in streams:
            stream.flush()
        return b"".join(stream.buffer.getvalue() for stream in streams).decode(encoding)

    full = show("utf-8")
    for text in shown:
        assert text in full
    for encoding in ("cp1252", "ascii"):
        assert without_times(show(encoding)) == without_times(spell_out(full, encoding))


def test_a_character_that_is_not_our_own_is_escaped(elsewhere):
    assert "seed=\\u65e5: a whole number >= 0" in python(TRAIN, "seed='日'", encoding="ascii", status=1)


def test_every_character_that_the_code_can_print_has_a_spelling():
    """Every one in a string of ``src/`` that is no docstring."""
    for path in (ROOT / "src").rglob("*.py"):
        tree = ast.parse(path.read_text())
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                unknown = {character for character in node.value if not character.isascii()} - SPELLINGS.keys()
                assert not unknown, f"{path}:{node.lineno}: {unknown}"
    assert "".join(SPELLINGS.values()).isascii()


@pytest.mark.draws
def test_every_command_works_from_any_directory(run, monkeypatch, capsys):
    directory = run("trainer.max_epochs=2")
    (directory / "loss.png").unlink()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert command("explain") == 0
    assert command("explain", "../run", "step=1") == 0
    assert command("draw", "../run") == 0
    assert command("repeat", "../run", "../again") == 0
    output = capsys.readouterr().out
    assert "Step 0 of a 2-4-1 net" in output
    assert "Step 1 of a 2-4-1 net" in output
    assert "bit-identical" in output
    assert Path("../run/loss.png").exists()
    assert not list(Path().iterdir())


def test_configurations_are_composed_checked_and_explained_without_torch():
    modules = {path.stem for path in (ROOT / "src/experiment/configuration").glob("[a-z]*.py")} - {"targets"}
    imports = [f"import experiment.configuration.{name}" for name in sorted(modules)]
    loaded = "print({'torch', 'lightning'} & sys.modules.keys())"
    assert python("-c", "\n".join([*imports, "import experiment.command, sys", loaded])) == "set()\n"


@pytest.mark.parametrize("argument", ["optimizer.learning_rate=1", "hydra.run.dir=a=b"])
def test_overrides_that_hydra_refuses_are_explained_without_torch(argument):
    program = f"""
import atexit, runpy, sys
sys.argv = ["train.py", "{argument}"]
atexit.register(lambda: print("heavy modules:", {{"torch", "lightning"}} & sys.modules.keys()))
runpy.run_path("{TRAIN}", run_name="__main__")
"""
    assert "heavy modules: set()\n" in python("-c", program, status=1)
