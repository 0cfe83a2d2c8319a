"""Teachers of every kind, the answers they give to views, and the cache that keeps them."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from converters.data.dataset import DATA, item_digests, load_record, load_split
from converters.distill.answers import ANSWERS, PLAIN, VIEWS, load_views, teacher_answers, training_views
from converters.distill.catalogue import build
from converters.distill.stored import read_stored, stored_for
from converters.distill.student import STUDENT
from converters.distill.teacher import RECORD, TEACHER, load_teacher_record
from converters.distill.teachers import answer_of, load_module, mean_of, mirrored
from converters.export.float_models import export_onnx
from converters.progress import Quiet
from converters.quiet import logged
from converters.recipe import Augment, Data, FactoryNetwork, Member, Recipe, Teacher, load_recipe
from converters.steps import run_steps
from edgeinfer.errors import ConversionError, RecipeError
from edgeinfer.preprocess import Preprocessor

ROOT = Path(__file__).parents[2]
STEPS = (DATA, TEACHER, ANSWERS)


class Tilted(nn.Module):
    """Logits from a fixed projection of the picture."""

    def __init__(self, seed: int = 0, classes: int = 10) -> None:
        super().__init__()
        self.linear = nn.Linear(64, classes)
        generator = torch.Generator().manual_seed(seed)
        self.linear.weight.data.normal_(0, 0.3, generator=generator)
        self.linear.bias.data.normal_(0, 0.3, generator=generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1))


def exported(module: nn.Module, path: Path) -> Path:
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(module.eval(), (torch.zeros(2, 1, 8, 8),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)
    return path


def onnx_exported(module: nn.Module, path: Path) -> None:
    with logged(path.with_suffix(".log")):
        export_onnx(module.eval(), (1, 8, 8), path)


def recipe(teacher: Teacher, folder: Path, **changes: object) -> Recipe:
    digits = load_recipe(ROOT / "sample_apps/digits/recipe.toml")
    data = Data("digits", limit_per_class=12)
    return replace(digits, data=data, teacher=teacher, augment=Augment(), folder=str(folder), **changes)


def run(asked: Recipe, work: Path) -> dict[str, Path]:
    return run_steps(STEPS, asked, work, Quiet(), {})


def direct(module: nn.Module, files: dict[str, Path], asked: Recipe, split: str) -> np.ndarray:
    tensors = Preprocessor(asked.input.steps()).tensors(load_split(files, split).items)
    with torch.no_grad():
        return module.eval()(torch.from_numpy(tensors)).numpy()


FACTORY = """
import torch
from torch import nn

def small(seed: int = 0) -> nn.Module:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    network[1].weight.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(seed))
    network[1].bias.data.zero_()
    return network

def nothing():
    return 3

def broken():
    raise ImportError("a missing part")

def leaving():
    raise SystemExit(0)

def narrow():
    return nn.Linear(5, 10)

class Pair(nn.Module):
    def forward(self, x):
        return x, x

def pair():
    return Pair()

def frozen():
    return small().requires_grad_(False)
