"""Where and in what arithmetic networks run."""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager

import torch

from edgeinfer.host import usable_cpus


def device() -> torch.device:
    """Return the GPU if there is one, else the processor with all of its usable cores."""
    torch.set_num_threads(usable_cpus())
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolved(precision: str) -> str:
    """Return `fp32` or `bf16` for a recipe's precision, by what this machine computes in."""
    if precision != "auto":
        return precision
    fast = torch.cuda.is_bf16_supported() if torch.cuda.is_available() else _bf16_processor()
    return "bf16" if fast else "fp32"


def arithmetic(precision: str) -> AbstractContextManager[None]:
    """Return a context in which layers that profit compute in the precision."""
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.autocast(kind, torch.bfloat16, enabled=resolved(precision) == "bf16")


def laid_out(inputs: torch.Tensor) -> torch.Tensor:
    """Return pictures with channels last in memory, which convolutions on processors prefer."""
    return inputs.contiguous(memory_format=torch.channels_last) if inputs.ndim == 4 else inputs


def in_key(precision: str) -> str:
    """Return what a step's result depends on: the arithmetic, and a GPU where there is one."""
    return resolved(precision) + (" cuda" if torch.cuda.is_available() else "")


def _bf16_processor() -> bool:
    """Whether the processor multiplies bf16: oneDNN takes it wherever AVX-512 is, and emulates it there."""
    supported = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if platform.machine().lower() in ("x86_64", "amd64"):
        return supported and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return supported
