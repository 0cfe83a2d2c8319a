"""Rules between the fields of the input and augmentation sections."""

from __future__ import annotations

from converters.recipe.augment import Augment
from converters.recipe.input import AudioInput, ImageInput, Input, TableInput
from converters.recipe.require import require
from edgeinfer.bundle import MAX_OVERSAMPLING, MAX_PIXELS, encode, tensor_shape
from edgeinfer.errors import ManifestError

_LONGEST_SIDE = 1024


def check_input(input_: Input) -> None:
    """Hold the input section against its rules.

    Raises:
        RecipeError: The first rule that is broken.
    """
    if isinstance(input_, ImageInput):
        _check_image(input_)
        return
    require(input_.fitted is None, "input.fitted", "a value", "nothing: the data step sets it")
    if isinstance(input_, AudioInput):
        _check_audio(input_)
    else:
        _check_table(input_)


def check_augment(augment: Augment, input_: Input) -> None:
    """Hold the augmentation section against its rules.

    Raises:
        RecipeError: The first rule that is broken.
    """
    for name in augment.strangers(input_.kind):
        require(False, f"augment.{name}", getattr(augment, name), f"nothing for input kind {input_.kind!r}")
    limits: dict[str, float] = {"rotate": 180, "gain_db": 60, "speed": 0.5}
    if isinstance(input_, ImageInput):
        shorter = min(input_.height, input_.width)
        limits |= {"crop": shorter - 1, "cutout": shorter}
    for name, value in encode(augment).items():
        least, most = (-20, 100) if name == "snr_db" else (0, limits.get(name, 1))
        require(least <= value <= most, f"augment.{name}", value, f"{least} to {most:g}")


def _check_image(input_: ImageInput) -> None:
    for name in ("mean", "std"):
        count = len(getattr(input_, name))
        require(count == input_.channels, f"input.{name}", f"{count} values", input_.channels)
    _check_normal(input_.mean, input_.std)
    require(0 < input_.max_pixels <= MAX_PIXELS, "input.max_pixels", input_.max_pixels, f"1 to {MAX_PIXELS}")
    wanted = input_.jpeg_oversampling
    good = wanted is None or 1 <= wanted <= MAX_OVERSAMPLING
    require(good, "input.jpeg_oversampling", wanted, f"1 to {MAX_OVERSAMPLING}")
    good = 4 <= min(input_.height, input_.width) <= max(input_.height, input_.width) <= _LONGEST_SIDE
    require(good, "input", f"{input_.height} x {input_.width}", f"sides of 4 to {_LONGEST_SIDE}")


def _check_audio(input_: AudioInput) -> None:
    for name in ("seconds", "window_ms", "hop_ms"):
        value, most = getattr(input_, name), 60 if name == "seconds" else 1000
        require(0 < value <= most, f"input.{name}", value, f"above 0, at most {most}")
    require(input_.fft is None or input_.fft > 1, "input.fft", input_.fft, "2 or more")
    both = (input_.mean is None) == (input_.std is None)
    require(both, "input.mean", "without std, or the reverse", "both, or neither to have them fitted")
    if input_.mean is not None and input_.std is not None:
        require(input_.mean and input_.std, "input.mean", "no values", "one a band, or one")
        _check_normal(input_.mean, input_.std)
    try:
        tensor_shape(input_.decoding() if input_.mean is None else input_.steps())
    except ManifestError as error:
        place = error.what.removeprefix("preprocess.")
        require(False, f"input ({place})", error.found, error.expected)


def _check_table(input_: TableInput) -> None:
    named = (*input_.numeric, *input_.categorical)
    require(len(set(named)) == len(named), "input.numeric", "a column twice", "each column once")
    require(0 < input_.min_count <= 1_000_000, "input.min_count", input_.min_count, "1 to 1000000")


def _check_normal(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    require(0.001 <= min(std) <= max(std) <= 1000, "input.std", list(std), "0.001 to 1000 each")
    require(max(map(abs, mean)) <= 1000, "input.mean", list(mean), "-1000 to 1000 each")
