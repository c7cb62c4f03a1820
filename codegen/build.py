"""Compile a firmware folder for the host: into a cache keyed by everything that decides the result."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from firmware_templates import HOST, HOST_PROGRAMS
from sim.errors import UserError
from sim.output_files import whole_file

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror")
LIBRARY_FLAGS = ("-O3", "-fPIC", "-shared")
SANITIZED_FLAGS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def host_library(folder: Path, output: Path | None = None, extra_sources: Sequence[Path] = ()) -> Path:
    """Compile firmware, controller and the host's own C (`firmware_templates/host/`) into one shared library.

    Args:
        folder: a firmware folder.
        output: where to write the library; None for the cache.
        extra_sources: C files to add; their folders are searched for headers.

    Returns:
        The library's path.

    Raises:
        UserError: there is no C compiler, or it refuses the sources.
    """
    return _compile([*_firmware_sources(folder), *extra_sources], folder, LIBRARY_FLAGS, "libouro.so", output)


def sanitized_program(folder: Path, name: str) -> Path:
    """Compile one of `firmware_templates/host/programs/` with the firmware under address and UB sanitizers.

    Raises:
        UserError: as `host_library`.
    """
    sources = [*_firmware_sources(folder), HOST_PROGRAMS / f"{name}.c"]
    return _compile(sources, folder, SANITIZED_FLAGS, name, None)


@cache
def find_compiler() -> tuple[str, ...]:
    """The C compiler's command: `$CC`, else the first of cc, gcc and clang.

    Raises:
        UserError: there is none.
    """
    chosen = shlex.split(os.environ.get("CC", ""))
    for command in (chosen,) if chosen else (["cc"], ["gcc"], ["clang"]):
        if shutil.which(command[0]):
            return tuple(command)
    if chosen:
        raise UserError(f"the C compiler named by CC is not there: {chosen[0]}")
    raise UserError(
        "no C compiler (cc, gcc or clang): install one, on Debian and Ubuntu with 'apt install gcc'"
    )


def _firmware_sources(folder: Path) -> list[Path]:
    sources = sorted((folder / "src").glob("*.c"))
    if not sources:
        raise UserError(f"{folder} is not a firmware folder: it has no src/*.c")
    return [*sources, *sorted(HOST.glob("*.c"))]


def _compile(
    sources: Sequence[Path], folder: Path, flags: Sequence[str], name: str, output: Path | None
) -> Path:
    include = list(dict.fromkeys([folder / "src", HOST, *(source.parent for source in sources)]))
    # By name alone: the key must not depend on where the folders lie.
    headers = sorted((h for path in include for h in path.glob("*.h")), key=lambda header: header.name)
    command = [*find_compiler(), "-std=c11", *WARNINGS, *flags]
    key = _key(command, [*sources, *headers])
    cached = _cache_folder() / key / name
    if not cached.exists():
        cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cached.parent) as temporary:
            built = Path(temporary) / name
            _run([*command, *(f"-I{path}" for path in include), *map(str, sources), "-o", str(built)])
            built.replace(cached)
    if output is None:
        return cached
    with whole_file(output) as temporary:
        shutil.copyfile(cached, temporary)
    return output


def _key(command: Sequence[str], inputs: Sequence[Path]) -> str:
    """Hash of compiler, flags and the contents of all sources and headers, wherever they lie."""
    digest = hashlib.sha256("\0".join([_compiler_version(), *command]).encode())
    for path in inputs:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:32]


@cache
def _compiler_version() -> str:
    return subprocess.run([*find_compiler(), "--version"], capture_output=True, text=True, check=False).stdout


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ouroboros" / "host"


def _run(arguments: Sequence[str]) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        complaints = [
            line for line in done.stderr.splitlines() if "error" in line
        ] or done.stderr.splitlines()
        complaint = complaints[0].strip() if complaints else f"exit status {done.returncode}"
        raise UserError(f"the C compiler refused the firmware: {complaint}")
