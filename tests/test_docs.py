"""The how-to pages run: every Python block, page by page, on a phantom called my_section."""

import re
import shutil
import warnings
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))


@pytest.fixture(scope="module")
def my_section(tmp_path_factory) -> Path:
    """SpaceRanger folder of a small phantom."""
    from histoscribe.phantom import make_phantom, write_spaceranger

    folder = tmp_path_factory.mktemp("docs") / "my_section"
    write_spaceranger(make_phantom(7, size_um=1200.0, mpp=1.0, n_domains=3), folder)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs_from_top_to_bottom(page, my_section, tmp_path, monkeypatch):
    shutil.copytree(my_section, tmp_path / "my_section")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
            exec(compile(block, str(page), "exec"), names)


def test_every_page_is_reachable_from_the_readme():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    assert [page.name for page in PAGES if f"docs/{page.name}" not in readme] == []
