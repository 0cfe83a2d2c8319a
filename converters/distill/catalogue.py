"""From what a recipe names to a network."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module, invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
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
        RecipeError: A user's factory cannot be found, fails, or returns something else than a network
            that gives logits for the recipe's input and learns.
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
            module = made_by(network.factory, dict(network.arguments), Path(recipe.folder))
            _check_network(module, network.factory, recipe.input.shape, classes)
            return module


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
            _forget(module_name.partition(".")[0], folder)
            function: Callable[..., object] = getattr(import_module(module_name), function_name)
            made = function(**arguments)
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise RecipeError(
            f"factory {factory} failed ({type(error).__name__}: {error})",
            expected="package.module:function that returns an nn.Module",
            next_step="put the module beside the recipe, or install its package",
        ) from error
    if not isinstance(made, nn.Module):
        raise RecipeError(f"factory {factory}", found=type(made).__name__, expected="an nn.Module")
    return made


def source_of(factory: str, folder: Path) -> str:
    """Return the SHA-256 (hex) of the file that a user's factory is in; empty where it is not found.

    Args:
        factory: `package.module:function`.
        folder: The recipe's folder.
    """
    try:
        with _first_on_path(folder):
            _forget(factory.partition(".")[0].partition(":")[0], folder)
            found = find_spec(factory.partition(":")[0])
        assert found is not None, "caught below"
        return hashlib.sha256(Path(found.origin or "").read_bytes()).hexdigest()
    except (Exception, SystemExit):  # finding it imports the packages that it is in
        return ""


def parameters(module: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in module.parameters())


def _check_network(module: nn.Module, factory: str, shape: tuple[int, ...], classes: int) -> None:
    """Hold a user's network against the recipe's input and the data's classes."""
    expected = f"logits (2, {classes}) for a batch {(2, *shape)}"
    training = module.training
    module.eval()
    try:
        with torch.enable_grad(), torch.random.fork_rng():
            given = module(torch.zeros(2, *shape))
    except Exception as error:  # whatever the user's network raises
        raise RecipeError(
            f"the network of factory {factory} does not take the recipe's input ({error})",
            expected=expected,
            next_step="change its first layer, or [input]",
        ) from error
    module.train(training)
    found = tuple(given.shape) if isinstance(given, torch.Tensor) else type(given).__name__
    if found != (2, classes):
        raise RecipeError(
            f"the network of factory {factory}",
            found=found,
            expected=expected,
            next_step="give it one output a class",
        )
    if not given.requires_grad:
        raise RecipeError(
            f"the network of factory {factory} cannot be trained",
            found="logits that depend on no parameter with a gradient",
            next_step="register its weights as nn.Parameter, with requires_grad, and do not detach them",
        )


def _forget(package: str, folder: Path) -> None:
    """Drop what was imported under a name that the folder has, too: another recipe's, or before it was edited."""
    if not any((folder / name).exists() for name in (f"{package}.py", package)):
        return
    for name in [each for each in sys.modules if each.partition(".")[0] == package]:
        del sys.modules[name]
    invalidate_caches()


@contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path.pop(0)
