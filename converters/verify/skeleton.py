"""Two graphs that differ in quantization alone, paired operation by operation.

Names may be shortened and quantizing operations put in between, so that only the structure tells: both
graphs are walked from their results backwards in the order of inputs, which no renaming, reordering of
the file or inserted operation changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher


@dataclass(frozen=True)
class Operation:
    """One operation of a file.

    Attributes:
        kind: What it computes, in the format's own word.
        inputs: Tensors it takes, constants too.
        outputs: Tensors it gives.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """A file's operations.

    Attributes:
        operations: In any order.
        results: Tensors that the file gives.
        quantizing: Kinds that change how a value is stored, not what it is.
        activations: Kinds that may fuse with the operation before.
        moves: Kinds that move values and compute none.
    """

    operations: tuple[Operation, ...]
    results: tuple[str, ...]
    quantizing: frozenset[str]
    activations: frozenset[str]
    moves: frozenset[str]

    def computing(self) -> list[Operation]:
        """Return what computes, depth first from the results, every operation behind what it needs."""
        source = {name: each for each in self.operations for name in each.outputs}
        done: dict[Operation, None] = {}
        # An explicit stack: networks are deeper than Python's.
        stack = [(source[name], False) for name in reversed(self.results) if name in source]
        while stack:
            operation, ready = stack.pop()
            if operation in done:
                continue
            if ready:
                done[operation] = None
                continue
            stack.append((operation, True))
            stack += [(source[name], False) for name in reversed(operation.inputs) if name in source]
        silent = self.quantizing | self.activations | self.moves
        return [each for each in done if each.kind not in silent]

    def settled(self, operation: Operation) -> str:
        """Return the tensor behind an operation and the activations that follow it alone."""
        name = operation.outputs[0]
        users = self._users()
        while len(users.get(name, ())) == 1 and users[name][0].kind in self.activations:
            name = users[name][0].outputs[0]
        return name

    def constants(self, operation: Operation) -> Iterator[str]:
        """Yield the constants that an operation takes, through the operations that unpack them."""
        source = {name: each for each in self.operations for name in each.outputs}
        waiting = list(operation.inputs)
        while waiting:
            name = waiting.pop(0)
            if name not in source:
                yield name
            elif source[name].kind in self.quantizing | self.moves and source[name].inputs[0] not in source:
                waiting += source[name].inputs

    def _users(self) -> Mapping[str, list[Operation]]:
        users: dict[str, list[Operation]] = {}
        for each in self.operations:
            for name in dict.fromkeys(each.inputs):
                users.setdefault(name, []).append(each)
        return users


def paired(one: Graph, other: Graph) -> list[tuple[Operation, Operation]]:
    """Return what computes in both graphs, in the order of execution; what only one has is left out."""
    first, second = one.computing(), other.computing()
    matcher = SequenceMatcher(None, _kinds(first), _kinds(second), autojunk=False)
    return [
        (first[block.a + at], second[block.b + at])
        for block in matcher.get_matching_blocks()
        for at in range(block.size)
    ]


def _kinds(operations: Sequence[Operation]) -> list[str]:
    return [each.kind for each in operations]
