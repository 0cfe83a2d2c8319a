"""What a conversion would do: which steps, why, and for how long. Reads the work folder and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.recipe import Recipe
from converters.records import Depends, changes, harmed, read_done, whole_artifacts
from converters.steps import Step, depends_on, running, steps_from


@dataclass(frozen=True)
class Planned:
    """One step of a plan.

    Attributes:
        name: The step.
        reasons: Why it will run; empty where it is up to date.
        resumes: An interrupted run left something that it may go on from.
        seconds: About how long it takes, by its last whole run here; None where there was none.
        bytes: What its last run left on disk; None where there was none.
    """

    name: str
    reasons: tuple[str, ...]
    resumes: bool = False
    seconds: float | None = None
    bytes: int | None = None

    @property
    def runs(self) -> bool:
        """Whether it will run."""
        return bool(self.reasons)


def plan_steps(
    steps: Sequence[Step], recipe: Recipe, work: Path, tools: Mapping[str, str], from_step: str | None = None
) -> tuple[Planned, ...]:
    """Return what `run_steps` with the same arguments would do.

    A step that needs what another one makes anew is planned to run; it is skipped after all if that
    comes out the same.

    Raises:
        ConversionError: There is no `from_step`, or the data or the teacher cannot be found.
    """
    asked = {step.name for step in steps_from(steps, from_step)}
    order = [step.name for step in steps]
    digests: dict[str, str] = {}
    makers: dict[str, str] = {}
    have: dict[str, Path] = {}
    planned = []
    for step in steps:
        folder, resumes, known = work / step.name, False, None
        if step.name in asked:
            reasons = ["asked for"] if step.name == from_step else [f"follows {from_step}"]
        elif awaited := {makers[name] for name in step.needs if name in makers}:
            reasons = [f"follows {max(awaited, key=order.index)}"]
        else:
            depends = depends_on(step, recipe, digests, tools)
            places = (folder, running(folder))
            wholes = {place: whole_artifacts(place, depends, step.gives) for place in places}
            place, known = next(((at, whole) for at, whole in wholes.items() if whole), (folder, None))
            have.update({name: place / name for name in step.gives})
            reasons = [] if known else _reasons(folder, step, depends)
            resumes = not known and _interrupted(folder, depends)
        if known is None:
            makers.update(dict.fromkeys(step.gives, step.name))
        else:
            digests.update(known)
            if step.refine is not None:
                recipe = step.refine(recipe, have)
        planned.append(Planned(step.name, tuple(reasons), resumes, *_estimated(folder, step, recipe)))
    return tuple(planned)


def _reasons(folder: Path, step: Step, depends: Depends) -> list[str]:
    done = read_done(folder)
    if done is None:
        return ["not done yet"]
    changed = changes(done.depends, depends) if done.depends else []
    damaged = [f"{name} is damaged or missing" for name in harmed(folder, done, step.gives)]
    return changed or damaged or ["what it depends on changed"]


def _interrupted(folder: Path, depends: Depends) -> bool:
    try:
        return (running(folder) / "key").read_text() == depends.key()
    except (OSError, ValueError):
        return False


def _estimated(folder: Path, step: Step, recipe: Recipe) -> tuple[float | None, int | None]:
    """Return seconds and bytes by the last run: its rate times what the recipe asks for now."""
    done = read_done(folder)
    if done is None:
        return None, None
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    known = done.seconds is not None and done.units > 0
    return done.seconds * step.units(recipe) / done.units if known and done.seconds else None, size
