"""The examples in docstrings run: each by itself, in an empty folder, with no names but those that it imports."""

import ast
import doctest
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import histoscribe

ROOT = Path(histoscribe.__file__).parent


class Docstring(NamedTuple):
    name: str  # "domains.niche.niche"
    path: Path
    line: int  # where it begins, from 1
    text: str

    @property
    def examples(self) -> list[doctest.Example]:
        return doctest.DocTestParser().get_examples(self.text, self.name)


def docstrings_in(node: ast.AST, name: str, path: Path) -> Iterator[Docstring]:
    """Docstrings of a module, class or function and of all within it; nothing is imported for this."""
    text = ast.get_docstring(node, clean=False)
    if text is not None:
        yield Docstring(name, path, node.body[0].lineno, text)
    for inner in node.body:
        if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from docstrings_in(inner, f"{name}.{inner.name}", path)


def docstrings_of(root: Path) -> Iterator[Docstring]:
    for path in sorted(root.rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        yield from docstrings_in(ast.parse(path.read_text(encoding="utf-8")), name, path)


def failures(docstring: Docstring) -> str:
    """Run the examples of a docstring and return doctest's report, empty where all is as shown."""
    globs = {"__name__": "__main__"}
    test = doctest.DocTestParser().get_doctest(
        docstring.text, globs, docstring.name, str(docstring.path), docstring.line - 1
    )
    report: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    return "".join(report)


DOCSTRINGS = list(docstrings_of(ROOT))
WITH_EXAMPLES = [docstring for docstring in DOCSTRINGS if ">>>" in docstring.text]


@pytest.mark.parametrize("docstring", WITH_EXAMPLES, ids=lambda docstring: docstring.name)
def test_an_example_gives_what_it_shows(docstring, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if report := failures(docstring):
        pytest.fail(report, pytrace=False)


def test_there_are_examples():
    assert WITH_EXAMPLES


def test_every_example_shows_a_result():
    silent = [one.name for one in WITH_EXAMPLES if not any(step.want or step.exc_msg for step in one.examples)]
    assert silent == []


def test_examples_stand_under_their_heading_and_nothing_else_does():
    strangers = [one.name for one in DOCSTRINGS if ("Examples\n" in one.text) != (">>>" in one.text)]
    assert strangers == []


def test_a_wrong_example_is_reported_with_its_line():
    report = failures(Docstring("made.up", Path("made_up.py"), 11, "Add.\n\n>>> 1 + 1\n3\n"))
    assert 'File "made_up.py", line 13, in made.up' in report
    assert "Expected:\n    3\nGot:\n    2\n" in report


def test_an_example_knows_no_names_but_its_own():
    assert "NameError" in failures(Docstring("made.up", Path("made_up.py"), 1, ">>> ROOT.name\n'histoscribe'\n"))
