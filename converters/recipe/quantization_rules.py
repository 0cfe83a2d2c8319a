"""Rules of the quantization section."""

from __future__ import annotations

from converters.recipe.models import LARGEST_BATCH, Student
from converters.recipe.networks import FactoryNetwork, MlpNetwork
from converters.recipe.quantization import Qat, Quantize
from converters.recipe.require import require


def check_quantize(quantize: Quantize, student: Student) -> None:
    """Hold the quantization section against its rules.

    Raises:
        RecipeError: The first rule that is broken.
    """
    _check_static(quantize)
    _check_variants(quantize, student)
    if quantize.qat is not None:
        require("int8" in quantize.variants, "quantize.qat", "no int8", "int8 among quantize.variants")
        where, found = "quantize.calibration", quantize.calibration
        require(found == "min-max", where, found, "min-max beside [quantize.qat], which learns the ranges")
        require(quantize.per_channel, "quantize.per_channel", False, "true: [quantize.qat] trains that grid")
        _check_qat(quantize.qat)


def _check_static(quantize: Quantize) -> None:
    for name in ("calibration_items", "sensitivity_items"):
        items = getattr(quantize, name)
        require(items > 0, f"quantize.{name}", items, "1 or more")
    require(90 <= quantize.percentile <= 100, "quantize.percentile", quantize.percentile, "90 to 100")
    types, layers = quantize.onnx_types, quantize.float_layers
    require(types and len(set(types)) == len(types), "quantize.onnx_types", list(types), "each once")
    require(0 < quantize.ship <= len(types), "quantize.ship", quantize.ship, f"1 to {len(types)}, as types")
    require(
        layers == "auto" or not isinstance(layers, str), "quantize.float_layers", layers, "'auto' or a list"
    )


def _check_variants(quantize: Quantize, student: Student) -> None:
    where, variants = "quantize.variants", quantize.variants
    require(len(set(variants)) == len(variants), where, list(variants), "each once")
    networks = student.budget.families if student.budget else (student.network,)
    # What a user's own network is made of is seen when it is exported.
    linear = all(isinstance(each, MlpNetwork | FactoryNetwork) for each in networks)
    unsuitable = [each for each in variants if each in ("dynamic", "weight-only")]
    require(
        linear or not unsuitable,
        where,
        f"{' and '.join(unsuitable)} for a network with convolutions",
        "int8 (static) or fp16: convolutions whose scales are found at run time are slower than float ones, "
        "and missing from many runtimes",
    )


def _check_qat(qat: Qat) -> None:
    require(0 < qat.epochs <= 100_000, "quantize.qat.epochs", qat.epochs, "1 to 100000")
    size = qat.batch_size
    require(1 < size <= LARGEST_BATCH, "quantize.qat.batch_size", size, f"2 to {LARGEST_BATCH}")
    rate = qat.learning_rate
    require(0 < rate <= 1, "quantize.qat.learning_rate", rate, "above 0, at most 1")
    require(0 < qat.observe < 1, "quantize.qat.observe", qat.observe, "a share between 0 and 1")
