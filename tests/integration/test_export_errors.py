"""What cannot be exported names the module and the line of the user's that asks for it, and a way out."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from torch import nn

from converters.distill.folding import folded
from converters.export.float_models import export_each, export_onnx, export_tflite
from edgeinfer.errors import ConversionError


class Body(nn.Module):
    """A network of the user's whose inner module does something unusual."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.odd = inner
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.odd(self.stem(x)).mean((2, 3)))


class Bessel(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


class Svd(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.linalg.svdvals(x).sum()


class Spectrum(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.fft2(x).real


class Number(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x.max().item()


class Branch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return x * 2
        return x


def place_of(kind: type, code: str) -> str:
    lines, first = inspect.getsourcelines(kind)
    number = next(at for at, line in enumerate(lines, first) if code in line)
    return f"{Path(__file__).name}:{number}: {code}"


@pytest.mark.parametrize(
    ("kind", "export", "operator", "code", "way_out"),
    [
        (
            Bessel,
            export_onnx,
            "prims.bessel_j0",
            "return torch.special.bessel_j0(x)",
            "write it with convolutions",
        ),
        (
            Bessel,
            export_tflite,
            "aten.special_bessel_j0",
            "return torch.special.bessel_j0(x)",
            "move it to the prep",
        ),
        (
            Svd,
            export_onnx,
            "aten._linalg_svd",
            "return x * torch.linalg.svdvals(x).sum()",
            "store its result",
        ),
        (Spectrum, export_tflite, "aten._to_copy", "return torch.fft.fft2(x).real", "cosines and sines"),
        (Number, export_tflite, "aten._local_scalar_dense", "return x * x.max().item()", "leave out .item()"),
    ],
)
def test_an_operator_that_a_format_lacks(tmp_path, kind, export, operator, code, way_out):
    file = "fp32.onnx" if export is export_onnx else "fp32.tflite"
    message = failing(tmp_path, kind, {tmp_path / file: export})
    assert f"step export: {file} cannot express {operator}" in message
    assert f"module odd ({kind.__qualname__}), {place_of(kind, code)}" in message
    assert way_out in message
    assert "export.log" in message


@pytest.mark.parametrize("export", [export_onnx, export_tflite])
def test_code_that_depends_on_values(tmp_path, export):
    message = failing(tmp_path, Branch, {tmp_path / "fp32.any": export})
    assert "fp32.any cannot be made from Python code that depends on values" in message
    assert f"module odd (Branch), {place_of(Branch, 'if x.sum() > 0:')}" in message
    assert "torch.where instead of if" in message


def failing(folder: Path, kind: type, files: dict) -> str:
    torch.set_num_threads(1)
    written = Body(kind()).eval()
    with pytest.raises(ConversionError) as caught:
        list(export_each(folded(written), written, (3, 8, 8), files, folder / "export.log"))
    assert not any(path.exists() for path in files), "no half artifact"
    assert "\n" not in str(caught.value)
    return str(caught.value)
