"""The command as a person uses it: what it prints, where, and with which exit status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from edgeinfer.testing import DAMAGES, damage, write_sample_bundle


def drawn_seven(path: Path) -> Path:
    image = Image.new("RGB", (300, 300), (250, 248, 240))
    ImageDraw.Draw(image).line([(90, 60), (215, 58), (140, 255)], fill=(30, 30, 60), width=30, joint="curve")
    image.save(path)
    return path


@pytest.fixture
def run(edgeinfer_command, tmp_path):
    def call(*arguments: object, stdin: bytes = b"", status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [edgeinfer_command, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            cwd=tmp_path,
            timeout=120,
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == status, out + err
        assert "Traceback" not in err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return call


def test_help_names_every_command_and_a_typo_is_no_traceback(run):
    listed = run("--help").stdout
    for command in ("bench", "compare", "convert", "doctor", "gold", "inspect", "predict", "verify"):
        assert f"\n  {command} " in listed
        assert "Usage: edgeinfer" in run(command, "--help").stdout
    assert "No such command 'predcit'" in run("predcit", status=2).stderr
    assert run("--version").stdout.startswith("edgeinfer, version ")


def test_predict_a_drawn_picture_a_folder_and_standard_input(run, demo, tmp_path):
    picture = drawn_seven(tmp_path / "seven.png")
    line = run("predict", demo.bundle, "seven.png")
    assert line.stdout.startswith("seven.png: 7  ")
    assert line.stderr == ""
    (tmp_path / "more").mkdir()
    drawn_seven(tmp_path / "more/a.jpg")
    np.save(tmp_path / "more/b.npy", np.asarray(Image.open(picture).convert("L")))
    lines = run("predict", demo.bundle, "more", "-", stdin=picture.read_bytes()).stdout.splitlines()
    assert [each.split(":")[0] for each in lines] == ["more/a.jpg", "more/b.npy", "-"]
    assert all(": 7  " in each for each in lines)


@pytest.mark.parametrize("engine", ["litert", "onnxruntime"])
def test_predict_as_json_with_an_engine(run, demo, tmp_path, engine):
    drawn_seven(tmp_path / "seven.png")
    answer = json.loads(run("predict", "--json", "--engine", engine, demo.bundle, "seven.png").stdout)
    assert (answer["file"], answer["label"], answer["source"]) == ("seven.png", "7", "device")
    assert len(answer["outputs"]["logits"]) == 10
    assert answer["variant"].startswith({"litert": "tflite", "onnxruntime": "onnx"}[engine])


def test_a_bad_file_among_good_ones_is_told_and_the_rest_goes_on(run, demo, tmp_path):
    drawn_seven(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(drawn_seven(tmp_path / "whole.png").read_bytes()[:200])
    (tmp_path / "none.txt").write_text("no picture")
    np.save(tmp_path / "nan.npy", np.full((1, 1, 8, 8), np.nan, np.float32))
    (tmp_path / "evil.npy").write_bytes(b"\x93NUMPY\x01\x00garbage")
    names = ["bad.png", "none.txt", "nan.npy", "evil.npy", "missing.png", "good.png"]
    done = run("predict", demo.bundle, *names, status=1)
    assert done.stdout.startswith("good.png: 7")
    errors = done.stderr.splitlines()
    assert len(errors) == 5
    for name, line in zip(names, errors, strict=False):
        assert line.startswith("error: ")
        assert name in line


def test_inspect_verify_bench_and_doctor(run, demo):
    shown = run("inspect", demo.bundle).stdout
    for part in ("digits 1.0.0", "decode", "tflite-int8", "calibrated on", "8 golden inputs", "made from"):
        assert part in shown
    assert json.loads(run("inspect", "--json", demo.bundle).stdout)["name"] == "digits"
    assert run("inspect", "--report", demo.bundle).stdout.startswith("# digits")
    verified = run("verify", demo.bundle)
    assert verified.stdout.count("  ok  ") == 6
    assert verified.stderr == ""
    rows = json.loads(run("bench", "--json", "--seconds", "0.1", demo.bundle).stdout)["rows"]
    assert len(rows) == 4
    for row in rows:
        assert 0 < row["p50_us"] <= row["p90_us"] <= row["p99_us"]
        assert row["load_ms"] > 0
        assert row["memory_bytes"] > 0
    assert "p50 us" in run("bench", "--seconds", "0.1", demo.bundle).stdout
    assert json.loads(run("doctor", "--json").stdout)["engines"][0]["usable"]
    assert "complete" in run("doctor").stdout


@pytest.mark.parametrize(
    "how", ["cut in half", "two blobs swapped", "a path that climbs out", "an unknown version"]
)
@pytest.mark.parametrize("command", ["inspect", "verify", "predict", "bench"])
def test_a_damaged_bundle_ends_in_one_line(run, tmp_path, how, command):
    assert how in DAMAGES
    damage(write_sample_bundle(tmp_path / "sample.eib"), how, tmp_path / "broken.eib")
    files = [drawn_seven(tmp_path / "seven.png")] if command == "predict" else []
    # What a command does not read it cannot notice: inspect and predict read no blob of another variant.
    silent = how == "two blobs swapped" and command == "inspect"
    done = run(command, "broken.eib", *files, status=0 if silent else 1)
    if not silent:
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("error: ")


def test_a_variant_that_answers_wrongly_here_fails_verify(run, demo, tmp_path):
    """Golden outputs that this machine's engines do not reproduce."""
    from dataclasses import replace

    from edgeinfer.bundle import BlobSet, TensorBlob, open_bundle, write_bundle

    blobs = BlobSet()
    with open_bundle(demo.bundle) as bundle:
        for blob in bundle.manifest.blobs().values():
            blobs.add(bundle.read(blob))
        first = bundle.manifest.variants[0]
        wrong = TensorBlob(blobs.add(np.zeros((8, 10), "<f4").tobytes()), "float32", (8, 10))
        variants = (replace(first, golden_outputs={"logits": wrong}), *bundle.manifest.variants[1:])
        write_bundle(tmp_path / "wrong.eib", replace(bundle.manifest, variants=variants), blobs)
    done = run("verify", "wrong.eib", status=1)
    assert "tflite-int8    FAIL" in done.stdout
    assert done.stderr.startswith("error: wrong.eib failed 1 check")
    drawn_seven(tmp_path / "seven.png")
    answered = run("predict", "wrong.eib", "seven.png").stdout
    assert "[tflite-int8, " not in answered, "another variant answers"
    assert re.search(r": 7 .*\[(onnx-int8|tflite-fp32|onnx-fp32), ", answered)


