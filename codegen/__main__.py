"""`python -m codegen VERB`: from a network file to verified C."""

from __future__ import annotations

import os

# Matrices here are small: more than one BLAS thread each makes them several times slower. The work is spread over
# threads by whole blocks instead. Has to be said before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from pathlib import Path

import click

from codegen.arc2_verb import arctwo
from codegen.bench_verb import bench
from codegen.boards import load_board
from codegen.build import host_library
from codegen.cosim_verbs import cosim, demo
from codegen.eva import eva
from codegen.faults_verb import faults
from codegen.firmware import load_firmware, make_firmware, manifest_sha256
from codegen.flash_verb import flash
from codegen.fuzz import fuzz as fuzz_protocol
from codegen.host import HostLibrary
from codegen.instrument_verbs import instrument
from codegen.misra import misra
from codegen.pairs_csv import format_pulses, read_pairs
from codegen.predictions import require_known_error
from codegen.profile_option import profile_option, report_measuring
from codegen.profiles import Profile
from codegen.profiles_verb import profiles
from codegen.size_verb import size
from codegen.target_verbs import boards, elf, emulate
from codegen.verify import verify_codes, verify_random, verify_sanitized
from codegen.widths import SEED, TRIALS, WidthSearch
from codegen.wish_option import wish_option
from sim.command_line import jobs_option, progress_bar, recordings_options, run
from sim.counter_rng import SEED_HIGHEST
from sim.noise import load_preset
from sim.output_files import write_json, write_text
from sim.replay import recorded_or

Input = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def main() -> None:
    """Turn trained networks into verified fixed-point C."""


@main.command()
@click.argument("model", type=Input)
@click.option("--board", "board_name", required=True, help="Board name; 'codegen boards' lists them.")
@click.option("-o", "--output", type=Input, required=True, help="Folder to write, whole or not at all.")
@click.option(
    "--calibration", type=Input, help="Data set to calibrate on  [default: a grid over the window]."
)
@click.option("--results", type=Input, help="Records of 'codegen cosim': the README states MODEL's accuracy.")
@click.option("--force", is_flag=True, help="Replace the folder whatever it holds.")
@profile_option
@click.option("--noise", help="Of the devices on which 'size' measures  [what MODEL was trained on].")
@recordings_options
@click.option(
    "--trials", type=click.IntRange(min=1), default=TRIALS, help="Devices on which 'size' measures."
)
@click.option("--seed", type=click.IntRange(0, SEED_HIGHEST), default=SEED, help="Of these devices.")
@jobs_option
def firmware(
    model: Path,
    board_name: str,
    output: Path,
    calibration: Path | None,
    results: Path | None,
    force: bool,
    profile: Profile,
    noise: str | None,
    recordings: Path | None,
    window_S: tuple[float, float] | None,
    trials: int,
    seed: int,
    jobs: int | None,
) -> None:
    """Quantise MODEL (ONNX) and write a library: C sources, build files, README, examples, integer model."""
    search = WidthSearch(
        recorded_or(load_preset(noise) if noise else None, recordings, window_S), trials, seed, jobs
    )
    made = make_firmware(
        model, load_board(board_name), output, calibration, force, results, profile, search, report_measuring
    )
    bits = ", ".join(map(str, made.model.weight_bits))
    weights = f"weights of {bits} bits, " if bits else ""
    click.echo(
        f"{output}: {made.model.topology} for board {board_name}, profile {profile}, {weights}"
        f"{made.table_bytes} bytes of tables, output "
        f"within {made.report['output_rms_error_of_full_scale']:.1e} rms and "
        f"{made.report['output_max_error_of_full_scale']:.1e} at most of the float network's full scale"
    )


@main.command()
@click.argument("folder", type=Input)
@click.option("-o", "--output", type=Input, required=True, help="Shared library to write.")
def host(folder: Path, output: Path) -> None:
    """Compile the firmware in FOLDER, controller included, as a library for this machine."""
    load_firmware(folder)
    host_library(folder, output)
    click.echo(f"{output}: host library of {folder}")


@main.command()
@click.argument("folder", type=Input)
@click.argument("pairs", type=Input)
@click.option("--longest", "longest_s", type=float, help="Longest pulse, s [the timer's].")
@wish_option
@click.option(
    "-o", "--output", type=Input, required=True, help="CSV to write: ticks,direction[,v_uV][,promised]."
)
def predict(folder: Path, pairs: Path, longest_s: float | None, wish_permille: int, output: Path) -> None:
    """Run the C in FOLDER, compiled for this machine, on PAIRS (CSV: g_start_nS,g_target_nS)."""
    firmware = load_firmware(folder)
    model, board = firmware.model, firmware.board
    g_start_nS, g_target_nS = read_pairs(pairs, model.g_min_nS, model.g_max_nS)
    require_known_error(wish_permille, model.outputs, folder)
    library = HostLibrary(folder, budget_ticks=board.budget_ticks(longest_s), wish_permille=wish_permille)
    found = library.predict_batch(g_start_nS, g_target_nS)
    write_text(output, format_pulses(found, model.voltages.greatest_reduction_uV > 0, wish_permille > 0))


@main.command()
@click.argument("folder", type=Input)
@click.option("--random", "random_count", type=click.IntRange(min=1), help="Instead: N random int32 pairs.")
@click.option("--sanitize", is_flag=True, help="Instead: random pairs under address and UB sanitizers.")
@click.option("--seed", type=click.IntRange(min=0), default=1, help="Of the random pairs.")
@jobs_option
@click.option("-o", "--output", type=Input, help="Also write what was compared to this JSON file.")
def verify(
    folder: Path, random_count: int | None, sanitize: bool, seed: int, jobs: int | None, output: Path | None
) -> None:
    """Compare the C in FOLDER with its integer model, by exact equality, on every pair of 12-bit ADC codes."""
    library = HostLibrary(folder)
    if sanitize:
        what, compared = (
            "random pairs under sanitizers",
            verify_sanitized(library, random_count or 100_000, seed),
        )
    elif random_count:
        what, compared = "random pairs", verify_random(library, random_count, seed, jobs)
    else:
        what, compared = "pairs of 12-bit conductance codes", verify_codes(library, jobs)
    if output is not None:
        write_json(output, {"manifest_sha256": manifest_sha256(folder), "compared": compared, "what": what})
    click.echo(f"{folder}: C equals the integer model on {compared:,} {what}")


@main.command()
@click.argument("folder", type=Input)
@click.option("--executions", type=click.IntRange(min=1), default=1_000_000, help="Lines to send.")
@click.option("--seed", type=click.IntRange(min=0), default=1, help="Of the mutations.")
@jobs_option
def fuzz(folder: Path, executions: int, seed: int, jobs: int | None) -> None:
    """Send mutated lines to the protocol of the firmware in FOLDER, under address and UB sanitizers."""
    with progress_bar(executions, "fuzzing", "line") as bar:
        done = fuzz_protocol(folder, executions, seed, jobs, bar.update)
    click.echo(
        f"{folder}: {done.executions:,} executions, {done.findings} findings; reached {done.replies:,} replies, "
        f"{done.pulses:,} pulses, {done.secured:,} lines with a CRC"
    )


main.add_command(size)
main.add_command(profiles)
main.add_command(cosim)
main.add_command(demo)
main.add_command(boards)
main.add_command(elf)
main.add_command(emulate)
main.add_command(flash)
main.add_command(instrument)
main.add_command(bench)
main.add_command(arctwo)
main.add_command(faults)
main.add_command(misra)
main.add_command(eva)

if __name__ == "__main__":
    run(main, "codegen")
