"""Reads one flag in turns: ours, and by OpenFeature's client with flagd's provider. Needs an environment with both.

Usage: python flags_side.py DOCUMENT CONTEXT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext

import edgeinfer as ei
from device_tests.benchmarks.compare import in_turns


def main() -> None:
    """Print microseconds of both, by block."""
    path, context = Path(sys.argv[1]), json.loads(sys.argv[2])
    flag = ei.Flag("flag-3", default=False)
    ours = ei.Flags(context, bundled=path.read_bytes())
    key = context.pop("targetingKey")
    api.set_provider_and_wait(
        FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=str(path))
    )
    client, theirs = api.get_client(), EvaluationContext(key, context)
    assert ours.value(flag) is client.get_boolean_value("flag-3", False, theirs)
    pairs = in_turns(
        lambda: ours.value(flag), lambda: client.get_boolean_value("flag-3", False, theirs), 40, 500
    )
    print(json.dumps(pairs), flush=True)
    api.shutdown()


if __name__ == "__main__":
    main()
