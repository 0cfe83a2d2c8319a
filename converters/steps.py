"""Steps that declare what they need and give, run in order, and are skipped when nothing changed.

Invariants of a work folder, kept across a kill at any instant:
* `<step>/` holds the step's artifacts and `done.json`, and appears by one rename when they are whole;
  an artifact is a file, or a folder where how many files there are is known only when the step ran;
* a step is skipped only when `done.json` names the same key: its name, its part of the recipe, the
  digests of what it needs and the versions of its tools; and its artifacts still have their digests;
* `<step>.running/` is the scratch of a step that has not ended: checkpoints in it are used again
  only under the same key.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from converters.progress import Reporter
from converters.recipe import Recipe
from edgeinfer.bundle import canonical_json
from edgeinfer.errors import ConversionError, EdgeInferError
from edgeinfer.host import FileLock, atomic_file


@dataclass(frozen=True)
class Context:
    """What a running step has.

    Attributes:
        recipe: The recipe.
        needs: Files and folders by artifact name, made by earlier steps.
        scratch: Folder for its own files; what it gives is written there under the artifact's name.
        report: Where to say what it does.
        cache: Folder of results by content that conversions side by side share; may be deleted at any time.
    """

    recipe: Recipe
    needs: Mapping[str, Path]
    scratch: Path
    report: Reporter
    cache: Path

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
        refine: What later steps see as the recipe, given all artifacts so far: values that were left
            to the step, or None.
    """

    name: str
    needs: tuple[str, ...]
    gives: tuple[str, ...]
    settings: Callable[[Recipe], object]
    run: Callable[[Context], None]
    refine: Callable[[Recipe, Mapping[str, Path]], Recipe] | None = None


def run_steps(
    steps: Sequence[Step], recipe: Recipe, work: Path, report: Reporter, tools: Mapping[str, str]
) -> dict[str, Path]:
    """Run what is not up to date and return every artifact's file or folder by name.

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
    with _alone_in(work):
        for step in steps:
            with _named(step):
                key = _key(step, recipe, digests, tools)
                known = _up_to_date(work / step.name, key, step)
                if known is None:
                    scratch = _scratch(work / step.name, key)
                    needs = {name: have[name] for name in step.needs}
                    step.run(Context(recipe, needs, scratch, report, work.resolve().parent / "cache"))
                    known = _finish(step, work / step.name, key)
                else:
                    report.note(f"{step.name}: up to date")
            digests.update(known)
            have.update({name: work / step.name / name for name in step.gives})
            if step.refine is not None:
                recipe = step.refine(recipe, have)
    return have


@contextmanager
def _alone_in(work: Path) -> Iterator[None]:
    """Make the work folder and keep other runs out of it."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = FileLock(work / "lock")
        with lock:
            yield
    except BlockingIOError:
        raise ConversionError(
            f"another conversion works in {work}", next_step="wait for it, or choose another folder: --work"
        ) from None
    except OSError as error:
        raise ConversionError(
            f"cannot use the work folder {work} ({error.strerror or error})",
            next_step="choose another: --work",
        ) from error


@contextmanager
def _named(step: Step) -> Iterator[None]:
    """Turn whatever escapes a step into an error that names it."""
    try:
        yield
    except EdgeInferError:
        raise
    except OSError as error:
        raise ConversionError(
            f"step {step.name} failed ({error})",
            next_step="mend it and run the same command again; it resumes",
        ) from error
    except Exception as error:  # numpy, torch and the exporters raise whatever they like
        raise ConversionError(
            f"step {step.name} failed ({type(error).__name__}: {error})",
            next_step="check the recipe against docs/recipes.md",
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
    scratch = _running(folder)
    known = _record(folder, key, step)
    if known is None and _record(scratch, key, step) is not None:
        # Killed between the record and the rename: only the rename is missing.
        known = _settle(step, folder)
    return known


def _record(folder: Path, key: str, step: Step) -> dict[str, str] | None:
    """Return the digests of a step's artifacts if they are whole and of this key."""
    try:
        done = json.loads((folder / "done.json").read_text())
        artifacts = {name: _digest(folder / name) for name in step.gives}
    except (OSError, ValueError):
        return None
    return artifacts if done == {"key": key, "artifacts": artifacts} else None


def _scratch(folder: Path, key: str) -> Path:
    scratch = _running(folder)
    marker = scratch / "key"
    if not marker.is_file() or marker.read_bytes() != key.encode():
        _remove(scratch)
        scratch.mkdir(parents=True)
        with atomic_file(marker) as file:
            file.write(key.encode())
    return scratch


def _finish(step: Step, folder: Path, key: str) -> dict[str, str]:
    scratch = _running(folder)
    artifacts = {name: _digest(scratch / name) for name in step.gives}
    with atomic_file(scratch / "done.json") as file:
        file.write(json.dumps({"key": key, "artifacts": artifacts}).encode())
    return _settle(step, folder)


def _settle(step: Step, folder: Path) -> dict[str, str]:
    """Drop what only the run needed and put the folder in its place; return the artifacts' digests."""
    scratch = _running(folder)
    for path in scratch.iterdir():
        if path.name not in (*step.gives, "done.json") and path.suffix != ".log":
            _remove(path)
    _remove(folder)
    scratch.rename(folder)
    artifacts: dict[str, str] = json.loads((folder / "done.json").read_text())["artifacts"]
    return artifacts


def _running(folder: Path) -> Path:
    return folder.with_name(folder.name + ".running")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    """Return the SHA-256 (hex) of a file, or of the list of a folder's files with theirs."""
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.is_file())
        listed = {each.relative_to(path).as_posix(): _digest(each) for each in files}
        return hashlib.sha256(canonical_json(listed)).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
