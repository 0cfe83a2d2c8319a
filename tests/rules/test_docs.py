"""Docs cannot rot: their links lead somewhere, and what they name is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from edgeinfer.bundle.schema import manifest_schema

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_paths_named_in_code_and_docs_exist():
    places = [*PAGES, *(ROOT / "edgeinfer").rglob("*.py"), *(ROOT / "converters").rglob("*.py")]
    for place in places:
        for name in re.findall(r"\bdocs/[\w/.-]+\.md", place.read_text()):
            assert (ROOT / name).exists(), f"{place}: {name}"


def test_the_format_s_page_names_every_field():
    page = (ROOT / "docs/bundle-format.md").read_text()
    for name, definition in manifest_schema()["$defs"].items():
        for field in definition["properties"]:
            assert f"`{field}`" in page, f"{name}.{field}"


def test_the_recipe_s_page_names_every_key():
    import dataclasses

    from converters import recipe

    page = (ROOT / "docs/recipes.md").read_text()
    for kind in vars(recipe).values():
        if dataclasses.is_dataclass(kind) and kind.__module__.startswith(recipe.__name__):
            for field in dataclasses.fields(kind):
                if field.name != "folder":
                    written = (f"`{field.name}`", f"[{field.name}", f".{field.name}]")
                    assert any(each in page for each in written), f"{kind.__name__}.{field.name}"


def test_the_page_of_ready_models_names_every_key():
    import dataclasses

    from converters.ready import recipe

    page = (ROOT / "docs/ready-models.md").read_text()
    for kind in vars(recipe).values():
        if dataclasses.is_dataclass(kind) and kind.__module__ == recipe.__name__:
            for field in dataclasses.fields(kind):
                if field.name != "folder":
                    assert f"`{field.name}`" in page or f"[{field.name}]" in page, (
                        f"{kind.__name__}.{field.name}"
                    )


def test_the_readme_names_every_extra_and_room():
    readme = (ROOT / "README.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for extra in project["project"]["optional-dependencies"]:
        assert f"`{extra}`" in readme, extra
    for room in (ROOT / "edgeinfer").iterdir():
        if room.is_dir() and (room / "__init__.py").exists():
            assert f"`edgeinfer/{room.name}`" in readme, room.name