def test_a_variant_without_golden_outputs_is_not_said_to_be_compared(run, demo, tmp_path):
    from dataclasses import replace

    from edgeinfer.bundle import BlobSet, open_bundle, write_bundle

    blobs = BlobSet()
    with open_bundle(demo.bundle) as bundle:
        for blob in bundle.manifest.blobs().values():
            blobs.add(bundle.read(blob))
        first, *others = bundle.manifest.variants
        bare = replace(bundle.manifest, variants=(replace(first, golden_outputs={}), *others))
        write_bundle(tmp_path / "bare.eib", bare, blobs)
    shown = run("verify", "bare.eib").stdout
    assert shown.count("loads; it has no golden outputs") == 1
    assert shown.count(": 8 golden inputs") == 3


def test_verify_of_what_nothing_here_can_run_fails(run, tmp_path):
    write_sample_bundle(tmp_path / "sample.eib")
    done = run("verify", "sample.eib", status=1)
    assert done.stdout.count("  skip  ") == 2
    assert "no variant of sample.eib could be tried here" in done.stderr


def test_an_engine_or_variant_that_is_not_there_is_one_line(run, demo, tmp_path):
    drawn_seven(tmp_path / "seven.png")
    for option, value in (("--engine", "tpu"), ("--variant", "int2")):
        done = run("predict", option, value, demo.bundle, "seven.png", status=1)
        assert done.stderr.count("\n") == 1
        assert "expected" in done.stderr


