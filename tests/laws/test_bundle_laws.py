"""What holds for every bundle, whatever is in it and wherever it is hurt."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeinfer.bundle import (
    Blob,
    BlobSet,
    Calibration,
    Cloud,
    CloudInput,
    CloudOutput,
    Crop,
    Document,
    Downscale,
    DriftReference,
    Feature,
    InputStatistic,
    Latency,
    Lineage,
    Manifest,
    Output,
    PredictedClass,
    Projection,
    Proportion,
    SendOutput,
    SendPicture,
    SendTensor,
    Softmax,
    StripMetadata,
    TopConfidence,
    TopK,
    encode,
    manifest_bytes,
    open_bundle,
    parse_manifest,
    write_bundle,
)
from edgeinfer.bundle.schema import manifest_schema
from edgeinfer.errors import BundleError, ManifestError
from edgeinfer.testing import sample_detector, sample_manifest, write_sample_bundle

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
SHARES = st.floats(0, 1)
COUNTS = st.integers(0, 2**53 - 1)
DIGESTS = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
PROPORTIONS = st.builds(
    Proportion, SHARES, SHARES, SHARES, COUNTS, st.sampled_from(["train", "validation", "test"])
)
OUTPUTS = st.builds(
    lambda name, labels, temperature, k: Output(
        name, "float32", ("batch", len(labels)), tuple(labels), (Softmax(temperature), TopK(k))
    ),
    TEXT,
    st.lists(TEXT, min_size=1, max_size=5),
    st.floats(1e-3, 1e3),
    st.integers(1, 9),
)
VALIDATOR = jsonschema.Draft202012Validator(manifest_schema())


@st.composite
def references(draw: st.DrawFn, output: Output, variant: str) -> DriftReference:
    """A valid drift reference with arbitrary bins, counts and direction."""
    classes, features = len(output.labels), []
    for at, measure in enumerate([InputStatistic("image", "sharpness"), TopConfidence()]):
        edges = draw(st.lists(st.floats(-1e29, 1e29), min_size=1, max_size=9, unique=True))
        counts = draw(st.lists(st.integers(0, 99), min_size=len(edges) + 1, max_size=len(edges) + 1))
        counts[0] += 1000 - sum(counts)
        features.append(Feature(f"f{at}", measure, tuple(counts), tuple(sorted(edges))))
    direction = tuple(draw(st.lists(st.floats(-9, 9), min_size=classes, max_size=classes)))
    features.append(Feature("p", Projection(output.name, direction), (1000, 0), (0.0,)))
    if classes > 1:
        features.append(Feature("c", PredictedClass(), (1000, 0), groups=(0, *[1] * (classes - 1))))
    return DriftReference("validation", 1000, variant, tuple(features))


@st.composite
def clouds(draw: st.DrawFn, output: Output) -> Cloud:
    """A valid way to the cloud, its classes in any order."""
    unique = len(set(output.labels)) == len(output.labels)
    labels = tuple(draw(st.permutations(output.labels))) if unique and draw(st.booleans()) else None
    printable = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=9)
    send = draw(st.sampled_from([SendTensor(), SendOutput(output.name), SendPicture("png", 7)]))
    datatype = "BYTES" if isinstance(send, SendPicture) else draw(st.sampled_from(["FP32", "BF16", "UINT8"]))
    left, right = sorted(draw(st.lists(SHARES, min_size=2, max_size=2, unique=True)))
    crop = st.just(Crop(left, left, right, right))
    # What the model here makes of a whole picture is not sent where something is to be taken from it.
    some = crop | st.builds(Downscale, st.integers(1, 9999)) | st.builds(StripMetadata)
    taken = st.builds(StripMetadata) if isinstance(send, SendOutput) else some
    reduce = draw(st.lists(taken, max_size=3))
    return Cloud(
        draw(printable),
        {"image": CloudInput(draw(printable), datatype, None, send)},
        {output.name: CloudOutput(draw(printable), labels, draw(st.floats(1e-3, 1e3)))},
        tuple(reduce),
    )


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """A valid manifest: the sample with arbitrary values in its free fields."""
    base = sample_manifest(BlobSet())
    first = draw(OUTPUTS)
    variants = tuple(
        replace(
            each,
            id=name,
            outputs={first.name: replace(next(iter(each.outputs.values())), shape=first.shape)},
            golden_outputs={},
            accuracy=draw(st.none() | PROPORTIONS),
            latency=draw(st.none() | st.builds(Latency, st.floats(0, 1e9), TEXT, st.integers(1, 64), TEXT)),
            memory_bytes=draw(st.none() | COUNTS),
            isa=tuple(draw(st.lists(TEXT, max_size=2))),
        )
        for each, name in zip(
            base.variants, draw(st.lists(NAMES, min_size=2, max_size=2, unique=True)), strict=True
        )
    )
    documents = draw(
        st.dictionaries(NAMES, st.builds(Document, st.builds(Blob, DIGESTS, COUNTS), TEXT), max_size=2)
    )
    calibration = draw(
        st.none()
        | st.builds(
            Calibration, st.just("temperature"), st.just("validation"), COUNTS, *[st.floats(0, 99)] * 4
        )
    )
    cascade = replace(base.cascade, variant=variants[1].id, rule=draw(TEXT))
    return replace(
        base,
        name=draw(NAMES),
        version=draw(TEXT),
        licence=draw(TEXT),
        outputs=(first,),
        variants=variants,
        calibration=calibration,
        drift=draw(st.none() | references(first, variants[0].id)),
        confusion=None,
        cascade=draw(st.none() | st.just(cascade)) if calibration else None,
        cloud=draw(st.none() | clouds(first)),
        lineage=draw(
            st.none()
            | st.builds(
                Lineage,
                DIGESTS,
                DIGESTS,
                st.dictionaries(TEXT, COUNTS, max_size=3),
                DIGESTS,
                st.integers(-(2**53) + 1, 2**53 - 1),
                st.dictionaries(TEXT, TEXT, max_size=3),
            )
        ),
        documents=documents
        if len({each.blob.sha256 for each in documents.values()}) == len(documents)
        else {},
    )


@given(manifests())
def test_a_manifest_round_trips_and_fits_the_schema(manifest):
    data = manifest_bytes(manifest)
    assert parse_manifest(data) == manifest
    assert manifest_bytes(parse_manifest(data)) == data
    VALIDATOR.validate(json.loads(data))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> bytes:
    return write_sample_bundle(tmp_path_factory.mktemp("law") / "b.eib").read_bytes()


def test_any_truncation_raises_a_bundle_error_and_nothing_else(data, tmp_path):
    path = tmp_path / "b.eib"
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(BundleError), open_bundle(path) as bundle:
            bundle.verify()


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_changed_bytes_raise_a_bundle_error_or_change_nothing_that_is_read(data, draws):
    changed = bytearray(data)
    for _ in range(draws.draw(st.integers(1, 3))):
        at = draws.draw(st.integers(0, len(data) - 1))
        changed[at] = draws.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "b.eib"
        path.write_bytes(data)
        with open_bundle(path) as bundle:
            manifest = bundle.manifest
            content = {sha256: bundle.read(blob) for sha256, blob in manifest.blobs().items()}
        path.write_bytes(changed)
        try:
            with open_bundle(path) as bundle:
                bundle.verify()
                for sha256, blob in bundle.manifest.blobs().items():
                    assert bundle.read(blob) == content[sha256]
        except BundleError:
            return


# What a generator of small values does not think of.
EXTREMES = st.sampled_from(
    [
        10**400,
        -(10**400),
        2**63,
        2**53,
        -1,
        0,
        1e308,
        5e-324,
        "\ud800",
        "\x1b[2J",
        "9" * 5000,
        "a\0b",
        "../x",
        "",
    ]
)
JSON = st.recursive(
    EXTREMES | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Every place in a JSON value, by keys and indices."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


WHOLES = [
    encode(whole)
    for whole in (
        sample_manifest(BlobSet()),
        sample_detector(BlobSet()),
        sample_detector(BlobSet(), ssd=True),
    )
]
PLACES = [(whole, place) for whole in WHOLES for place in places(whole)]


@settings(max_examples=500)
@given(st.sampled_from(PLACES), JSON)
def test_any_value_anywhere_in_a_manifest_is_refused_or_fits_the_schema(place, value):
    whole, path = place
    changed = json.loads(json.dumps(whole))
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    try:
        parse_manifest(json.dumps(changed).encode())
    except ManifestError:
        return
    assert VALIDATOR.is_valid(changed), "what is read must fit the schema that other languages read"


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=6))
def test_any_content_comes_back(contents):
    blobs = BlobSet()
    documents = {f"d{at}": Document(blobs.add(data), "x/y") for at, data in enumerate(contents)}
    manifest = replace(sample_manifest(blobs), documents=documents)
    with tempfile.TemporaryDirectory() as folder:
        for form in ("file", "folder"):
            write_bundle(Path(folder) / form, manifest, blobs, form=form)
            with open_bundle(Path(folder) / form) as bundle:
                read = [bundle.read(documents[f"d{at}"].blob) for at in range(len(contents))]
            assert read == contents
