"""What README and docs show is run: programs, recipes, commands, and the shape of the demo's output."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from converters import load_ready_recipe, load_recipe

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (f"{page.name}-{at}", body)
        for page in PAGES
        for at, body in enumerate(re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL))
    ]


@pytest.mark.parametrize(
    ("name", "program"), blocks("python"), ids=lambda value: value if len(value) < 40 else ""
)
def test_a_program_runs(tmp_path, demo, name, program):
    for made in ("digits.eib", "seven.png"):
        shutil.copy(demo.folder / "build/demo" / made, tmp_path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if name == "README.md-0":
        assert re.fullmatch(r"7 0\.\d+ device \d+\.\d+\n", done.stdout)


@pytest.mark.parametrize(
    ("name", "recipe"), blocks("toml"), ids=lambda value: value if len(value) < 40 else ""
)
def test_a_recipe_is_valid(tmp_path, name, recipe):
    (tmp_path / "recipe.toml").write_text(recipe)
    load = load_ready_recipe if "\n[model]\n" in recipe else load_recipe
    assert load(tmp_path / "recipe.toml").name, name


def test_commands_that_are_shown_exist():
    known = set(metadata.entry_points(group="edgeinfer.commands").names)
    shown = {
        command
        for page in PAGES
        for command in re.findall(r"(?:^ {4}|`)edgeinfer ([\w-]+)", page.read_text(), re.M)
    }
    assert shown
    assert shown <= known


def test_the_demo_prints_what_the_readme_shows_but_for_the_figures(demo):
    (_, shown), *_ = blocks("text")

    def shape(text: str) -> list[str]:
        lines = [re.sub(r"[\d.,]+|█+|\s+", "", line) for line in text.strip().splitlines()]
        return [line for line in lines if not re.fullmatch(r"[ .:*#@%]*", line)]

    assert shape(demo.printed) == shape(shown)


def test_targets_of_make_that_are_shown_exist():
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"(?:`|^ {4})make (\w+)", page.read_text(), re.M):
            assert f"\n{target}: " in makefile, f"{page.name}: make {target}"
