"""`edgeinfer verify`: every digest, and every variant against its golden outputs, on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from edgeinfer.bundle import Bundle, open_bundle
from edgeinfer.cli.quiet import quiet_engines
from edgeinfer.errors import EdgeInferError, NoVariantError, SelfTestError
from edgeinfer.inference import can_preprocess, run_golden_sources, self_test_variants


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
def verify(bundle: Path) -> None:
    """Check every digest of BUNDLE, its preprocessing, and every variant that can run here.

    Fails if anything that can be checked here is wrong, or if no variant at all could be tried; one that
    no installed engine runs is reported and does not fail.
    """
    with open_bundle(bundle) as opened:
        count = opened.verify()
        click.echo(f"digests        ok    {count} blobs, bundle {opened.digest[:16]}")
        failed = _check_preprocessing(opened)
        failed += _check_variants(opened)
    if failed:
        raise SelfTestError(
            f"{bundle} failed {failed} checks on this machine", next_step="see the lines above"
        )


def _check_preprocessing(opened: Bundle) -> int:
    if not can_preprocess(opened):
        click.echo("preprocessing  skip  pictures need Pillow: pip install 'edgeinfer[image]'")
        return 0
    try:
        count = run_golden_sources(opened)
    except EdgeInferError as error:
        click.echo(f"preprocessing  FAIL  {error}")
        return 1
    click.echo(f"preprocessing  ok    {count} golden sources")
    return 0


def _check_variants(opened: Bundle) -> int:
    failed = 0
    with quiet_engines():
        results = list(self_test_variants(opened))
    for result in results:
        state = "FAIL" if result.failed else "skip" if result.skipped else "ok"
        compared = f"{result.cases} golden inputs" if result.cases else "loads; it has no golden outputs"
        text = result.failed or result.skipped or compared
        click.echo(f"{result.variant:<13}  {state:<4}  {result.runtime or result.engine}: {text}")
        failed += result.failed is not None
    if all(result.skipped for result in results):
        raise NoVariantError(
            f"no variant of {opened.path} could be tried here",
            next_step="`edgeinfer doctor` shows what is installed and how to get the rest",
        )
    return failed
