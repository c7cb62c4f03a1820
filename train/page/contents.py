"""What the page says, as plain strings and tables; the template only arranges them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.errors import UserError
from sim.noise import NoisePreset, Spread
from train.page.build_folder import REBUILD, Build, made_from
from train.paper import table as paper_table
from train.report import TITLES, Record, conditions

FACTS_SHOWN = 30
FLOOR_STATISTICS = ("mean_rpd", "median_rpd", "within_50", "within_20", "within_10")
MIME = {".png": "image/png", ".svg": "image/svg+xml"}
NBSP = "\u00a0"  # keeps a number and its unit on one line
STATISTICS = {  # name in a record: heading, is a fraction, more is better
    "mean_rpd": ("mean RPD", False, False),
    "median_rpd": ("median RPD", False, False),
    "within_50": (f"within 50{NBSP}%", True, True),
    "within_20": (f"within 20{NBSP}%", True, True),
    "within_10": (f"within 10{NBSP}%", True, True),
    "wrong_direction": ("wrong direction", True, False),
}


@dataclass(frozen=True)
class Table:
    """A table with a caption. The first cell of a row is its heading; `marked` is the row to point out."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: int | None = None


@dataclass(frozen=True)
class Figure:
    """An image inside the page."""

    data_uri: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Tile:
    """One headline number."""

    value: str
    label: str
    detail: str


def value(record: Record, name: str) -> str:
    """A statistic without its interval."""
    return f"{record[name] * 100:.1f}{NBSP}%" if STATISTICS[name][1] else f"{record[name]:.3f}"


def interval(record: Record, name: str) -> str:
    """Its 95 % interval."""
    factor, digits = (100, 1) if STATISTICS[name][1] else (1, 3)
    low, high = (end * factor for end in record[f"{name}_ci95"])
    return f"{low:.{digits}f} – {high:.{digits}f}"


def deployed_record(build: Build) -> Record:
    """The record of the compiled C that the firmware holds."""
    return next(r for r in build.records if r["predictor"] == build.deployed and r["realisation"] == "c")


def shown_records(build: Build) -> list[Record]:
    """One record per predictor: of the C where there is C, else of the float network."""
    shown: dict[str, Record] = {}
    for r in build.records:
        if r["realisation"] in ("float", "c"):
            shown[r["predictor"]] = r  # C follows float
    return list(shown.values())


def tiles(build: Build) -> list[Tile]:
    """The headline."""
    r = deployed_record(build)
    shown = [
        Tile(value(r, name), f"{label} after one pulse", f"95 % interval {interval(r, name)}")
        for name, label in (
            ("within_50", "within 50 % of the target"),
            ("within_10", "within 10 % of the target"),
        )
    ]
    shown.append(
        Tile(value(r, "mean_rpd"), "mean relative difference", f"95 % interval {interval(r, 'mean_rpd')}")
    )
    tables = int(build.manifest["table_bytes"])
    shown.append(Tile(f"{tables:,} B", "tables in flash", f"network {build.manifest['network']['topology']}"))
    return shown


def results(build: Build) -> Table:
    """One row per predictor, as C where there is C."""
    shown = shown_records(build)
    rows = []
    for r in shown:
        title = TITLES.get(r["predictor"])
        heading = f"{r['predictor']}: {title}" if title else r["predictor"]
        kind = "C" if r["realisation"] == "c" else "float"
        rows.append([heading, kind, *(f"{value(r, key)}\n({interval(r, key)})" for key in STATISTICS)])
    head = ["predictor", "as", *(heading for heading, _, _ in STATISTICS.values())]
    caption = f"{conditions(build.records)}. C: the compiled firmware; float: the network itself."
    return Table(caption, head, rows, marked=[r["predictor"] for r in shown].index(build.deployed))


def choice(build: Build) -> Table:
    """How the deployed network ranks among all that were compiled."""
    compiled = [r for r in build.records if r["realisation"] == "c"]
    mine = deployed_record(build)
    rows = []
    for key, (heading, _, more_is_better) in STATISTICS.items():
        best = (max if more_is_better else min)(compiled, key=lambda r: r[key])
        better = sum((r[key] > mine[key]) == more_is_better and r[key] != mine[key] for r in compiled)
        leader = "itself" if best[key] == mine[key] else f"{best['predictor']}, {value(best, key)}"
        rows.append([heading, value(mine, key), f"{better + 1} of {len(compiled)}", leader])
    return Table(
        f"{build.deployed} among the networks of this build, as compiled C.",
        ["statistic", build.deployed, "rank", "best"],
        rows,
    )


