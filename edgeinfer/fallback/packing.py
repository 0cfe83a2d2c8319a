"""Tensors and what is to be known of them as bytes: what the answer cache and the queue keep."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from edgeinfer.cloud.tensors import Tensor, from_bytes, to_bytes
from edgeinfer.errors import EdgeInferError, StoreError

_DIGEST = hashlib.sha256().digest_size


def pack(tensors: Sequence[Tensor], about: Mapping[str, Any]) -> bytes:
    """Return bytes that `unpack` turns back."""
    parts = [to_bytes(each) for each in tensors]
    listed = [
        [each.name, each.datatype, list(each.value.shape), len(part)]
        for each, part in zip(tensors, parts, strict=True)
    ]
    head = json.dumps({"about": about, "tensors": listed}).encode()
    data = b"".join([len(head).to_bytes(4, "little"), head, *parts])
    return hashlib.sha256(data).digest() + data


def unpack(data: bytes) -> tuple[list[Tensor], dict[str, Any]]:
    """Return what was packed.

    Raises:
        StoreError: The bytes are others.
    """
    kept, data = data[:_DIGEST], data[_DIGEST:]
    if hashlib.sha256(data).digest() != kept:
        raise StoreError("a kept case or answer is damaged")
    try:
        at = 4 + int.from_bytes(data[:4], "little")
        head = json.loads(data[4:at])
        tensors = []
        for name, datatype, shape, size in head["tensors"]:
            tensors.append(from_bytes(data[at : at + size], name, datatype, tuple(shape)))
            at += size
        about = head["about"]
        if not isinstance(about, dict) or not all(isinstance(each.name, str) for each in tensors):
            raise StoreError("a kept case or answer is damaged")
        return tensors, about
    except (ValueError, LookupError, TypeError, RecursionError, EdgeInferError) as error:
        raise StoreError("a kept case or answer is damaged") from error
