"""Mutated sessions to the compiled protocol parser, controller and predictor under sanitizers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from codegen.build import sanitized_program
from codegen.firmware import load_firmware
from sim.errors import UserError

LINES_PER_SESSION = 50_000


@dataclass(frozen=True)
class Fuzzed:
    """Counts of a run: lines sent, findings, and what they reached, that is, replies, pulses and lines with a CRC."""

    executions: int
    findings: int
    replies: int
    pulses: int
    secured: int


def fuzz(
    folder: Path,
    executions: int,
    seed: int,
    jobs: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Fuzzed:
    """Send `executions` lines in sessions of their own seeds, so that `jobs` does not change a thing.

    Raises:
        UserError: a sanitizer stopped a session, or the rules of safety were broken; the message holds the first place.
    """
    load_firmware(folder)
    program = sanitized_program(folder, "scpi_fuzz")
    starts = range(0, executions, LINES_PER_SESSION)
    sessions = [(min(LINES_PER_SESSION, executions - at), seed + k) for k, at in enumerate(starts)]

    def run(session: tuple[int, int]) -> list[int]:
        done = subprocess.run([program, *map(str, session)], capture_output=True, text=True, check=False)
        if done.returncode != 0 or done.stderr:
            complaints = [
                line for line in done.stderr.splitlines() if "rror" in line or line.startswith("seed")
            ]
            reason = complaints[0].strip() if complaints else f"exit status {done.returncode}"
            raise UserError(f"{folder}: lines {session[0]}, seed {session[1]}: {reason}; please report this")
        progress(session[0])
        return [int(count) for count in done.stdout.split()]

    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        counts = list(pool.map(run, sessions))
    return Fuzzed(*map(sum, zip(*counts, strict=True)))
