"""The manifest's JSON Schema (2020-12), written from the dataclasses and their docstrings.

`manifest.schema.json` beside this file is what other languages read; a test keeps it equal to this
module's output. Write it anew with `python -m edgeinfer.bundle.schema`.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from edgeinfer.bundle.codec import field_types
from edgeinfer.bundle.manifest import Manifest
from edgeinfer.bundle.reference import MOST_SYMBOLS
from edgeinfer.bundle.require import HEX_PATTERN, NAME_PATTERN

PATH = Path(__file__).with_name("manifest.schema.json")
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}
_NAME = {"pattern": f"^{NAME_PATTERN}$"}
_COUNT = {"minimum": 1}
# Fields whose one value a dataclass fills in, and that the JSON must spell out.
_ALWAYS = ("format", "schema_version", "op", "kind")
# Rules that a type cannot say. Rules between fields stand in docs/bundle-format.md.
_RULES: dict[tuple[str, str], dict[str, Any]] = {
    ("Manifest", "name"): _NAME,
    ("Manifest", "inputs"): {"minItems": 1},
    ("Manifest", "outputs"): {"minItems": 1},
    ("Manifest", "variants"): {"minItems": 1},
    ("Manifest", "documents"): {"propertyNames": _NAME},
    ("Variant", "id"): _NAME,
    ("Blob", "sha256"): {"pattern": f"^{HEX_PATTERN}$"},
    ("Blob", "size"): {"minimum": 0},
    ("Input", "shape"): {"minItems": 1},
    ("Output", "shape"): {"minItems": 1},
    ("Binding", "shape"): {"minItems": 1},
    ("Quantization", "scale"): {"exclusiveMinimum": 0},
    ("Tolerance", "atol"): {"minimum": 0},
    ("Tolerance", "rtol"): {"minimum": 0},
    ("Softmax", "temperature"): {"exclusiveMinimum": 0},
    ("TopK", "k"): _COUNT,
    ("SsdBoxes", "levels"): {"minItems": 1},
    ("PriorLevel", "rows"): _COUNT,
    ("PriorLevel", "columns"): _COUNT,
    ("PriorLevel", "sizes"): {"minItems": 1},
    ("NonMaximumSuppression", "k"): _COUNT,
    ("NonMaximumSuppression", "candidates"): _COUNT,
    ("Resize", "height"): _COUNT,
    ("Resize", "width"): _COUNT,
    ("CenterCrop", "height"): _COUNT,
    ("CenterCrop", "width"): _COUNT,
    ("DriftReference", "features"): {"minItems": 1},
    ("DriftReference", "n"): _COUNT,
    ("Feature", "name"): _NAME,
    ("Feature", "counts"): {"minItems": 2, "maxItems": MOST_SYMBOLS},
    ("Confusion", "n"): _COUNT,
    ("Cascade", "n"): _COUNT,
    ("CloudOutput", "temperature"): {"exclusiveMinimum": 0},
    ("Downscale", "longest"): _COUNT,
    ("SendPicture", "quality"): {"minimum": 1, "maximum": 100},
    ("Cascade", "points"): {"minItems": 1},
}


def manifest_schema() -> dict[str, Any]:
    """Return the schema as JSON-like data."""
    definitions: dict[str, Any] = {}
    root = _reference(Manifest, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "edgeinfer bundle manifest, schema version 1",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """Return the text of `manifest.schema.json`."""
    return json.dumps(manifest_schema(), indent=2) + "\n"


def _reference(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    name = kind.__name__
    if name not in definitions:
        definitions[name] = {}
        definitions[name] = _object(kind, definitions)
    return {"$ref": f"#/$defs/{name}"}


def _object(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = field_types(kind)
    summary, attributes = _described(kind)
    properties, required = {}, []
    for field in dataclasses.fields(kind):
        rule = _RULES.get((kind.__name__, field.name), {})
        described = {"description": attributes[field.name]} if field.name in attributes else {}
        schema = {**_schema(hints[field.name], definitions), **rule}
        optional = (
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        )
        if not optional or field.name in _ALWAYS:
            required.append(field.name)
        else:
            # Null is the same as absence.
            schema = {"anyOf": [schema, {"type": "null"}]}
        properties[field.name] = {**described, **schema}
    return {"description": summary, "type": "object", "properties": properties, "required": required}


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        options = [_schema(each, definitions) for each in arguments if each is not type(None)]
        return options[0] if len(options) == 1 else {"anyOf": options}
    if origin is Literal:
        return {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    if dataclasses.is_dataclass(kind):
        assert isinstance(kind, type), "a dataclass, not an instance"
        return _reference(kind, definitions)
    return {"type": _SCALARS[kind]}


def _described(kind: type) -> tuple[str, dict[str, str]]:
    """Return a docstring's first paragraph, and its `Attributes:` by name."""
    text = inspect.cleandoc(kind.__doc__ or "")
    head, _, tail = text.partition("Attributes:")
    entries = re.findall(r"^ {4}(\w+): (.*?)(?=^ {4}\w|\Z)", tail, re.DOTALL | re.MULTILINE)
    return " ".join(head.split()), {name: " ".join(body.split()) for name, body in entries}


if __name__ == "__main__":
    PATH.write_text(schema_text())