"""


@pytest.mark.parametrize("kind", ["pt2", "onnx", "factory"])
def test_a_teacher_of_each_kind_answers_as_the_module_does(tmp_path, kind):
    module: nn.Module = Tilted()
    if kind == "pt2":
        exported(module, tmp_path / "teacher.pt2")
        teacher = Teacher(path="teacher.pt2", views=2)
    elif kind == "onnx":
        onnx_exported(module, tmp_path / "teacher.onnx")
        teacher = Teacher(path="teacher.onnx", views=2)
    else:
        (tmp_path / "own_models.py").write_text(FACTORY)
        teacher = Teacher(factory="own_models:small", arguments={"seed": 5}, views=2)
        linear = nn.Linear(64, 10)
        linear.weight.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(5))
        linear.bias.data.zero_()
        module = nn.Sequential(nn.Flatten(), linear)
    asked = recipe(teacher, tmp_path)
    files = run(asked, tmp_path / "work")
    record = load_teacher_record(files[RECORD])
    assert record.parameters == 650
    for split in ("validation", "test"):
        given = teacher_answers(files[PLAIN], split)
        np.testing.assert_allclose(given, direct(module, files, asked, split), rtol=1e-4, atol=1e-4)
    answers = load_views(files[VIEWS])
    assert answers.shape == (2, len(load_split(files, "train").labels), 10)
    # Without augmentation a view is the split in another order.
    rows = training_views_of(asked, files).rows(1)
    np.testing.assert_allclose(answers[1], direct(module, files, asked, "train")[rows], rtol=1e-4, atol=1e-4)


def training_views_of(asked: Recipe, files: dict[str, Path]):
    from converters.steps import Context

    return training_views(Context(asked, files, Path(), Quiet(), Path()))


def test_an_ensemble_teaches_the_mean_of_its_members_probabilities(tmp_path):
    one, two = Tilted(1), Tilted(2)
    exported(one, tmp_path / "one.pt2")
    onnx_exported(two, tmp_path / "two.onnx")
    asked = recipe(Teacher(members=(Member("one.pt2"), Member("two.onnx")), views=1), tmp_path)
    files = run(asked, tmp_path / "work")
    given = torch.from_numpy(teacher_answers(files[PLAIN], "test")).softmax(1)
    each = [torch.from_numpy(direct(module, files, asked, "test")).softmax(1) for module in (one, two)]
    torch.testing.assert_close(given, sum(each) / 2, rtol=1e-4, atol=1e-5)
    assert load_teacher_record(files[RECORD]).parameters == 2 * 650


def test_a_mirrored_teacher_says_the_same_of_a_picture_and_its_mirror_image():
    answer = mirrored(Tilted())
    inputs = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(answer(inputs), answer(inputs.flip(3)))
    assert (answer(inputs) - Tilted()(inputs)).abs().max() > 0.1


def test_the_mean_of_one_is_itself():
    logits = torch.tensor([[3.0, 1.0]])
    assert mean_of([logits]) is logits


def stored(digests: list[str], classes: int = 10, **arrays: object) -> bytes:
    logits = np.arange(len(digests) * classes, dtype=np.float32).reshape(-1, classes)
    buffer = io.BytesIO()
    np.savez(buffer, **{"sha256": np.array(digests), "logits": logits, **arrays})
    return buffer.getvalue()


def test_stored_logits_are_found_by_the_digest_of_the_item(tmp_path):
    files = run_steps((DATA,), recipe(Teacher(path="x.pt2"), tmp_path), tmp_path / "work", Quiet(), {})
    splits = {split: item_digests(files, split) for split in ("train", "validation", "test")}
    everything = sorted(digest for digests in splits.values() for digest in digests)
    (tmp_path / "answers.npz").write_bytes(stored(everything))
    asked = recipe(Teacher(logits="answers.npz", views=3), tmp_path)
    files = run(asked, tmp_path / "work")
    place = {digest: at for at, digest in enumerate(everything)}
    given = teacher_answers(files[PLAIN], "test")
    assert given[:, 0].tolist() == [10 * place[digest] for digest in splits["test"]]
    rows = training_views_of(asked, files).rows(2)
    wanted = [10 * place[splits["train"][row]] for row in rows]
    assert load_views(files[VIEWS])[2, :, 0].tolist() == wanted
    assert load_teacher_record(files[RECORD]).parameters is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no archive", "cannot read the stored logits"),
        (stored(["a"], sha256=np.array([1])), "expected arrays sha256"),
        (stored(["a"], logits=np.zeros((2, 3), np.float32)), "expected arrays sha256"),
        (stored(["a"], logits=np.full((1, 3), np.nan, np.float32)), "expected finite numbers"),
        (stored(["a"], logits=np.full((1, 3), 1e300)), "beyond float32"),
        (stored(["a"], logits=np.zeros((1, 3), int)), "expected arrays sha256"),
    ],
)
def test_stored_logits_that_are_none_say_what_is_wrong(data, message):
    with pytest.raises(ConversionError, match=message):
        read_stored(data)


def test_items_without_stored_logits_are_counted():
    with pytest.raises(ConversionError, match=r"lack 2 of 3 items of the test split.*digest b"):
        stored_for(read_stored(stored(["a"])), ["a", "b", "c"], "test")


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("own_models_two:nothing", "found int"),
        ("own_models_two:missing", "has no attribute"),
        ("own_models_two:broken", "a missing part"),
        ("own_models_two:leaving", "SystemExit: 0"),
        ("no_such_module_of_mine:small", "No module named"),
    ],
)
def test_a_factory_that_fails_says_how(tmp_path, factory, message):
    (tmp_path / "own_models_two.py").write_text(FACTORY)
    with pytest.raises(RecipeError, match=message):
        run(recipe(Teacher(factory=factory), tmp_path), tmp_path / "work")


def test_a_factory_whose_file_changed_is_asked_again(tmp_path):
    module = tmp_path / "own_models_three.py"
    module.write_text(FACTORY)
    asked = recipe(Teacher(factory="own_models_three:small", arguments={"seed": 5}), tmp_path)
    student = replace(asked.student, network=FactoryNetwork("own_models_three:small"), budget=None)
    asked = replace(asked, student=student)
    before = [step.settings(asked) for step in (TEACHER, STUDENT)]
    assert [step.settings(asked) for step in (TEACHER, STUDENT)] == before
    module.write_text(FACTORY + "\n# another network\n")
    assert all(step.settings(asked) != old for step, old in zip((TEACHER, STUDENT), before, strict=True))


@pytest.mark.parametrize(
    ("function", "message"),
    [("pair", "found tuple"), ("narrow", "does not take the recipe's input"), ("small", r"found \(2, 10\)")],
)
def test_a_network_of_one_s_own_must_give_logits_of_the_data_s_classes(tmp_path, function, message):
    (tmp_path / "own_networks.py").write_text(FACTORY)
    with pytest.raises(RecipeError, match=message):
        build(FactoryNetwork(f"own_networks:{function}"), 7, recipe(Teacher(path="x.pt2"), tmp_path))


def test_a_network_of_one_s_own_that_cannot_learn_is_told_so(tmp_path):
    (tmp_path / "own_frozen.py").write_text(FACTORY)
    with pytest.raises(RecipeError, match="cannot be trained: found logits that depend on no parameter"):
        build(FactoryNetwork("own_frozen:frozen"), 10, recipe(Teacher(path="x.pt2"), tmp_path))


@pytest.mark.parametrize("kind", ["pt2", "stored"])
def test_a_teacher_that_ends_in_softmax_is_learned_from_as_its_logits(tmp_path, kind):
    """Probabilities taken as logits would be softened once more, to next to nothing."""
    module = Tilted(3)
    asked = recipe(Teacher(path="teacher.pt2", views=1), tmp_path)
    exported(module, tmp_path / "teacher.pt2")
    plain = run(asked, tmp_path / "plain")
    wanted = torch.from_numpy(teacher_answers(plain[PLAIN], "test")).log_softmax(1)
    if kind == "stored":
        splits = ("train", "validation", "test")
        digests = [each for split in splits for each in item_digests(plain, split)]
        answers = np.concatenate([direct(module, plain, asked, split) for split in splits])
        probabilities = torch.from_numpy(answers).softmax(1).numpy()
        np.savez(tmp_path / "stored.npz", sha256=np.array(digests), logits=probabilities)
        asked = recipe(Teacher(logits="stored.npz", views=1), tmp_path)
    else:
        exported(nn.Sequential(module, nn.Softmax(1)), tmp_path / "teacher.pt2")
    files = run(asked, tmp_path / "softened")
    assert load_teacher_record(files[RECORD]).members[0].probabilities
    assert not load_teacher_record(plain[RECORD]).members[0].probabilities
    given = torch.from_numpy(teacher_answers(files[PLAIN], "test"))
    torch.testing.assert_close(given.log_softmax(1), wanted, rtol=0, atol=1e-3)


def test_a_teacher_that_takes_small_batches_alone_is_told_at_once(tmp_path):
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(module, (torch.zeros(2, 1, 8, 8),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "teacher.pt2")
    with pytest.raises(ConversionError, match=r"does not take a batch of 256.*generous torch\.export\.Dim"):
        run(recipe(Teacher(path="teacher.pt2"), tmp_path), tmp_path / "work")


def test_a_factory_module_of_the_same_name_in_another_folder_is_another(tmp_path):
    for folder, classes in (("one", 10), ("two", 7)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same_name.py").write_text(FACTORY.replace("64, 10", f"64, {classes}"))
        build(FactoryNetwork("same_name:small"), classes, recipe(Teacher(path="x.pt2"), tmp_path / folder))


def test_what_the_exporter_says_of_a_teacher_goes_to_the_log(tmp_path, capfd):
    (tmp_path / "own_models_four.py").write_text(FACTORY)
    with pytest.raises(ConversionError, match="cannot be exported"):
        run(recipe(Teacher(factory="own_models_four:narrow"), tmp_path), tmp_path / "work")
    assert capfd.readouterr() == ("", "")


def test_answers_are_kept_for_every_run_that_asks_the_same(tmp_path):
    exported(Tilted(), tmp_path / "teacher.pt2")
    asked = recipe(Teacher(path="teacher.pt2", views=2), tmp_path)
    first = run(asked, tmp_path / "one")
    kept = sorted((tmp_path / "cache/teacher-views").iterdir())
    assert len(kept) == 2
    marked = np.full_like(np.load(kept[0]), 7)
    np.save(kept[0], marked)
    more = run(replace(asked, teacher=replace(asked.teacher, views=3)), tmp_path / "two")
    assert len(list((tmp_path / "cache/teacher-views").iterdir())) == 3, "two were found, one was asked"
    views = load_views(more[VIEWS]).numpy()
    assert any(np.array_equal(view, marked) for view in views), "what is kept is what is used"
    kept[1].write_bytes(b"cut off")
    other = replace(asked, augment=Augment(dim=0.1))
    run(other, tmp_path / "three")
    assert len(list((tmp_path / "cache/teacher-views").iterdir())) == 5, (
        "other variations are other questions"
    )
    again = run(asked, tmp_path / "four")
    assert sum(np.array_equal(a, b) for a in load_views(first[VIEWS]) for b in load_views(again[VIEWS])) == 1


def test_the_layers_of_a_pt2_file_keep_their_names(tmp_path):
    path = exported(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, 3)), tmp_path / "t.pt2"
    )
    names = dict(load_module(path.read_bytes(), tmp_path / "log").named_modules())
    assert {"1", "2", "3"} <= set(names)


def test_an_onnx_teacher_that_is_none_says_so(tmp_path):
    with pytest.raises(ConversionError, match="cannot load the teacher"):
        answer_of("teacher.onnx", b"no model", tmp_path / "log")


def test_a_record_names_every_member_by_digest(tmp_path):
    exported(Tilted(1), tmp_path / "one.pt2")
    files = run(
        recipe(Teacher(members=(Member("one.pt2"), Member("one.pt2")), views=1), tmp_path), tmp_path / "w"
    )
    record = json.loads(files[RECORD].read_text())
    assert [each["file"] for each in record["members"]] == ["0.pt2", "1.pt2"]
    assert record["members"][0]["sha256"] == record["members"][1]["sha256"]
    assert len(load_record(files).classes) == 10


def test_unlabelled_pictures_are_learned_from_by_the_teacher_s_answers_alone(tmp_path):
    from PIL import Image

    generator = np.random.default_rng(0)
    for at in range(24):
        folder = ("labelled/a", "labelled/b", "more")[at % 3]
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(tmp_path / folder / f"{at}.png")
    exported(Tilted(classes=2), tmp_path / "teacher.pt2")
    data = Data("folder", path="labelled", unlabelled="more", validation=0.25, test=0.25)
    asked = replace(recipe(Teacher(path="teacher.pt2", views=2), tmp_path), data=data)
    files = run(asked, tmp_path / "work")
    views = training_views_of(asked, files)
    labelled = len(load_split(files, "train").labels)
    assert len(views) == labelled + 8
    assert sorted(views.labels[labelled:]) == [-1] * 8
    assert load_views(files[VIEWS]).shape == (2, labelled + 8, 2)
    rows = views.rows(1)
    tensors = Preprocessor(asked.input.steps()).tensors(views.items[rows])
    with torch.no_grad():
        wanted = Tilted(classes=2).eval()(torch.from_numpy(tensors))
    torch.testing.assert_close(load_views(files[VIEWS])[1], wanted, rtol=1e-4, atol=1e-4)
