"""The import table holds, and `import edgeinfer` costs next to nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = tomllib.loads((Path(__file__).parent / "imports.toml").read_text())
FILES = sorted((ROOT / "edgeinfer").rglob("*.py"))


def imports(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Every imported module of a file, with the names taken from it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.append((node.module or "", tuple(alias.name for alias in node.names)))
    return found


def room(module: str) -> str:
    """The room that a module of edgeinfer is in."""
    return ".".join(module.split(".")[:2])


def room_of(path: Path) -> str:
    return room(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_room_may(path):
    own = room_of(path)
    for module, names in imports(path):
        top = module.split(".")[0]
        if top == "edgeinfer":
            wanted = {room(f"{module}.{name}") for name in names} if module == "edgeinfer" else {room(module)}
            wanted = {each if each in TABLE["rooms"] else "edgeinfer" for each in wanted}
            assert wanted <= {own, *TABLE["rooms"][own]}, f"{path} imports {module}"
        elif top not in sys.stdlib_module_names:
            assert top in TABLE["third_party"][own], f"{path} imports {module}"


def test_every_room_stands_in_the_table():
    rooms = {room_of(path) for path in FILES}
    assert rooms == set(TABLE["rooms"]) == set(TABLE["third_party"])


def test_nothing_of_edgeinfer_imports_torch_or_the_converters():
    for path in FILES:
        assert not {"torch", "converters"} & {module.split(".")[0] for module, _ in imports(path)}, path


@pytest.mark.parametrize("package", TABLE["public_only"]["packages"])
def test_others_use_public_names_only(package):
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths
    for path in paths:
        for module, names in imports(path):
            if module == "edgeinfer" or module.startswith("edgeinfer."):
                assert len(module.split(".")) <= 2, f"{path} reaches into {module}"
                public = getattr(import_module(module), "__all__", ())
                assert module.endswith(".errors") or set(names) <= set(public), f"{path}: {module} {names}"


def fresh(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_importing_edgeinfer_loads_no_other_module():
    code = "import sys; before = set(sys.modules); import edgeinfer; print(sorted(set(sys.modules) - before))"
    allowed = {
        "edgeinfer",
        "edgeinfer.version",
        "importlib",
        "importlib._bootstrap",
        "importlib._bootstrap_external",
        "_imp",
        "warnings",
    }
    assert set(ast.literal_eval(fresh(code))) <= allowed


def test_a_start_whose_choice_is_remembered_imports_no_more_than_it_needs():
    """What is not needed then takes half of a start's time."""
    code = (
        "import sys, numpy, edgeinfer as ei\n"
        f"ei.load({str(ROOT / 'sample_apps/models/digits.eib')!r}, engine='litert')\n"
        "print(sorted(sys.modules))"
    )
    fresh(code)
    loaded = set(ast.literal_eval(fresh(code)))
    for module in ("bundle.codec", "bundle.rules", "bundle.archive", "inference.contest", "preprocess.wav"):
        assert f"edgeinfer.{module}" not in loaded
    assert not loaded & {"zipfile", "tempfile", "asyncio", "edgeinfer.engines.onnx_runtime"}
    ours = [name for name in loaded if name.startswith("edgeinfer")]
    assert len(ours) <= 65, "of 100 and more"


def test_a_predictor_for_the_device_alone_imports_nothing_of_the_cloud_or_a_home():
    code = (
        "import sys, numpy, edgeinfer as ei\n"
        f"model = ei.load({str(ROOT / 'sample_apps/models/digits.eib')!r}, engine='litert')\n"
        "before = set(sys.modules)\n"
        "ei.Predictor(model).predict(numpy.zeros((1, 1, 8, 8), numpy.float32))\n"
        "print(sorted(set(sys.modules) - before))"
    )
    fresh(code)
    loaded = set(ast.literal_eval(fresh(code)))
    rooms = {room(name) for name in loaded if name.startswith("edgeinfer")}
    assert "edgeinfer.bundle.codec" not in loaded
    assert rooms <= {"edgeinfer.bundle", "edgeinfer.fallback", "edgeinfer.host", "edgeinfer.net"}
    assert len(loaded) <= 12, "of 124"
    assert not loaded & {
        "asyncio",
        "sqlite3",
        "json",
        "pathlib",
        "concurrent.futures",
        "httpx2",
        "edgeinfer.net.http",
    }


def test_a_device_imports_what_asks_and_verifies_with_its_first_update():
    code = (
        "import sys, tempfile, edgeinfer as ei\n"
        f"bundled = {{'digits': {str(ROOT / 'sample_apps/models/digits.eib')!r}}}\n"
        "settings = ei.DeviceSettings(background=False, load={'engine': 'litert'})\n"
        "device = ei.Device(tempfile.mkdtemp(), 'https://x.example', b'root', bundled, settings=settings)\n"
        "device.model('digits')\n"
        "print(sorted(sys.modules))"
    )
    loaded = set(ast.literal_eval(fresh(code)))
    assert "edgeinfer.device.predictor" in loaded
    assert not loaded & {"tuf", "cryptography", "urllib3", "httpx2", "asyncio", "openfeature", "json_logic"}


def test_importing_edgeinfer_takes_at_most_8_ms():
    """The best of ten fresh interpreters each, with and without, in turns: the machine is shared."""
    clock = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"
    with_it, without = (
        min(float(fresh(clock.format(what))) for _ in range(10)) for what in ("import edgeinfer", "pass")
    )
    assert with_it - without <= 0.008, "seconds"


def test_importing_the_converters_loads_no_torch():
    assert fresh("import sys, converters.cli; print('torch' in sys.modules)") == "False\n"


def test_comparing_and_evaluating_load_no_torch():
    rooms = "converters.compare.compare, converters.compare.command, converters.gold.command, converters.gold.evaluate"
    assert fresh(f"import sys, {rooms}; print('torch' in sys.modules)") == "False\n"