def reasons(build: Build) -> list[str]:
    """Why this network: what was asked for, what it leads in, and what its direction comes from."""
    compiled = [r for r in build.records if r["realisation"] == "c"]
    mine = deployed_record(build)
    leads = [
        heading
        for key, (heading, _, more_is_better) in STATISTICS.items()
        if mine[key] == (max if more_is_better else min)(r[key] for r in compiled)
    ]
    led = (
        f"It leads the {len(compiled)} compiled networks in {', '.join(leads)}."
        if leads
        else (f"None of the statistics below is best among the {len(compiled)} compiled networks.")
    )
    by_change = build.manifest["network"]["metadata"]["output"]["encoding"] == "log10_s"
    direction = (
        "Its direction is the sign of the change wanted, so that repeated pulses close in on the target."
        if by_change
        else "Its direction is the sign of its output, which can be wrong where the wanted change is small."
    )
    return [f"The build asked for {build.deployed} (DEPLOY). {led} {direction}"]


def convergence(build: Build) -> Table:
    """Write-and-verify with the compiled controller."""
    c = build.convergence
    rows = [
        [
            f"{t['target_uS']:g} µS",
            _iterations(t, "5"),
            _iterations(t, "10"),
            f"{t['final_mean_uS']:.1f} ± {t['final_std_uS']:.1f} µS",
            f"{t['final_within_5']:.0%}",
            f"{t['final_within_10']:.0%}",
        ]
        for t in c["targets"]
    ]
    first = c["targets"][0]
    return Table(
        f"{first['devices']} devices per target, {first['iterations']} iterations without stopping early, noise preset"
        f" '{c['noise_preset']}', seed {c['seed']}.",
        ["target", "iterations to 5 %", "to 10 %", "end: mean ± std", "end within 5 %", "within 10 %"],
        rows,
    )


def _iterations(target: dict[str, Any], tolerance: str) -> str:
    median, reached = target[f"median_iterations_to_{tolerance}"], target[f"reached_{tolerance}"]
    return "never" if median is None else f"median {median:g}; reached by {reached:.0%}"


def footprint(build: Build) -> Table:
    """Bytes against what the board has."""
    m, target = build.manifest, build.manifest["board"]["target"]
    rows = [
        [part, f"{size:,} B", f"{size / whole:.1%}"]
        for part, size, whole in (
            ("tables (weights, biases, shifts)", m["table_bytes"], target["flash_bytes"]),
            ("activations on the stack", m["stack_bytes"], target["ram_bytes"]),
        )
    ]
    return Table(
        f"Board {build.board} ({target['cpu']}): {target['flash_bytes']:,} B flash, {target['ram_bytes']:,} B RAM.",
        ["part", "size", "of the board's"],
        rows,
    )


def layers(build: Build) -> Table:
    """Layers of the integer model: errors and proven accumulators."""
    q = build.manifest["quantisation"]
    rows = [
        [
            f"{number}: {layer['columns']} → {layer['rows']}",
            f"{layer['max_error_of_largest']:.1e}",
            f"{layer['accumulator_min']:,} .. {layer['accumulator_max']:,}",
        ]
        for number, layer in enumerate(q["layers"], start=1)
    ]
    return Table(
        f"On {q['pairs']:,} pairs ({q['calibration']}). Output error of full scale:"
        f" {q['output_rms_error_of_full_scale']:.1e} rms, {q['output_max_error_of_full_scale']:.1e} at most.",
        ["layer", "largest error, of the layer's largest value", "accumulator, proven within int32"],
        rows,
    )


def proofs(build: Build) -> list[str]:
    """What was shown to be equal, in sentences."""
    by_key = {(r["predictor"], r["realisation"]): r for r in build.records}
    both = [name for name, kind in by_key if kind == "reference" and (name, "c") in by_key]
    unequal = [name for name in both if not _same(by_key[name, "reference"], by_key[name, "c"])]
    if unequal:
        raise UserError(f"C and integer reference of {unequal[0]} have different records; {REBUILD}")
    trials = build.records[0]["trials"]
    said = [
        f"Co-simulation: in each of {trials:,} trials the compiled C of {len(both)} networks gave the same pulses,"
        " reads and final conductances as its integer reference."
    ]
    v = build.verification
    if v is not None:
        said.append(f"Exhaustion: the compiled C equals the integer model on {v['compared']:,} {v['what']}.")
    else:
        said.append(
            "The exhaustive comparison was not run for this firmware: run `make verify`, then `make report`."
        )
    return said


def _same(a: Record, b: Record) -> bool:
    return {**a, "realisation": ""} == {**b, "realisation": ""}


