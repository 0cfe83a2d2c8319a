"""The teacher step: take what the user has, or train one. Either way it ends as files of known kinds."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from converters.data.dataset import check_classes, load_record, load_split
from converters.distill.catalogue import build, made_by, parameters, source_of
from converters.distill.compute import in_key
from converters.distill.losses import label_loss
from converters.distill.stored import check_stored
from converters.distill.teachers import answer_of, are_probabilities, first_line, load_program
from converters.distill.training import EVALUATION_BATCH, Course, Epoch, train
from converters.distill.views import Blend, Views
from converters.export.blame import find_culprit
from converters.json_file import load_json, save_json
from converters.quiet import logged
from converters.recipe import LARGEST_BATCH, FactoryNetwork, Member, Recipe
from converters.steps import Context, Step
from edgeinfer.bundle import encode
from edgeinfer.errors import ConversionError, RecipeError
from edgeinfer.preprocess import Preprocessor

ARCHIVE, RECORD = "teachers.zip", "teacher.json"
# Zip entries carry a time; ours must not differ from run to run.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class TeacherMember:
    """One model of the teacher.

    Attributes:
        file: Its name in the archive; the suffix tells the kind: `.pt2`, `.onnx`, or `.npz` of stored answers.
        sha256: Digest of the file.
        parameters: Trainable values; None where they cannot be told.
        probabilities: It gives probabilities, whose logarithm is learned from, and not logits.
    """

    file: str
    sha256: str
    parameters: int | None = None
    probabilities: bool = False


@dataclass(frozen=True)
class TeacherRecord:
    """What is known of the teacher.

    Attributes:
        members: Its models.
        history: Of its training, if it was trained.
    """

    members: tuple[TeacherMember, ...]
    history: tuple[Epoch, ...] = ()

    @property
    def sha256(self) -> str:
        """Digest of all members: what answers depend on."""
        return hashlib.sha256("".join(each.sha256 for each in self.members).encode()).hexdigest()

    @property
    def parameters(self) -> int | None:
        """Trainable values of all members together; None where one's cannot be told."""
        known = [each.parameters for each in self.members if each.parameters is not None]
        return sum(known) if len(known) == len(self.members) else None


def load_teacher_record(path: Path) -> TeacherRecord:
    """Return what the teacher step recorded."""
    return load_json(TeacherRecord, path)


def load_members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Give name and content of each of the teacher's files."""
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            yield name, opened.read(name)


def _settings(recipe: Recipe) -> object:
    teacher = recipe.teacher
    files: list[list[object]] = []
    for member in teacher.given():
        for path in (member.path, member.logits):
            if path is not None:
                state = _existing(recipe, path).stat()
                files.append([state.st_size, state.st_mtime_ns])
    factories = [member.factory for member in teacher.given() if member.factory is not None]
    if isinstance(teacher.network, FactoryNetwork):
        factories.append(teacher.network.factory)
    files += [[source_of(factory, Path(recipe.folder))] for factory in factories]
    varied = encode(recipe.augment) if teacher.network else None
    own = {
        key: value for key, value in encode(teacher).items() if key not in ("views", "mirror", "precision")
    }
    if teacher.training is not None:
        own["training"]["precision"] = in_key(teacher.training.precision)
    return {
        "input": encode(recipe.input.of_items()),
        "teacher": own,
        "files": files,
        "augment": varied,
        "seed": recipe.seed,
    }


def _existing(recipe: Recipe, path: str) -> Path:
    resolved = recipe.resolve(path)
    if not resolved.is_file():
        raise RecipeError("recipe.teacher", found=f"no file at {resolved}", next_step="check the path")
    return resolved


def _run(context: Context) -> None:
    given = context.recipe.teacher.given()
    history: tuple[Epoch, ...] = ()
    if given:
        files = [_taken(context, member) for member in given]
    else:
        module, history = _trained(context)
        files = [(".pt2", _exported(module, context), parameters(module))]
    members = []
    with zipfile.ZipFile(context.give(ARCHIVE), "w") as archive:
        for at, (suffix, data, count) in enumerate(files):
            name = f"{at}{suffix}"
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)
            ends = are_probabilities(_checked(context, name, data))
            members.append(TeacherMember(name, hashlib.sha256(data).hexdigest(), count, ends))
            if ends:
                context.report.note(f"teacher {at + 1} gives probabilities: their logarithm is learned from")
    record = TeacherRecord(tuple(members), history)
    save_json(record, context.give(RECORD))


