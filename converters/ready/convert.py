"""The conversion of a ready model: cleaned, wrapped, quantized, held against itself, packed.

It takes seconds, so that nothing is kept between runs; the bundle appears when all of it is whole.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edgeinfer as ei
from converters.places import alone_in, check_output
from converters.progress import Quiet, Reporter
from converters.quiet import logged
from converters.ready.agreement import Agreement, classes_alike, things_alike, values_alike
from converters.ready.files import ReadyFile, prepare
from converters.ready.items import FolderItems, folder_items, parted
from converters.ready.measured import GoldenSet, golden_set, measured
from converters.ready.proof import difference
from converters.ready.quantize import quantized
from converters.ready.recipe import ReadyQuantize, ReadyRecipe
from converters.ready.report import ReadyFigures, ReadyReport, shown
from converters.ready.rules import check_ready
from converters.ready.wrap import Contract, manifest, variant
from converters.tools import tool_versions
from edgeinfer.bundle import BlobSet, Document, Lineage, Manifest, open_bundle, write_bundle
from edgeinfer.errors import ConversionError, DataError, EdgeInferError, GateError
from edgeinfer.host import atomic_file

# The files of a bundle are one model: float forms differ by rounding alone.
# How far rounding takes a probability out of 0 to 1.
_ROUNDED = 0.01
_TWIN = 0.01
_NO_DATA = hashlib.sha256(b"").hexdigest()
_NOT_DETERMINISTIC = {
    "variants.*.latency": "a time measured on a shared machine",
    "variants.*.memory_bytes": "a growth of resident memory",
}
_ORDER = ("tflite-int8", "tflite-mixed", "onnx-int8", "onnx-mixed", "tflite-fp32", "onnx-fp32")


@dataclass(frozen=True)
class ReadyOutcome:
    """What a conversion without training made.

    Attributes:
        bundle: The bundle's file.
        digest: Its identity.
        report: The report for people, in Markdown; its JSON lies beside it.
        figures: What was done and measured, one for each variant.
    """

    bundle: Path
    digest: str
    report: Path
    figures: tuple[ReadyFigures, ...]

    def shown(self) -> str:
        """Return it for a terminal."""
        width = max(len(each.id) for each in self.figures)
        lines = []
        for each in self.figures:
            alike = f", agrees with float in {shown(each.agreement)}" if each.agreement else ""
            lines.append(
                f"{each.id:<{width}}  {each.bytes:>10,} bytes  {each.latency.p50_us:>7.0f} us{alike}"
            )
            lines += [f"{'':<{width}}  - {note}" for note in each.notes]
        size = self.bundle.stat().st_size
        return "\n".join(
            [
                *lines,
                "",
                f"bundle  {self.bundle} ({size:,} bytes, digest {self.digest[:16]})",
                f"report  {self.report}",
                f"next    edgeinfer predict {self.bundle} FILE...",
            ]
        )


def convert_ready(
    recipe: ReadyRecipe, output: Path, work: Path, report: Reporter | None = None
) -> ReadyOutcome:
    """Make a bundle of a model that is there already.

    Args:
        recipe: What to make.
        output: Where the bundle goes; `<name>.report.md` and `.report.json` are written beside it.
        work: Folder for intermediate files and the log; made if missing.
        report: Where it is said what is done; nowhere by default.

    Raises:
        RecipeError: The recipe breaks a rule.
        DataError: Labels or calibration inputs cannot be used.
        GateError: An int8 file answers differently; nothing is written to `output`.
        ConversionError: The model cannot be read, cleaned, wrapped or quantized.
        BundleError: The bundle cannot be written.
    """
    check_ready(recipe)
    check_output(output, work)
    with alone_in(work):
        return _converted(recipe, output, work, report or Quiet())


def _converted(recipe: ReadyRecipe, output: Path, work: Path, report: Reporter) -> ReadyOutcome:
    """Run the conversion, and turn whatever escapes it into an error that names the model."""
    scratch = work / "ready.running"
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        outcome = _Conversion(recipe, scratch, work / "ready.log", report).run(output)
        shutil.rmtree(scratch)
        return outcome
    except EdgeInferError:
        raise
    except OSError as error:
        raise ConversionError(
            f"cannot use the work folder {work} or write {output} ({error})",
            next_step="free space, or choose other places: -o, --work",
        ) from error
    except Exception as error:  # onnx, the quantizers and the runtimes raise whatever they like
        raise ConversionError(
            f"converting {recipe.model.path} failed ({type(error).__name__}: {error})",
            next_step=f"what the tools printed is in {work / 'ready.log'}; report this model",
        ) from error


class _Conversion:
    """One run, with what its steps share."""

    def __init__(self, recipe: ReadyRecipe, scratch: Path, log: Path, report: Reporter) -> None:
        self.recipe, self.scratch, self.log, self.report = recipe, scratch, log, report

    def run(self, output: Path) -> ReadyOutcome:
        recipe = self.recipe
        with self.report.bar("converting", 5) as bar:
            with logged(self.log):
                files = [prepare(each, recipe, self.scratch) for each in recipe.files]
                made, golden = golden_set(recipe, files[0])
            self._check_answer(files, made, golden)
            bar.advance(note="cleaned")
            if len(files) > 1:
                self._compare_twins(files, made, golden)
            bar.advance(note="wrapped")
            alike: dict[str, Agreement] = {}
            lent, held = self._items(made)
            if recipe.quantize is not None and lent is not None and held is not None:
                with logged(self.log):
                    files, alike = self._quantize(files, made, (lent, held), recipe.quantize)
            bar.advance(note="quantized")
            files.sort(key=lambda file: _ORDER.index(file.id))
            draft, blobs = self._draft(files, made)
            with logged(self.log):
                variants, figures = measured(draft, files, golden, alike, blobs)
            bar.advance(note="measured")
            whole = replace(self._manifest(files, made, blobs), variants=tuple(variants))
            outcome = self._pack(
                replace(whole, golden=golden.stored(blobs, made)), blobs, figures, (lent, held), output
            )
            bar.advance(note="packed")
        return outcome

    def _manifest(self, files: Sequence[ReadyFile], made: Contract, blobs: BlobSet) -> Manifest:
        return manifest(self.recipe, made, [variant(file, made, blobs) for file in files])

    def _draft(self, files: Sequence[ReadyFile], made: Contract) -> tuple[Path, BlobSet]:
        blobs = BlobSet()
        path = self.scratch / "draft.eib"
        write_bundle(path, self._manifest(files, made, blobs), blobs)
        return path, blobs

    def _outputs(self, draft: Path, file: ReadyFile, golden: GoldenSet) -> dict[str, NDArray[np.generic]]:
        with ei.load(draft, variant=file.id, measure=False, self_test=False) as model:
            return model.run({model.manifest.inputs[0].name: golden.tensors})

    def _check_answer(self, files: Sequence[ReadyFile], made: Contract, golden: GoldenSet) -> None:
        """Refuse probabilities that are none: an answer's confidence would be any number."""
        if self.recipe.output.answer != "probabilities":
            return
        draft, _ = self._draft(files, made)
        with logged(self.log):
            outputs = self._outputs(draft, files[0], golden)
        value = next(iter(outputs.values()))
        low, high = float(value.min()), float(value.max())
        # Integers are a share of their range.
        if value.dtype.kind == "f" and not (-_ROUNDED <= low <= high <= 1 + _ROUNDED):
            raise ConversionError(
                f"output {next(iter(outputs))} of {self.recipe.model.path} holds no probabilities",
                found=f"{low:.3g} to {high:.3g}, on synthetic inputs",
                expected="0 to 1",
                next_step="set output.answer to 'logits', or to 'values'",
            )

    def _compare_twins(self, files: Sequence[ReadyFile], made: Contract, golden: GoldenSet) -> None:
        one, other = files
        if (one.precision, other.precision) != ("fp32", "fp32"):
            return
        draft, _ = self._draft(files, made)
        with logged(self.log):
            ones, others = (self._outputs(draft, file, golden) for file in files)
        for name, value in ones.items():
            apart = difference(value, others[name])
            if apart > _TWIN:
                raise ConversionError(
                    f"model and twin give other values for output {name}",
                    found=f"a difference of {apart:.1%} of the largest value, on synthetic inputs",
                    expected=f"at most {_TWIN:.0%}",
                    next_step="name outputs of both that hold the same under `outputs`, or wrap one file alone",
                )

    def _items(self, made: Contract) -> tuple[FolderItems | None, FolderItems | None]:
        """Return the items that lend ranges, and those that int8 is checked with."""
        recipe, given = self.recipe, self.recipe.quantize
        if given is None:
            return None, None
        folder = recipe.resolve(given.calibration)
        lent = folder_items(folder, "quantize.calibration", made, given.items, recipe.seed, self.report)
        if given.check is None:
            return parted(lent, made)
        folder = recipe.resolve(given.check)
        check = folder_items(folder, "quantize.check", made, given.items, recipe.seed, self.report)
        return lent, check

    def _quantize(
        self,
        files: list[ReadyFile],
        made: Contract,
        items: tuple[FolderItems, FolderItems],
        given: ReadyQuantize,
    ) -> tuple[list[ReadyFile], dict[str, Agreement]]:
        lent, held = items
        floats = [file for file in files if file.precision == "fp32"]
        if not floats:
            raise ConversionError(
                "there is nothing to quantize", found="no float32 model", next_step="leave out [quantize]"
            )
        alike: dict[str, Agreement] = {}
        blobs = BlobSet()
        for file in floats:
            small = quantized(file, variant(file, made, blobs), lent, given, self.scratch)
            files = [*files, small]
            draft, _ = self._draft(files, made)
            alike[small.id] = self._agreement(draft, file, small, held)
            _judge(small, alike[small.id], given)
        return files, alike

    def _agreement(self, draft: Path, file: ReadyFile, small: ReadyFile, held: FolderItems) -> Agreement:
        answers = []
        for each in (file, small):
            with ei.load(draft, variant=each.id, measure=False, self_test=False) as model:
                answers.append([model.predict(held.tensors(at, at + 1)) for at in range(len(held))])
        kind = self.recipe.output.answer
        if kind == "detections":
            found = things_alike(*answers)
            if found.n == 0:
                raise DataError(
                    "nothing was found in the pictures that int8 is checked with",
                    found=f"{len(held)} pictures, 0 things",
                    expected="pictures that show what the model detects",
                    next_step="name a folder of such pictures under quantize.check",
                )
            return found
        return values_alike(*answers) if kind == "values" else classes_alike(*answers)

    def _pack(
        self,
        whole: Manifest,
        blobs: BlobSet,
        figures: tuple[ReadyFigures, ...],
        items: tuple[FolderItems | None, FolderItems | None],
        output: Path,
    ) -> ReadyOutcome:
        report = ReadyReport(self.recipe, figures, tool_versions())
        texts = {"report.md": report.markdown(), "report.json": report.json()}
        lent, held = items
        counts = {"calibration": len(lent), "check": len(held)} if lent and held else {}
        whole = replace(
            whole,
            lineage=Lineage(
                teacher_sha256=figures[-1].origin_sha256,
                data_sha256=lent.digest() if lent else _NO_DATA,
                splits=counts,
                recipe_sha256=self.recipe.digest(),
                seed=self.recipe.seed,
                tools=tool_versions(),
                not_deterministic=_NOT_DETERMINISTIC,
            ),
            documents={
                "report.md": Document(blobs.add(texts["report.md"]), "text/markdown"),
                "report.json": Document(blobs.add(texts["report.json"]), "application/json"),
            },
        )
        output.parent.mkdir(parents=True, exist_ok=True)
        stem = output.name.removesuffix(".eib")
        for name, text in texts.items():
            with atomic_file(output.with_name(f"{stem}.{name}")) as target:
                target.write(text)
        write_bundle(output, whole, blobs)
        with open_bundle(output) as bundle:
            bundle.verify()
            return ReadyOutcome(output, bundle.digest, output.with_name(f"{stem}.report.md"), figures)


def _judge(small: ReadyFile, alike: Agreement, given: ReadyQuantize) -> None:
    if alike.share < given.min_agreement:
        raise GateError(
            f"{small.id} does not answer as its float form does",
            found=f"{alike.share:.1%} of {alike.n} {alike.what}",
            expected=f"at least {given.min_agreement:.1%}, quantize.min_agreement",
            next_step="calibrate with more inputs like those it will meet, cut off arithmetic behind the layers with "
            "model.outputs, or keep layers under quantize.float_layers",
        )