def provenance(build: Build) -> Table:
    """Seeds, hashes, versions: what determines every number of the page."""
    p, r = build.dataset_parameters, build.records[0]
    origin = made_from(build.networks[build.deployed])
    network_sha256 = build.manifest["network"]["sha256"]
    versions = ", ".join(f"{name} {version}" for name, version in origin["versions"].items())
    rows = [
        [
            "program",
            f"ouroboros {build.manifest['generator']}, commit {build.commit or 'unknown (not a repository)'}",
        ],
        ["libraries", versions],
        [
            "device",
            f"{p['device_model']}, SET {p['v_set_V']} V, RESET {p['v_reset_V']} V, steps of {p['dt_s'] * 1e9:g} ns",
        ],
        ["data set", f"{p['pairs']:,} pairs, seed {p['seed']}, SHA-256 {build.dataset_sha256}"],
        [
            "network",
            f"{build.deployed}, training seed {origin['seed']}, SHA-256 {network_sha256}",
        ],
        ["evaluation", f"seed {r['seed']}, {r['trials']:,} trials"],
        ["noise-free baseline", f"fitted factor on its times: {build.time_scale:.3f}"],
        ["firmware manifest", f"SHA-256 {build.manifest_sha256}"],
        ["templates", f"SHA-256 {build.manifest['templates_sha256']}"],
        ["board file", f"SHA-256 {build.manifest['board_sha256']}"],
    ]
    return Table("What determines the numbers on this page.", ["what", "which"], rows)


def noise(build: Build) -> Table:
    """The noise preset in full, with its cadence."""
    preset = NoisePreset(**build.dataset_parameters["noise"])
    names = ("filament radius", "disc length", "lower bound of the window", "upper bound of the window")
    turns = (*preset.turns, None, None)
    rows = [
        [
            name,
            f"± {walk.step:.2%} within ± {walk.bound:.0%}",
            _spread(spread),
            _spread(turn) if turn else "-",
        ]
        for name, walk, spread, turn in zip(names, preset.walks, preset.spreads, turns, strict=True)
    ]
    return Table(
        f"Preset '{preset.name}', walks drawn {preset.cadence}; read noise {preset.read_sigma_rel:.2%}. Source:"
        f" {preset.source}.",
        ["of", "walk: largest step", "from device to device", "at each change of polarity"],
        rows,
    )


def _spread(spread: Spread) -> str:
    return f"± {spread.std:.2%} within ± {spread.limit:.0%}" if spread.std > 0.0 else "none"


def board(build: Build) -> Table:
    """The board the numbers hold for."""
    b = build.manifest["board"]
    timer, adc = b["timer"], b["adc"]
    rows = [
        [
            "timer",
            f"{timer['frequency_Hz']:,} Hz, {timer['min_ticks']:,} .. {timer['max_ticks']:,} ticks",
        ],
        [
            "ADC",
            f"{adc['bits']} bits up to {adc['full_scale_nS'] / 1000:g} µS, noise {adc['noise_lsb']} LSB",
        ],
        ["DAC", f"{b['dac']['bits']} bits, {b['dac']['lsb_uV'] / 1000:g} mV per step"],
        ["pulses", f"SET {b['pulse']['v_set_uV'] / 1000:g} mV, RESET {b['pulse']['v_reset_uV'] / 1000:g} mV"],
        [
            "limits",
            f"{b['limits']['v_max_uV'] / 1000:g} mV, {b['limits']['max_pulse_ticks']:,} ticks,"
            f" {b['limits']['max_iterations']} iterations",
        ],
    ]
    return Table(b["description"] + ".", ["part", "is"], rows)


def files(build: Build) -> Table:
    """Every generated file and its hash."""
    rows = [[name, sha256] for name, sha256 in build.manifest["files"].items()]
    return Table(f"{len(rows)} files in firmware/{build.board}.", ["file", "SHA-256"], rows)


def paper_verdicts(build: Build) -> Table | None:
    """The paper's statements, if `make paper` was run."""
    if build.paper is None:
        return None
    claims = build.paper["claims"]
    counted = {v: sum(c["verdict"] == v for c in claims) for v in ("agrees", "differs", "undecided")}
    rows = [
        [
            c["says"],
            c["where"],
            c["read_as"].replace("`", "'"),
            _with_interval(c),
            c["verdict"],
        ]
        for c in claims
    ]
    return Table(
        f"{len(claims)} statements over {build.paper['settings']['seeds']} seeds: "
        + ", ".join(f"{count} {verdict}" for verdict, count in counted.items())
        + ".",
        ["paper says", "where", "taken as", "measured (95 %)", "verdict"],
        rows,
    )


