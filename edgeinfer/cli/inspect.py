"""`edgeinfer inspect`: what a bundle says about itself."""

from __future__ import annotations

from pathlib import Path

import click

from edgeinfer.bundle import (
    Bundle,
    Manifest,
    PostprocessStep,
    PreprocessStep,
    SsdBoxes,
    Variant,
    encode,
    open_bundle,
)
from edgeinfer.cli.evidence import evidence_lines, share
from edgeinfer.cli.table import table


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as it is stored.")
@click.option("--report", is_flag=True, help="Print the report that travels with the bundle.")
@click.option("--card", is_flag=True, help="Print the model card: purpose, data, figures, limits.")
def inspect(bundle: Path, as_json: bool, report: bool, card: bool) -> None:
    """Show what BUNDLE holds: inputs, outputs, variants with their measurements, and lineage."""
    with open_bundle(bundle) as opened:
        if as_json:
            click.echo(opened.manifest_bytes.decode(), nl=False)
        elif report or card:
            _show_document(opened, "report.md" if report else "model-card.md")
        else:
            click.echo(_summary(opened))


def _show_document(opened: Bundle, name: str) -> None:
    documents = opened.manifest.documents
    if name not in documents:
        raise click.ClickException(
            f"{opened.path} holds no {name}; its documents: {', '.join(documents) or 'none'}"
        )
    click.echo(opened.read(documents[name].blob).decode(errors="replace"), nl=False)


def _summary(opened: Bundle) -> str:
    manifest = opened.manifest
    parts = [
        f"{manifest.name} {manifest.version}  ({manifest.task}, {manifest.licence})",
        f"digest {opened.digest}",
        manifest.intended_use,
        "",
        *_inputs(manifest),
        *_outputs(manifest),
        "",
        _variants(manifest),
    ]
    if manifest.calibration:
        evidence = manifest.calibration
        parts += [
            "",
            f"confidence  calibrated on {evidence.n} {evidence.split} items: expected error "
            f"{evidence.ece_before:.3f} before, {evidence.ece_after:.3f} after",
        ]
    parts += evidence_lines(opened)
    if manifest.golden:
        cases = next(iter(manifest.golden.inputs.values())).shape[0]
        parts += ["", f"self-test   {cases} golden inputs ({manifest.golden.origin})"]
    if manifest.lineage:
        made = manifest.lineage
        splits = ", ".join(f"{count} {split}" for split, count in made.splits.items())
        parts += [
            "",
            f"made from   teacher {made.teacher_sha256[:12]}, recipe {made.recipe_sha256[:12]}, seed {made.seed}, "
            f"data {made.data_sha256[:12]} ({splits})",
        ]
    return "\n".join(parts)


def _inputs(manifest: Manifest) -> list[str]:
    lines = []
    for each in manifest.inputs:
        lines.append(f"input       {each.name}: {each.dtype} {_axes(each.shape)}")
        lines += [f"            {_step(step)}" for step in each.preprocess]
    return lines


def _outputs(manifest: Manifest) -> list[str]:
    lines = []
    for each in manifest.outputs:
        lines.append(f"output      {each.name}: {each.dtype} {_axes(each.shape)}")
        if each.labels:
            shown = ", ".join(each.labels[:12]) + (" ..." if len(each.labels) > 12 else "")
            lines.append(f"            labels {shown}")
        lines += [f"            {_step(step)}" for step in each.postprocess]
    return lines


def _axes(shape: tuple[int | str, ...]) -> str:
    return "(" + ", ".join(str(axis) for axis in shape) + ")"


def _step(step: PreprocessStep | PostprocessStep) -> str:
    fields = encode(step)
    if isinstance(step, SsdBoxes):
        shapes = (f"{each.rows} x {each.columns} x {len(each.sizes)}" for each in step.levels)
        fields["levels"] = " + ".join(shapes)
    return f"{fields.pop('op'):<10} " + ", ".join(f"{key} {value}" for key, value in fields.items())


def _variants(manifest: Manifest) -> str:
    rows = [
        [
            each.id,
            f"{each.blob.size:,}",
            share(each.accuracy),
            share(each.agreement),
            f"{each.latency.p50_us:.0f} us" if each.latency else "-",
            _needs(each),
        ]
        for each in manifest.variants
    ]
    header = ["variant", "bytes", "accuracy (95% CI)", "agreement", "one run", "needs any of"]
    return table(header, rows, right=(1, 4))


def _needs(variant: Variant) -> str:
    return ", ".join(f"{package} >= {version}" for package, version in variant.requires.items())