def _taken(context: Context, member: Member) -> tuple[str, bytes, int | None]:
    """Return a given model as suffix, content and number of parameters."""
    recipe = context.recipe
    if member.factory is not None:
        module = made_by(member.factory, dict(member.arguments), Path(recipe.folder))
        return ".pt2", _exported(module, context), parameters(module)
    path = member.path or member.logits
    assert path is not None, "check_recipe"
    existing = _existing(recipe, path)
    data = existing.read_bytes()
    return existing.suffix, data, _count(existing.suffix, data, context.scratch / "teacher.log")


def _count(suffix: str, data: bytes, log: Path) -> int | None:
    if suffix == ".pt2":
        return sum(value.numel() for value in load_program(data, log).parameters())
    if suffix == ".onnx":
        import onnx

        try:
            graph = onnx.load_from_string(data).graph
        except Exception:  # protobuf's errors; loading it as a teacher will say what is wrong
            return None
        floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
        sizes = (torch.Size(each.dims).numel() for each in graph.initializer if each.data_type in floats)
        return sum(sizes)
    return None


def _trained(context: Context) -> tuple[nn.Module, tuple[Epoch, ...]]:
    recipe, record = context.recipe, load_record(context.needs)
    network, how = recipe.teacher.network, recipe.teacher.training
    assert network is not None, "check_recipe"
    assert how is not None, "check_recipe"
    torch.manual_seed(recipe.seed)
    module = build(network, len(record.classes), recipe)
    training = load_split(context.needs, "train")
    course = Course(
        Views(training.items, training.labels, recipe.augment, Blend(), recipe.seed),
        None,
        load_split(context.needs, "validation"),
        Preprocessor(recipe.input.steps()),
        how,
        recipe.seed,
    )
    history = train(module, course, label_loss, context, "training the teacher")
    return module, history


def _exported(module: nn.Module, context: Context) -> bytes:
    example = torch.zeros(2, *context.recipe.input.shape)
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    try:
        with logged(context.scratch / "teacher.log"):
            program = torch.export.export(module.eval(), (example,), dynamic_shapes=({0: batch},))
    except Exception as error:  # torch raises whatever its passes raise
        culprit = find_culprit(error, module, example, context.scratch / "teacher.log")
        raise ConversionError(
            f"the teacher cannot be exported ({first_line(error)})",
            found=culprit.shown(),
            next_step="write that line without choices that depend on values, or store the teacher's logits",
        ) from error
    path = context.scratch / "exported.pt2"
    torch.export.save(program, path)
    return path.read_bytes()


def _checked(context: Context, name: str, data: bytes) -> torch.Tensor:
    """Hold a model against the recipe's input and the data's classes; return `(N, classes)` answers of it."""
    record, shape = load_record(context.needs), context.recipe.input.shape
    if name.endswith(".npz"):
        return torch.from_numpy(check_stored(data, len(record.classes)))
    answer = answer_of(name, data, context.scratch / "teacher.log")
    expected = f"(N, {', '.join(map(str, shape))}) float32 with a free N"
    try:
        given = answer(torch.randn(EVALUATION_BATCH, *shape, generator=torch.Generator().manual_seed(0)))
    except Exception as error:  # whatever the user's graph raises
        raise ConversionError(
            f"the teacher does not take a batch of {EVALUATION_BATCH} of the recipe's input ({error})",
            expected=expected,
            next_step="export it with a generous torch.export.Dim for the batch, or change [input]",
        ) from error
    if given.ndim != 2 or len(given) != EVALUATION_BATCH:
        raise ConversionError(
            f"the teacher's answer for a batch of {EVALUATION_BATCH}",
            found=f"{given.dtype} {tuple(given.shape)}",
            expected=f"logits ({EVALUATION_BATCH}, classes)",
            next_step="export the network so that its only output is one row of logits an item",
        )
    if not torch.isfinite(given).all():
        raise ConversionError(
            "the teacher's answer for noise",
            found="NaN or infinite",
            expected="logits",
            next_step="check its weights, and [input] mean and std",
        )
    check_classes(given.shape[1], record, "teacher")
    return given


def _units(recipe: Recipe) -> float:
    training = recipe.teacher.training
    return 1.0 if training is None else float(training.epochs)


TEACHER = Step(
    "teacher", ("items.npy", "splits.npz", "data.json"), (ARCHIVE, RECORD), _settings, _run, units=_units
)
