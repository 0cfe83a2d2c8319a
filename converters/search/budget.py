"""The budget step: an architecture from limits, chosen by measurement.

Sizes and times do not depend on what a network has learned: untrained networks are exported, quantized
and timed until the widest of each family that fits is known. Only those are trained, for a few epochs.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from converters.data.dataset import load_record
from converters.distill.answers import VIEWS
from converters.distill.architecture import ARCHITECTURE, Architecture, Candidate, Cost
from converters.distill.catalogue import build
from converters.distill.compute import in_key
from converters.distill.folding import folded
from converters.distill.student import distilled
from converters.distill.teacher import ARCHIVE
from converters.json_file import load_json, save_json
from converters.progress import Bar
from converters.recipe import (
    Budget,
    ConvNetwork,
    FactoryNetwork,
    MlpNetwork,
    Network,
    Recipe,
    ResNetwork,
    Student,
    Training,
)
from converters.search.cost import measure_cost
from converters.steps import Context, Step
from edgeinfer.bundle import canonical_json, encode
from edgeinfer.errors import ConversionError

# Widths are tried in steps of an eighth of an octave, from an eighth of the family's to eight times.
_STEPS_PER_OCTAVE, _OCTAVES = 8, 3
# Kernels work on groups of channels; finer steps cost time and win nothing.
_MULTIPLE = 4


def scaled_network(network: Network, factor: float) -> Network:
    """Return a network with all widths multiplied, rounded to multiples of 4, at least 4."""

    def times(width: float) -> int:
        return max(_MULTIPLE, round(width * factor / _MULTIPLE) * _MULTIPLE)

    match network:
        case ConvNetwork():
            return replace(network, width=times(network.width))
        case MlpNetwork():
            return replace(network, hidden=tuple(times(width) for width in network.hidden))
        case FactoryNetwork():
            raise AssertionError("check_recipe")
        case ResNetwork():
            return replace(network, stem=times(network.stem), widths=tuple(map(times, network.widths)))
    return replace(
        network,
        stem=times(network.stem * network.width),
        widths=tuple(times(width * network.width) for width in network.widths),
        width=1.0,
    )


def ladder(family: Network) -> list[Network]:
    """Return the family's networks from narrow to wide, each once."""
    steps = _STEPS_PER_OCTAVE * _OCTAVES
    widths = [scaled_network(family, 2 ** (at / _STEPS_PER_OCTAVE)) for at in range(-steps, steps + 1)]
    return list(dict.fromkeys(widths))


def _scaled_limits(budget: Budget, share: float) -> Budget:
    most, slow = budget.max_bytes, budget.max_latency_ms
    return replace(
        budget,
        max_bytes=None if most is None else round(most * share),
        max_latency_ms=None if slow is None else slow * share,
    )


def widest_fitting(
    networks: Sequence[Network], cost: Callable[[Network], Cost], budget: Budget
) -> list[Candidate]:
    """Return what was measured in the search for the last network that fits; it comes first.

    Sizes grow along the ladder, times nearly so: a bisection, of which each step is measured.

    Args:
        networks: From narrow to wide.
        cost: Measures one.
        budget: Limits.
    """
    tried: list[Candidate] = []
    low, high = 0, len(networks) - 1
    while low <= high:
        middle = (low + high + 1) // 2
        tried.append(Candidate(networks[middle], cost(networks[middle])))
        if excess(tried[-1].cost, budget) <= 1:
            low = middle + 1
        else:
            high = middle - 1
    fitting = [each for each in tried if excess(each.cost, budget) <= 1]
    best = max(fitting, key=lambda each: each.cost.bytes, default=None)
    return sorted(tried, key=lambda each: (each is not best, excess(each.cost, budget)))


def excess(cost: Cost, budget: Budget) -> float:
    """Return the largest ratio of a cost to its limit; at most 1 means that it fits."""
    ratios = []
    if budget.max_bytes is not None:
        ratios.append(cost.bytes / budget.max_bytes)
    if budget.max_latency_ms is not None:
        ratios.append(cost.latency_us / 1000 / budget.max_latency_ms)
    return max(ratios)


def _settings(recipe: Recipe) -> object:
    student = recipe.student
    if student.budget is None:
        return {"network": encode(student.network)}
    return {
        "input": encode(recipe.input.of_items()),
        "student": encode(replace(student, training=_trial(student))),
        "precision": in_key(student.training.precision),
        "augment": encode(recipe.augment),
        "measured": [recipe.quantize.per_channel, recipe.drift.projections > 0],
        "seed": recipe.seed,
    }


