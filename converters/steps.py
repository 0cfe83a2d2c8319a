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

import difflib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from converters.places import alone_in
from converters.progress import Reporter
from converters.recipe import Recipe
from converters.records import Depends, Done, digest_of, read_done, whole_artifacts, write_done
from edgeinfer.bundle import canonical_json
from edgeinfer.errors import ConversionError, EdgeInferError
from edgeinfer.host import atomic_file


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
        units: How much work a recipe asks of it, by any measure that time is proportional to: what
            earlier runs took is scaled by it to tell what the next one will take.
    """

    name: str
    needs: tuple[str, ...]
    gives: tuple[str, ...]
    settings: Callable[[Recipe], object]
    run: Callable[[Context], None]
    refine: Callable[[Recipe, Mapping[str, Path]], Recipe] | None = None
    units: Callable[[Recipe], float] = lambda _: 1.0


def run_steps(
    steps: Sequence[Step],
    recipe: Recipe,
    work: Path,
    report: Reporter,
    tools: Mapping[str, str],
    from_step: str | None = None,
) -> dict[str, Path]:
    """Run what is not up to date and return every artifact's file or folder by name.

    Args:
        steps: In an order in which each needs only what earlier ones give.
        recipe: The recipe.
        work: Folder that keeps artifacts between runs; made if missing.
        report: Where steps say what they do.
        tools: Version per package; another version makes a step run again.
        from_step: Name of a step: what it and those after it made is forgotten first.

    Raises:
        ConversionError: A step failed, the work folder cannot be written, or there is no `from_step`.
    """
    again = steps_from(steps, from_step)
    have: dict[str, Path] = {}
    digests: dict[str, str] = {}
    with alone_in(work):
        for step in again:
            _remove(work / step.name)
            _remove(running(work / step.name))
        for step in steps:
            with _named(step):
                depends = depends_on(step, recipe, digests, tools)
                known = _up_to_date(work / step.name, depends, step)
                if known is None:
                    needs = {name: have[name] for name in step.needs}
                    known = _made(step, recipe, needs, work / step.name, depends, report)
                else:
                    report.note(f"{step.name}: up to date")
            digests.update(known)
            have.update({name: work / step.name / name for name in step.gives})
            if step.refine is not None:
                recipe = step.refine(recipe, have)
    return have


def steps_from(steps: Sequence[Step], name: str | None) -> Sequence[Step]:
    """Return the step of a name and all after it; none for None.

    Raises:
        ConversionError: There is no such step.
    """
    names = [step.name for step in steps]
    if name is not None and name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise ConversionError(
            "there is no such step",
            found=repr(name),
            expected=f"one of {', '.join(names)}",
            next_step=f"did you mean {near[0]!r}?" if near else "",
        )
    return () if name is None else steps[names.index(name) :]


def depends_on(step: Step, recipe: Recipe, digests: Mapping[str, str], tools: Mapping[str, str]) -> Depends:
    """Return all on which a step's result depends, given the digests of what earlier steps gave."""
    settings = canonical_json(step.settings(recipe)).decode()
    return Depends(step.name, settings, {name: digests[name] for name in step.needs}, dict(tools))


def _made(
    step: Step, recipe: Recipe, needs: Mapping[str, Path], folder: Path, depends: Depends, report: Reporter
) -> Mapping[str, str]:
    """Run a step and return the digests of what it gave."""
    scratch, fresh = _scratch(folder, depends.key())
    start = time.monotonic()
    step.run(Context(recipe, needs, scratch, report, folder.resolve().parent.parent / "cache"))
    seconds = time.monotonic() - start if fresh else None
    given = {name: digest_of(scratch / name) for name in step.gives}
    artifacts = {name: digest for name, digest in given.items() if digest is not None}
    if missing := [name for name in given if name not in artifacts]:
        raise FileNotFoundError(f"it did not write {', '.join(missing)}")
    write_done(scratch, Done(depends.key(), artifacts, depends, seconds, step.units(recipe)))
    return _settle(step, folder)


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


def _up_to_date(folder: Path, depends: Depends, step: Step) -> Mapping[str, str] | None:
    known = whole_artifacts(folder, depends, step.gives)
    if known is None and whole_artifacts(running(folder), depends, step.gives) is not None:
        # Killed between the record and the rename: only the rename is missing.
        known = _settle(step, folder)
    return known


def _scratch(folder: Path, key: str) -> tuple[Path, bool]:
    """Return the step's scratch, and whether nothing of an interrupted run is in it."""
    scratch = running(folder)
    marker = scratch / "key"
    if marker.is_file() and marker.read_bytes() == key.encode():
        return scratch, False
    _remove(scratch)
    scratch.mkdir(parents=True)
    with atomic_file(marker) as file:
        file.write(key.encode())
    return scratch, True


def _settle(step: Step, folder: Path) -> Mapping[str, str]:
    """Drop what only the run needed and put the folder in its place; return the artifacts' digests."""
    scratch = running(folder)
    for path in scratch.iterdir():
        if path.name not in (*step.gives, "done.json") and path.suffix != ".log":
            _remove(path)
    _remove(folder)
    scratch.rename(folder)
    done = read_done(folder)
    assert done is not None, "just read or written"
    return done.artifacts


def running(folder: Path) -> Path:
    """Return the scratch folder of a step's folder."""
    return folder.with_name(folder.name + ".running")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