def _with_interval(claim: Mapping[str, Any]) -> str:
    ends = claim["seeds_ci95"] or claim["trials_ci95"]
    return (
        f"{paper_table.number(claim['mean'], claim['unit'])}\n({paper_table.interval(ends, claim['unit'])})"
    )


def reproduce(build: Build) -> str:
    """The command that makes this page again."""
    p, r = build.dataset_parameters, build.records[0]
    variables = (
        f"BOARD={build.board} NOISE={p['noise']['name']} SEED={p['seed']} PAIRS={p['pairs']}"
        f" TRIALS={r['trials']} EVALUATION_SEED={r['seed']} DEPLOY={build.deployed}"
    )
    return f"make report {variables}"


def facts(content: Mapping[str, Any], caption: str) -> list[Table]:
    """A JSON result as tables: its plain values first, then every list of records in it."""
    plain = [[name.replace("_", " "), plain_text(v)] for name, v in content.items() if is_plain(v)]
    shown = [Table(caption, ["what", "value"], plain)] if plain else []
    for name, records in content.items():
        if isinstance(records, list) and records and isinstance(records[0], dict):
            head = [key for key, v in records[0].items() if is_plain(v)]
            rows = [[plain_text(record.get(key)) for key in head] for record in records[:FACTS_SHOWN]]
            cut = f", the first {FACTS_SHOWN} of {len(records)}" if len(records) > FACTS_SHOWN else ""
            shown.append(Table(f"{name}{cut}", [key.replace("_", " ") for key in head], rows))
    return shown


def is_plain(v: object) -> bool:
    """A value, or a short list of numbers such as an interval."""
    numbers = isinstance(v, list) and 0 < len(v) <= 3 and all(isinstance(x, int | float) for x in v)
    return numbers or v is None or isinstance(v, str | int | float)


def plain_text(v: object) -> str:
    """Numbers with four digits."""
    if isinstance(v, list):
        return " – ".join(plain_text(x) for x in v)
    return f"{v:.4g}" if isinstance(v, float) else "-" if v is None else str(v)


def floor(build: Build) -> Table | None:
    """Every predictor's distance to what no predictor of start and target can beat, if `train floor` was run.

    Raises:
        UserError: the floor was computed for other noise.
    """
    if build.floor is None:
        return None
    f, shown = build.floor, shown_records(build)
    for setting in ("noise_preset", "cadence_s"):
        if f[setting] != build.records[0][setting]:
            raise UserError(
                f"floor.json is for {setting} {f[setting]}; run `python -m train floor` for this build"
            )
    best = f["records"][0]
    rows = [["the floor", *(f"{value(best, key)}\n({interval(best, key)})" for key in FLOOR_STATISTICS)]]
    for r in shown:
        rows.append(
            [r["predictor"], *(f"{value(r, key)}\n{_distance(r, best, key)}" for key in FLOOR_STATISTICS)]
        )
    return Table(
        f"Monte Carlo oracle over {best['trials'] // f['devices']:,} pairs with {f['devices']} devices each,"
        f" {f['v_set_V']} and"
        f" {f['v_reset_V']} V, pulses up to {f['longest_pulse_s'] * 1e3:g} ms: the best fixed time for each pair."
        " It reads the true conductance; below each number how far it is from the floor.",
        ["predictor", *(STATISTICS[key][0] for key in FLOOR_STATISTICS)],
        rows,
    )


def _distance(record: Record, best: Record, key: str) -> str:
    difference = record[key] - best[key]
    return f"{difference * 100:+.1f} points" if STATISTICS[key][1] else f"{difference / best[key]:+.0%}"


def sizes(build: Build) -> list[Table]:
    """What the compiler for the target makes of the sources."""
    return facts(build.size or {}, "Compiled for the target.")


def figure(path: Path, alt: str, caption: str) -> Figure:
    """Read an image into the page.

    Raises:
        UserError: it is missing.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; {REBUILD}") from None
    encoded = base64.b64encode(data).decode("ascii")
    return Figure(f"data:{MIME[path.suffix]};base64,{encoded}", alt, caption)


def figures(build: Build) -> dict[str, Figure]:
    """The figures of the build, by name."""
    return {
        "accuracy": figure(
            build.folder / "accuracy.png",
            "Bar chart: share of trials within 50, 20 and 10 % of the target, one group of bars per predictor;"
            " the table above has the numbers",
            "Share of trials that end within 50, 20 and 10 % of their target after one pulse, with 95 % intervals.",
        ),
        "write_and_verify": figure(
            build.folder / "demo" / "write_and_verify.svg",
            "Three panels: conductance read against iteration for 50 devices programmed to 100, 220 and 340 µS;"
            " the table below has the numbers",
            "Write-and-verify with the compiled controller: one line per device, coloured by its start.",
        ),
    }