def _trial(student: Student) -> Training:
    """Return how candidates are trained: as the student, but shorter."""
    assert student.budget is not None, "only called with one"
    return replace(student.training, epochs=student.budget.trial_epochs)


def _run(context: Context) -> None:
    student = context.recipe.student
    if student.budget is None:
        assert student.network is not None, "check_recipe"
        found = Architecture(student.network)
    else:
        families = len(student.budget.shares) * student.budget.families
        most = sum(len(ladder(family)).bit_length() for family in families)
        with context.report.bar("measuring students", most) as bar:
            found = choose(
                student.budget, functools.partial(_cost, context, bar), functools.partial(_tried, context)
            )
    save_json(found, context.give(ARCHITECTURE))


def _units(recipe: Recipe) -> float:
    budget = recipe.student.budget
    return 1.0 if budget is None else float(budget.trials * budget.trial_epochs)


def choose(
    budget: Budget, cost: Callable[[Network], Cost], trial: Callable[[Network], float]
) -> Architecture:
    """Return the network that did best in its trial among the widest that fit, one of each family.

    Args:
        budget: Limits and families.
        cost: Measures an untrained network.
        trial: Trains one for the trial epochs and returns its accuracy on validation.

    Raises:
        ConversionError: None fits; the nearest is named with what it lacks.
    """
    measured: list[Candidate] = []
    fitting: list[Candidate] = []
    known = functools.cache(cost)
    for share, family in itertools.product(budget.shares, budget.families):
        limits = _scaled_limits(budget, share)
        tried = widest_fitting(ladder(family), known, limits)
        measured += tried
        fitting += [each for each in tried[:1] if excess(each.cost, limits) <= 1]
    fitting = list(dict.fromkeys(fitting))
    if not fitting:
        raise _none_fits(list(dict.fromkeys(measured)), budget)
    fitting.sort(key=lambda each: -each.cost.parameters)
    trained = [replace(each, validation=trial(each.network)) for each in fitting[: budget.trials]]
    trained.sort(key=lambda each: -(each.validation or 0))
    networks = {each.network for each in trained}
    others = [each for each in dict.fromkeys(measured) if each.network not in networks]
    return Architecture(trained[0].network, (*trained, *others))


def _cost(context: Context, bar: Bar, network: Network) -> Cost:
    """Return a network's cost, from an earlier, killed run if it was measured there."""
    path = context.scratch / f"cost-{_digest(network)}.json"
    try:
        known = load_json(Cost, path)
        bar.advance(note=f"{known.bytes:,} bytes")
        return known
    except (OSError, ValueError):
        pass
    torch.manual_seed(context.recipe.seed)
    classes = len(load_record(context.needs).classes)
    cost = measure_cost(folded(build(network, classes, context.recipe)), context)
    save_json(cost, path)
    bar.advance(note=f"{cost.bytes:,} bytes")
    return cost


def _tried(context: Context, network: Network) -> float:
    """Train a candidate for the trial epochs; an interrupted trial goes on."""
    student = context.recipe.student
    path = context.scratch / f"trial-{_digest(network)}"
    path.mkdir(exist_ok=True)
    _, history = distilled(replace(context, scratch=path), network, _trial(student), "trying a student")
    return history[-1].validation


def _none_fits(measured: Sequence[Candidate], budget: Budget) -> ConversionError:
    best = min(measured, key=lambda each: excess(each.cost, budget))
    limits = []
    if budget.max_bytes is not None:
        limits.append(f"{budget.max_bytes:,} bytes")
    if budget.max_latency_ms is not None:
        limits.append(f"{budget.max_latency_ms:g} ms")
    found = f"{best.cost.bytes:,} bytes and {best.cost.latency_us / 1000:.3f} ms with {encode(best.network)}"
    over = math.ceil((excess(best.cost, budget) - 1) * 100)
    return ConversionError(
        f"no student of {len(budget.families)} families meets the budget; the nearest is {over}% over it",
        found=found,
        expected=" and ".join(limits),
        next_step="raise student.budget, or add a shallower family",
    )


def _digest(network: Network) -> str:
    return hashlib.sha256(canonical_json(encode(network))).hexdigest()[:16]


BUDGET = Step(
    "budget",
    ("items.npy", "splits.npz", "data.json", ARCHIVE, VIEWS),
    (ARCHITECTURE,),
    _settings,
    _run,
    units=_units,
)
