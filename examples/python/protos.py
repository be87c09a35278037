"""Makes Python modules from the .proto files of this repository.

`import protos` comes before the first import of such a module: it writes them to a directory that
lives as long as the program, and puts it on the path. A project of your own would rather run protoc
when it is built, with the same include paths.
"""

import sys
import tempfile
from pathlib import Path

from grpc_tools import command, protoc

_ROOT = Path(__file__).resolve().parents[2]
_INCLUDES = [_ROOT / "proto", _ROOT / "sdk/proto", _ROOT / "codegen/protos"]

# Held here, because the directory goes when this does.
_generated = tempfile.TemporaryDirectory(prefix="subwire-python-")


def _generate(out: str) -> None:
    well_known = Path(command.__file__).parent / "_proto"
    arguments = ["protoc", f"--python_out={out}"]
    arguments += [f"-I{include}" for include in [*_INCLUDES, well_known]]
    for include in _INCLUDES:
        arguments += sorted(
            str(path.relative_to(include)) for path in include.rglob("*.proto")
        )
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc refused the .proto files; its reasons are above")


_generate(_generated.name)
sys.path.insert(0, _generated.name)
