"""Serve a teacher in the cloud's place: KServe's Python server, MLServer or Triton, each in an environment of its own.

    python sample_apps/cloud_endpoint/serve.py triton teacher.onnx --name resnet9 --port 8431

The first start of each makes the environment under `build/servers` (about 500 MB and half a minute). The server
listens on this machine alone and speaks the Open Inference Protocol; end it with Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = Path("build/servers")


@dataclass(frozen=True)
class Server:
    """A server that is not ours.

    Attributes:
        script: The program that hands it an ONNX file.
        packages: What its environment holds.
        python: The interpreter that the environment is made with.
    """

    script: str
    packages: tuple[str, ...]
    python: Path


_THIS = Path(sys.executable)
# Triton's Python backend links against the system's interpreter.
_DEBIAN = Path("/usr/bin/python3.11")
_ENGINE = "onnxruntime>=1.20,<2"
SERVERS = {
    "kserve": Server("kserve_server.py", ("kserve==0.21.*", _ENGINE), _THIS),
    "mlserver": Server("mlserver_server.py", ("mlserver==1.7.*", _ENGINE), _THIS),
    "triton": Server("triton_server.py", ("nvidia-pytriton==0.7.*", _ENGINE), _DEBIAN),
}


class Unavailable(Exception):  # noqa: N818 - the state is the error
    """A server cannot be installed here; the text says why."""


def environment(name: str, folder: Path = FOLDER) -> Path:
    """Return the interpreter of a server's environment, made if need be.

    Raises:
        Unavailable: It cannot be made here.
    """
    server, place = SERVERS[name], folder.absolute() / name
    binary, marker = place / "bin/python", place / "packages"
    wanted = "\n".join(server.packages)
    if marker.exists() and marker.read_text() == wanted:
        return binary
    if not server.python.exists():
        raise Unavailable(f"{name} needs {server.python}, which is not there")
    place.parent.mkdir(parents=True, exist_ok=True)
    commands: list[list[str | Path]] = [
        [server.python, "-m", "venv", "--clear", place],
        # Compiling all modules takes as long as fetching them, and a server imports few.
        [binary, "-m", "pip", "install", "--quiet", "--no-compile", *server.packages],
    ]
    for command in commands:
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=500)
        except (subprocess.SubprocessError, OSError) as error:
            told = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
            raise Unavailable(f"{name} cannot be installed here: {told[-1] if told else error}") from error
    marker.write_text(wanted)
    return binary


def command(name: str, model: Path, *, port: int, served_as: str) -> list[str]:
    """Return what starts a server, its environment made if need be.

    Raises:
        Unavailable: Its environment cannot be made here.
    """
    return [
        str(environment(name)),
        str(HERE / SERVERS[name].script),
        str(model.absolute()),
        served_as,
        str(port),
    ]


def main() -> None:
    """Become the server."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server", choices=sorted(SERVERS))
    parser.add_argument("model", type=Path, help="an ONNX file")
    parser.add_argument("--name", default="teacher", help="the model's name there (default: teacher)")
    parser.add_argument("--port", type=int, default=8431, help="on 127.0.0.1 (default: 8431)")
    given = parser.parse_args()
    if not given.model.is_file():
        sys.exit(f"error: {given.model} is no file: hand in an ONNX model")
    print(f"{given.server}: http://127.0.0.1:{given.port}/v2/models/{given.name}", flush=True)
    try:
        line = command(given.server, given.model, port=given.port, served_as=given.name)
    except Unavailable as error:
        sys.exit(f"error: {error}")
    os.execv(line[0], line)


if __name__ == "__main__":
    main()
