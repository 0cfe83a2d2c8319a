"""Steps that declare what they need and give, run in order, and are skipped when nothing changed.

Invariants of a work folder, kept across a kill at any instant:
* `<step>/` holds the step's artifacts and `done.json`, and appears by one rename when they are whole;
* a step is skipped only when `done.json` names the same key: its name, its part of the recipe, the
  digests of what it needs and the versions of its tools; and its artifacts still have their digests;
* `<step>.running/` is the scratch of a step that has not ended: checkpoints in it are used again
  only under the same key.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.progress import Reporter
from converters.recipe import Recipe
from edgeinfer.bundle import canonical_json
from edgeinfer.errors import ConversionError
from edgeinfer.host import atomic_file


@dataclass(frozen=True)
class Context:
    """What a running step has.

    Attributes:
        recipe: The recipe.
        needs: Files by artifact name, made by earlier steps.
        scratch: Folder for its own files; what it gives is written there under the artifact's name.
        report: Where to say what it does.
    """

    recipe: Recipe
    needs: Mapping[str, Path]
    scratch: Path
    report: Reporter

    def give(self, artifact: str) -> Path:
        """Return where to write an artifact."""
        return self.scratch / artifact


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: What it is called, and its folder.
        needs: Artifacts of earlier steps.
        gives: Artifacts it makes.
        settings: The part of the recipe, and whatever else, on which its result depends.
        run: Does it.
    """

    name: str
    needs: tuple[str, ...]
    gives: tuple[str, ...]
    settings: Callable[[Recipe], object]
    run: Callable[[Context], None]


def run_steps(
    steps: Sequence[Step], recipe: Recipe, work: Path, report: Reporter, tools: Mapping[str, str]
) -> dict[str, Path]:
    """Run what is not up to date and return every artifact's file by name.

    Args:
        steps: In an order in which each needs only what earlier ones give.
        recipe: The recipe.
        work: Folder that keeps artifacts between runs; made if missing.
        report: Where steps say what they do.
        tools: Version per package; another version makes a step run again.

    Raises:
        ConversionError: A step failed, or the work folder cannot be written.
    """
    have: dict[str, Path] = {}
    digests: dict[str, str] = {}
    for step in steps:
        key = _key(step, recipe, digests, tools)
        folder = work / step.name
        known = _up_to_date(folder, key, step)
        if known is None:
            _run(
                step,
                Context(recipe, {name: have[name] for name in step.needs}, _scratch(folder, key), report),
            )
            known = _finish(step, folder, key)
        else:
            report.note(f"{step.name}: up to date")
        digests.update(known)
        have.update({name: folder / name for name in step.gives})
    return have


def _run(step: Step, context: Context) -> None:
    try:
        step.run(context)
    except OSError as error:
        raise ConversionError(
            f"step {step.name} failed ({error})",
            next_step="mend it and run the same command again; it resumes",
        ) from error


def _key(step: Step, recipe: Recipe, digests: Mapping[str, str], tools: Mapping[str, str]) -> str:
    depends = {
        "step": step.name,
        "settings": step.settings(recipe),
        "needs": {name: digests[name] for name in step.needs},
        "tools": dict(tools),
    }
    return hashlib.sha256(canonical_json(depends)).hexdigest()


def _up_to_date(folder: Path, key: str, step: Step) -> dict[str, str] | None:
    try:
        done = json.loads((folder / "done.json").read_text())
        artifacts = {name: _digest(folder / name) for name in step.gives}
    except (OSError, ValueError):
        return None
    return artifacts if done == {"key": key, "artifacts": artifacts} else None


def _scratch(folder: Path, key: str) -> Path:
    scratch = folder.with_name(folder.name + ".running")
    marker = scratch / "key"
    try:
        if not marker.is_file() or marker.read_text() != key:
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
            with atomic_file(marker) as file:
                file.write(key.encode())
    except OSError as error:
        raise ConversionError(
            f"cannot use the work folder {folder.parent} ({error.strerror or error})",
            next_step="choose another: --work",
        ) from error
    return scratch


def _finish(step: Step, folder: Path, key: str) -> dict[str, str]:
    scratch = folder.with_name(folder.name + ".running")
    artifacts = {name: _digest(scratch / name) for name in step.gives}
    for path in scratch.iterdir():
        if path.name not in step.gives and path.suffix != ".log":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with atomic_file(scratch / "done.json") as file:
        file.write(json.dumps({"key": key, "artifacts": artifacts}).encode())
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)
    return artifacts


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
