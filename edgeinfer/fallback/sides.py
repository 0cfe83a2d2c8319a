"""A model in the cloud as a bundle describes it: from an item to the server's tensors, and from its answer back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgeinfer.bundle import (
    Cloud,
    CloudInput,
    CloudOutput,
    Decode,
    Manifest,
    Reduction,
    SendOutput,
    SendPicture,
    Softmax,
    StripMetadata,
    canonical_json,
    check_cloud,
    encode,
    needed_outputs,
)
from edgeinfer.cloud import ModelInfo, Tensor
from edgeinfer.cloud.tensors import Array, datatype_of, held
from edgeinfer.errors import CloudAnswerError, InputError, ManifestError, PolicyError
from edgeinfer.inference.answer import Answer
from edgeinfer.preprocess import Preprocessor

if TYPE_CHECKING:
    from PIL.Image import Image

    from edgeinfer.inference.intake import Source


class CloudSide:
    """How one bundle's questions are put to a server.

    Attributes:
        cloud: What the bundle says; names like its own where it says nothing.
        wanted: The server's outputs that an answer is made of.
        needs_local: Whether what is sent is made by the model here.
        reduced: What is taken from pictures, in words.
        digest: SHA-256 of all that, names, labels and reductions: what was made for another is not this one's.
        answer: The postprocessing of the server's outputs.

    Args:
        manifest: Of the bundle.
        cloud: In place of what the bundle says.
        reduce: What is taken from pictures beyond what the bundle takes.

    Raises:
        PolicyError: The server's classes are others than the bundle's, or it does not fit the bundle otherwise.
    """

    def __init__(
        self, manifest: Manifest, cloud: Cloud | None = None, reduce: tuple[Reduction, ...] = ()
    ) -> None:
        self._manifest = manifest
        self._said = cloud or manifest.cloud or _same_names(manifest)
        self._reduce = (*self._said.reduce, *reduce)
        self.cloud = replace(self._said, reduce=self._reduce)
        try:
            check_cloud(self.cloud, manifest)
        except ManifestError as error:
            raise PolicyError(
                error.what, found=error.found, expected=error.expected, next_step="mend the bundle's `cloud`"
            ) from error
        # A prepared tensor has no metadata that would have to be taken away.
        self._changes = any(not isinstance(each, StripMetadata) for each in self._reduce)
        needed = needed_outputs(manifest)
        self.wanted = tuple(self.cloud.outputs[name].tensor for name in needed)
        self._outputs = [(name, self.cloud.outputs[name]) for name in needed]
        self.needs_local = any(isinstance(each.send, SendOutput) for each in self.cloud.inputs.values())
        self.reduced = ", ".join(map(_in_words, self._reduce))
        self.digest = hashlib.sha256(canonical_json(encode(self.cloud))).hexdigest()
        self.answer = Answer(_with_temperature(manifest, self.cloud.outputs[needed[0]].temperature))

    def reduced_by(self, reduce: tuple[Reduction, ...]) -> CloudSide:
        """Return the same with other reductions beyond what the bundle takes.

        Raises:
            PolicyError: They cannot be taken from this bundle's inputs.
        """
        return CloudSide(self._manifest, self._said, reduce)

    def tensors(
        self, source: Source, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None
    ) -> list[Tensor]:
        """Return what is sent for an item.

        Args:
            source: What the caller handed in.
            inputs: The model's inputs, prepared.
            outputs: What the model here made of them, where it was asked.

        Raises:
            InputError: What is to be taken from a picture cannot be taken from this source: nothing may be sent.
            DecodeError: The picture is damaged.
        """
        picture = None
        if self._changes or any(isinstance(each.send, SendPicture) for each in self.cloud.inputs.values()):
            picture = self._picture(source)
            declared = self._manifest.inputs[0]
            preprocess = Preprocessor(declared.preprocess)
            inputs = {declared.name: preprocess.tensors(preprocess.item(picture)[None])}
        sent = []
        for name, wanted in self.cloud.inputs.items():
            if isinstance(wanted.send, SendOutput):
                assert outputs is not None, "the model here was asked first"
                value = outputs[wanted.send.output]
            elif isinstance(wanted.send, SendPicture):
                from edgeinfer.preprocess import encoded

                assert picture is not None, "made above"
                value = np.empty(1, object)
                value[0] = encoded(picture, wanted.send.encoding, wanted.send.quality)
            else:
                value = inputs[name]
            if wanted.permute is not None:
                value = value.transpose(wanted.permute)
            sent.append(Tensor(wanted.tensor, wanted.datatype, held(value, wanted.datatype, wanted.tensor)))
        return sent

    def outputs(self, tensors: Mapping[str, Tensor]) -> dict[str, Array]:
        """Return a server's outputs as the bundle's own, for one item.

        Raises:
            CloudAnswerError: One is missing, or of another shape or kind.
        """
        found = {}
        for name, wanted in self._outputs:
            declared = next(each for each in self._manifest.outputs if each.name == name)
            if wanted.tensor not in tensors:
                raise CloudAnswerError("the cloud's answer lacks an output", expected=wanted.tensor)
            value, shape = tensors[wanted.tensor].value, (1, *declared.shape[1:])
            if value.shape != shape or value.dtype.kind not in "biuf":
                raise CloudAnswerError(
                    f"output {wanted.tensor} of the cloud's answer",
                    found=f"{value.dtype} {list(value.shape)}",
                    expected=f"numbers {list(shape)}",
                    next_step="check the bundle's `cloud.outputs`, and the classes of the server's model",
                )
            with np.errstate(over="ignore"):
                own = self._in_our_order(value, wanted, declared.labels).astype(declared.dtype)
            if own.dtype.kind == "f" and not np.isfinite(own).all():
                raise CloudAnswerError(
                    f"output {wanted.tensor} of the cloud's answer", found=f"values beyond {declared.dtype}"
                )
            found[name] = own
        return found

    def check_model(self, model: ModelInfo) -> None:
        """Hold what the server says of its model against the bundle's classes.

        Raises:
            PolicyError: It has other classes.
        """
        told = {each.name: each for each in model.outputs}
        for name, wanted in self._outputs:
            declared = next(each for each in self._manifest.outputs if each.name == name)
            server = told.get(wanted.tensor)
            if server is None:
                continue
            own = wanted.labels or declared.labels
            if server.labels is not None and own is not None and server.labels != own:
                strange = sorted(set(server.labels) ^ set(own))[:4] or "another order"
                raise PolicyError(
                    f"the classes of the cloud's model {model.name}",
                    found=strange,
                    expected="those of the bundle",
                    next_step="name the server's labels in the bundle's `cloud.outputs`, in its order",
                )
            axes = declared.shape
            lengths = server.shape is None or (
                len(server.shape) == len(axes)
                and all(have in (-1, want) for have, want in zip(server.shape[1:], axes[1:], strict=True))
            )
            if not lengths:
                raise PolicyError(
                    f"output {wanted.tensor} of the cloud's model {model.name}",
                    found=list(server.shape or ()),
                    expected=["batch", *axes[1:]],
                    next_step="serve a model with the bundle's classes",
                )

    def _picture(self, source: Source) -> Image:
        from edgeinfer.preprocess import reduced

        is_tensor = isinstance(source, Mapping | tuple | list) or (
            isinstance(source, np.ndarray) and source.dtype.kind == "f"
        )
        if is_tensor:
            raise InputError(
                "what is to be taken from pictures before they are sent cannot be taken from a tensor",
                found=type(source).__name__,
                expected="a picture",
                next_step="hand in the picture; this item stays on the device",
            )
        step = self._manifest.inputs[0].preprocess[0]
        assert isinstance(step, Decode), "checked with the reductions"
        return reduced(source, step, self._reduce)

    def _in_our_order(self, value: Array, wanted: CloudOutput, labels: tuple[str, ...] | None) -> Array:
        if wanted.labels is None or labels is None or wanted.labels == labels:
            return value
        places = {label: at for at, label in enumerate(wanted.labels)}
        return value[..., [places[label] for label in labels]]


def _same_names(manifest: Manifest) -> Cloud:
    return Cloud(
        manifest.name,
        {each.name: CloudInput(each.name, datatype_of(each.dtype)) for each in manifest.inputs},
        {each.name: CloudOutput(each.name) for each in manifest.outputs},
    )


def _with_temperature(manifest: Manifest, temperature: float) -> Manifest:
    answer = manifest.outputs[0]
    steps = tuple(
        replace(step, temperature=temperature) if isinstance(step, Softmax) else step
        for step in answer.postprocess
    )
    return replace(manifest, outputs=(replace(answer, postprocess=steps), *manifest.outputs[1:]))


def _in_words(reduction: Reduction) -> str:
    values = [f"{value:g}" for name, value in vars(reduction).items() if name != "op"]
    return " ".join([reduction.op, *values])