def test_a_reader_that_hangs_up_is_no_error(edgeinfer_command, demo, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for at in range(30):
        drawn_seven(folder / f"{at}.png")
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(
            [edgeinfer_command, "predict", demo.bundle, folder],
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
    assert done.stderr == b""
    assert done.returncode == 1, "as click has it"


@pytest.mark.parametrize("redirect", ["> /dev/full", ">&-", "2>&-", "<&-"])
@pytest.mark.parametrize("command", ["predict {bundle} {picture}", "inspect {bundle}", "predict {bundle} -"])
def test_streams_that_are_full_or_closed_end_in_one_line(edgeinfer_command, demo, redirect, command):
    filled = command.format(bundle=demo.bundle, picture=demo.bundle.with_name("seven.png"))
    shell = f"{edgeinfer_command} {filled} {redirect}"
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, timeout=120, check=False, stdin=subprocess.DEVNULL
    )
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1
    if "full" in redirect and "-" not in command.split():
        assert done.returncode == 1
        assert b"No space left on device" in done.stderr


def test_file_names_and_arrays_of_any_kind(run, demo, tmp_path):
    picture = drawn_seven(tmp_path / "seven.png").read_bytes()
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / os.fsdecode(b"\xff.png")).write_bytes(picture)
    (odd / "zip.npz").write_bytes(b"PK\x03\x04garbage")
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,), }"
    (odd / "huge.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    done = run("predict", demo.bundle, "odd", status=1)
    assert done.stdout.startswith("odd/\\udcff.png: 7  ")
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize("path", ["pipe", "/dev/zero", "", "empty"])
def test_what_is_no_file_is_told_at_once_and_the_rest_goes_on(run, demo, tmp_path, path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    drawn_seven(tmp_path / "seven.png")
    done = run("predict", demo.bundle, path, "seven.png", status=1)
    assert done.stdout.startswith("seven.png: 7")
    assert len(done.stderr.splitlines()) == 1


def test_a_picture_that_native_readers_complain_about_is_one_line(run, demo, tmp_path):
    image = Image.fromarray(np.arange(40_000, dtype=np.uint8).reshape(200, 200))
    image.save(tmp_path / "whole.tif", compression="tiff_adobe_deflate")
    data = bytearray((tmp_path / "whole.tif").read_bytes())
    data[20:60] = bytes(40)
    (tmp_path / "broken.tif").write_bytes(data)
    done = run("predict", demo.bundle, "broken.tif", status=1)
    assert len(done.stderr.splitlines()) == 1


def test_a_fault_of_ours_is_one_line_and_can_be_looked_into():
    code = """
import sys
from edgeinfer.cli import main
main.cli.callback = lambda: 1 / 0
sys.argv = ["edgeinfer", "doctor"]
main.main()
"""
    for shown in ("", "1"):
        environment = {**os.environ, "EDGEINFER_TRACEBACK": shown}
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment,
        )
        assert done.returncode == 1
        assert ("Traceback" in done.stderr) == bool(shown)
        assert "ZeroDivisionError" in done.stderr


def test_bench_is_not_confused_by_files_beside_it_or_odd_numbers(run, demo, tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('not the module you want')")
    assert len(json.loads(run("bench", "--json", "--seconds", "0.1", demo.bundle).stdout)["rows"]) == 4
    assert "nan is no time" in run("bench", "--seconds", "nan", demo.bundle, status=2).stderr


def test_converting_without_its_packages_says_how_to_get_them(tmp_path):
    code = """
import sys
from importlib import metadata
real = metadata.version
def version(name):
    if name in ("torch", "litert-torch"):
        raise metadata.PackageNotFoundError(name)
    return real(name)
metadata.version = version
sys.argv = ["edgeinfer", "convert", "recipe.toml"]
from edgeinfer.cli.main import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert "no litert-torch, torch; pip install 'edgeinfer[convert]'" in done.stderr
