"""Which releases of the runtimes take which model files."""

from __future__ import annotations

from pathlib import Path

import onnx

from edgeinfer.errors import ConversionError

# First ONNX Runtime release that was seen to load a model of each operator set and file version,
# tried on 1.17.3, 1.18.1, 1.19.2, 1.20.1, 1.21.1, 1.22.1, 1.23.2 and 1.24.4. By its documentation every
# release takes all operator sets from 7 on.
OPSET_SINCE = {
    **dict.fromkeys(range(7, 21), "1.17"),
    21: "1.18",
    22: "1.21",
    23: "1.23",
    **dict.fromkeys((24, 25), "1.24"),
}
IR_SINCE = {**dict.fromkeys((8, 9), "1.17"), 10: "1.18", 11: "1.23", **dict.fromkeys((12, 13), "1.24")}
# What float and int8 files were run on.
TFLITE_SINCE = {"ai-edge-litert": "2.1", "tflite-runtime": "2.14", "tensorflow": "2.14"}
# Of an ONNX file of U8S8, as Linux names them: with either, ONNX Runtime multiplies uint8 by int8 without detours.
U8S8_ISA = ("avx512_vnni", "avx_vnni")


def release_order(release: str) -> tuple[int, ...]:
    """Return a release as numbers that can be compared."""
    return tuple(int(part) for part in release.split("."))


def opset_of(model: onnx.ModelProto) -> int:
    """Return a model's version of the standard operator set, 0 where it imports none."""
    versions = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
    return max(versions, default=0)


def onnx_needs(path: Path) -> tuple[int, dict[str, str]]:
    """Return an ONNX file's operator set, and the least release per runtime that takes it.

    Raises:
        ConversionError: No runtime is known to take it.
    """
    model = onnx.load(path, load_external_data=False)
    opset = opset_of(model)
    if opset not in OPSET_SINCE or model.ir_version not in IR_SINCE:
        raise ConversionError(
            f"{path.name} is not for a runtime that is known here",
            found=f"opset {opset}, IR {model.ir_version}",
            expected=f"opset {min(OPSET_SINCE)}..{max(OPSET_SINCE)}, IR {min(IR_SINCE)}..{max(IR_SINCE)}",
            next_step="install the exporter's tested version, see pyproject.toml",
        )
    releases = (OPSET_SINCE[opset], IR_SINCE[model.ir_version])
    return opset, {"onnxruntime": max(releases, key=release_order)}
