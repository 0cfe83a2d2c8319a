"""From what a recipe names to a network."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from converters.distill.convnet import ConvNet
from converters.distill.mlp import Mlp
from converters.distill.resnet import ResNet
from converters.distill.separable import SeparableNet
from converters.recipe import (
    ConvNetwork,
    FactoryNetwork,
    MlpNetwork,
    Network,
    Recipe,
    ResNetwork,
    SeparableNetwork,
)
from edgeinfer.errors import RecipeError


def build(network: Network, classes: int, recipe: Recipe) -> nn.Module:
    """Return a network with fresh weights for a recipe's input.

    Raises:
        RecipeError: A user's factory cannot be found, fails, or returns something else.
    """
    first = recipe.input.shape[0]
    match network:
        case ConvNetwork():
            return ConvNet(first, classes, network)
        case ResNetwork():
            return ResNet(first, classes, network)
        case SeparableNetwork():
            return SeparableNet(first, classes, network)
        case MlpNetwork():
            return Mlp(first, classes, network)
        case FactoryNetwork():
            return made_by(network.factory, dict(network.arguments), Path(recipe.folder))


def made_by(factory: str, arguments: dict[str, Any], folder: Path) -> nn.Module:
    """Return what a user's `package.module:function` makes.

    Args:
        factory: Where the function is; modules in `folder` are found first.
        arguments: Its keyword arguments.
        folder: The recipe's folder.

    Raises:
        RecipeError: It cannot be imported or called, or returns no `nn.Module`.
    """
    module_name, _, function_name = factory.partition(":")
    try:
        with _first_on_path(folder):
            function: Callable[..., object] = getattr(import_module(module_name), function_name)
            made = function(**arguments)
    except Exception as error:  # a user's module may raise anything
        raise RecipeError(
            f"factory {factory} failed ({type(error).__name__}: {error})",
            expected="package.module:function that returns an nn.Module",
            next_step="put the module beside the recipe, or install its package",
        ) from error
    if not isinstance(made, nn.Module):
        raise RecipeError(f"factory {factory}", found=type(made).__name__, expected="an nn.Module")
    return made


def parameters(module: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in module.parameters())


@contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path.pop(0)
