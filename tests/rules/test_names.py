"""Public names are what `__all__` says, are documented, and are typed."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest

import edgeinfer

ROOT = Path(__file__).parents[2]
ROOMS = sorted(
    ".".join(path.parent.relative_to(ROOT).parts)
    for path in [*(ROOT / "edgeinfer").rglob("__init__.py"), ROOT / "converters/__init__.py"]
)


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_s_public_names_are_there_and_documented(name):
    module = import_module(name)
    assert inspect.getdoc(module), name
    public = getattr(module, "__all__", [])
    assert list(public) == sorted(public, key=lambda each: (not each.isupper(), not each[0].isupper(), each))
    for each in public:
        value = getattr(module, each)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), f"{name}.{each}"


def test_the_package_gives_exactly_its_public_names():
    lazily = {each for names in edgeinfer._HOMES.values() for each in names}
    assert lazily == set(edgeinfer.__all__)
    assert set(edgeinfer.__all__) <= set(dir(edgeinfer))
    for name in edgeinfer.__all__:
        assert getattr(edgeinfer, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        edgeinfer.nothing  # noqa: B018
