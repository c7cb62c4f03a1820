"""The firmware folder as a library of other people's builds: CMake, Zephyr, Arduino, PlatformIO."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import kconfiglib
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from codegen import VERSION
from codegen.__main__ import main
from codegen.boards import load_board
from codegen.build import WARNINGS
from codegen.cores import load_core
from codegen.cross import find_cross_compilers
from codegen.firmware import load_firmware, make_firmware
from codegen.reference import ReferencePredictor
from firmware_templates import STATIC

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
STRICT = ("-std=c11", *WARNINGS)
AVR_CORE = Path("/usr/share/arduino/hardware/arduino/avr")
CONTROLLER = {"ouro_controller.c", "ouro_pulse_gate.c", "ouro_request.c", "ouro_scpi.c"}


@pytest.fixture(scope="module")
def made(networks, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drop in")  # with a space: people have such paths
    path = networks.write(folder / "net.onnx", networks.layers((2, 8, 1), seed=3), "log10_s")
    make_firmware(path, load_board("generic"), folder / "fw", None, False)
    return folder / "fw"


@pytest.fixture(scope="module")
def archive(made: Path, tmp_path_factory) -> Path:
    """The sources as a library, the way every one of these builds links them."""
    folder = tmp_path_factory.mktemp("archive")
    run(["gcc", *STRICT, "-O1", "-c", *sorted((made / "src").glob("*.c"))], folder)
    run(["ar", "rcs", "libouroboros.a", *sorted(folder.glob("*.o"))], folder)
    return folder / "libouroboros.a"


def run(command, cwd: Path | None = None, text: str = "") -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expected(folder: Path, g_start_nS: int, g_target_nS: int) -> str:
    """The pulse of the integer reference as the examples print it."""
    firmware = load_firmware(folder)
    reference = ReferencePredictor(firmware.model)
    direction, ticks, _ = reference.predict(np.array([g_start_nS]), np.array([g_target_nS]))
    pulse = firmware.board.pulse
    v_uV = pulse.v_set_uV if direction[0] > 0 else pulse.v_reset_uV
    return f"{v_uV} uV for {ticks[0]} ticks of 1/{firmware.board.timer.frequency_Hz} s\n"


def middle_nS(folder: Path) -> int:
    model = load_firmware(folder).model
    return model.g_min_nS + (model.g_max_nS - model.g_min_nS) // 2


def require(tool: str) -> None:
    if not shutil.which(tool):
        pytest.skip(f"no {tool}")


# --- the example ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_example_gives_the_pulse_of_the_reference(
    made: Path, archive: Path, compiler: str, tmp_path
) -> None:
    require(compiler)
    example = made / "examples" / "one_pulse"
    assert len((example / "main.c").read_text().splitlines()) <= 20
    program = tmp_path / "one_pulse"
    run([compiler, *STRICT, f"-I{made / 'src'}", *sorted(example.glob("*.c")), archive, "-o", program])
    target = middle_nS(made)
    for start in (100_000, 500_000):
        assert run([program], text=f"{start}\n") == expected(made, start, target)
    assert run([program], text=f"{target}\n") == ""
    for wrong in ("", "x\n", "-1\n", "12nS\n", "99999999999\n"):
        done = subprocess.run([program], input=wrong, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert "type a conductance in nS" in done.stderr


@pytest.mark.parametrize("name", ["arm-none-eabi-gcc", "zig"])
def test_the_example_compiles_for_a_cortex_m4(made: Path, name: str, tmp_path: Path) -> None:
    found = {compiler.name: compiler for compiler in find_cross_compilers()}
    if name not in found:
        pytest.skip(f"no {name}")
    command = [*found[name].command, *found[name].flags(load_core("cortex-m4")), "-mthumb", "-ffreestanding"]
    source = made / "examples" / "one_pulse" / "main.c"
    run([*command, *STRICT, "-O2", f"-I{made / 'src'}", "-c", source, "-o", tmp_path / "main.o"])


# --- CMake ------------------------------------------------------------------------------------------------

CONSUMERS = {
    "add_subdirectory": 'add_subdirectory("${FIRMWARE}" ouroboros)',
    "FetchContent": "include(FetchContent)\n"
    'FetchContent_Declare(ouroboros SOURCE_DIR "${FIRMWARE}")\n'
    "FetchContent_MakeAvailable(ouroboros)",
}


def cmake_build(source: Path, build: Path, **definitions: str | Path) -> None:
    flags = {"CMAKE_C_FLAGS": " ".join(WARNINGS), **definitions}
    run(["cmake", "-S", source, "-B", build, *(f"-D{name}={value}" for name, value in flags.items())])
    run(["cmake", "--build", build])


def test_cmake_builds_the_folder_on_its_own(made: Path, tmp_path: Path) -> None:
    require("cmake")
    cmake_build(made, tmp_path)
    found = run([tmp_path / "one_pulse"], text="100000\n")
    assert found == expected(made, 100_000, middle_nS(made))


@pytest.mark.parametrize("way", CONSUMERS)
def test_another_cmake_project_uses_it(made: Path, way: str, tmp_path: Path) -> None:
    require("cmake")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(bench LANGUAGES C)\n"
        f"{CONSUMERS[way]}\n"
        "add_executable(app app.c)\ntarget_link_libraries(app PRIVATE ouroboros::ouroboros)\n"
    )
    (tmp_path / "app.c").write_text(
        '#include <stdio.h>\n#include "ouroboros.h"\n'
        "int main(void)\n{\n    ouro_pulse_t pulse;\n"
        '    printf("%d", (int)ouro_predict(100000, 300000, &pulse));\n'
        '    printf(" %u\\n", (unsigned)pulse.width_ticks);\n}\n'
    )
    cmake_build(tmp_path, tmp_path / "build", FIRMWARE=made)
    _, ticks, _ = ReferencePredictor(load_firmware(made).model).predict(
        np.array([100_000]), np.array([300_000])
    )
    assert run([tmp_path / "build" / "app"]) == f"0 {ticks[0]}\n"
    assert not (tmp_path / "build" / "ouroboros" / "one_pulse").exists()


# --- Zephyr -----------------------------------------------------------------------------------------------


def test_the_zephyr_module_names_its_files(made: Path, monkeypatch) -> None:
    module = yaml.safe_load((made / "zephyr" / "module.yml").read_text())
    assert module["name"] == "ouroboros"
    assert (made / module["build"]["cmake"] / "CMakeLists.txt").is_file()
    monkeypatch.chdir(made)
    symbols = kconfiglib.Kconfig(module["build"]["kconfig"]).syms
    symbols["OUROBOROS_CONTROLLER"].set_value("y")
    assert symbols["OUROBOROS_CONTROLLER"].str_value == "n"  # the predictor was not chosen
    symbols["OUROBOROS"].set_value("y")
    assert symbols["OUROBOROS_CONTROLLER"].str_value == "y"


@pytest.mark.parametrize("with_controller", [False, True])
def test_the_zephyr_module_compiles_what_was_chosen(
    made: Path, with_controller: bool, tmp_path: Path
) -> None:
    require("cmake")
    cmake_build(
        HERE / "zephyr",
        tmp_path,
        MODULE_CMAKE=made / "zephyr",
        CONFIG_OUROBOROS="y",
        CONFIG_OUROBOROS_CONTROLLER="y" if with_controller else "n",
    )
    members = {
        line.removesuffix(".o") for line in run(["ar", "t", tmp_path / "module" / "libmodule.a"]).splitlines()
    }
    sources = {path.name for path in (made / "src").glob("*.c")}
    assert members - {"empty.c"} == sources - (set() if with_controller else CONTROLLER)


# --- Arduino and PlatformIO -------------------------------------------------------------------------------


def test_the_arduino_library_describes_itself(made: Path) -> None:
    lines = (made / "library.properties").read_text().splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    for field in ("name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url"):
        assert properties[field], field
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.-]*", properties["name"])
    assert properties["version"] == VERSION
    assert (made / "src" / properties["includes"]).is_file()
    for sketch in made.glob("examples/*/*.ino"):
        assert sketch.stem == sketch.parent.name  # else the tools do not find it
        assert not list(sketch.parent.glob("*.c"))  # they would compile it into the sketch


def test_the_arduino_sketch_answers_with_the_pulse_of_the_reference(
    made: Path, archive: Path, tmp_path: Path
) -> None:
    require("g++")
    sketch, core = made / "examples" / "SerialPulse" / "SerialPulse.ino", HERE / "arduino"
    flags = ["-std=gnu++11", "-Wall", "-Wextra", "-Werror", f"-I{core}", f"-I{made / 'src'}"]
    command = ["g++", *flags, "-include", "Arduino.h", "-x", "c++", sketch, "-x", "none", archive]
    run([*command, "-o", tmp_path / "sketch"])
    found = run([tmp_path / "sketch"], text="100000 300000\r\n 300000,100000\n200000 200000\n200000 1\n")
    assert found == (
        expected(made, 100_000, 300_000)
        + expected(made, 300_000, 100_000)
        + "no pulse needed\nthe target is outside the trained window\n"
    )


def test_the_arduino_library_compiles_with_the_real_core_of_an_uno(made: Path, tmp_path: Path) -> None:
    require("avr-g++")
    if not AVR_CORE.is_dir():
        pytest.skip(f"no {AVR_CORE}: apt install arduino-core-avr")
    includes = [f"-I{AVR_CORE / 'cores' / 'arduino'}", f"-I{AVR_CORE / 'variants' / 'standard'}"]
    flags = ["-mmcu=atmega328p", "-DF_CPU=16000000L", "-DARDUINO=10819", "-Os", "-Wall", *includes]
    run(["avr-gcc", *flags, "-Werror", "-std=gnu11", "-c", *sorted((made / "src").glob("*.c"))], tmp_path)
    sketch = made / "examples" / "SerialPulse" / "SerialPulse.ino"
    command = ["avr-g++", *flags, "-std=gnu++11", f"-I{made / 'src'}", "-include", "Arduino.h", "-x", "c++"]
    run([*command, "-c", sketch, "-o", tmp_path / "sketch.o"])


def test_the_platformio_manifest_names_its_files(made: Path) -> None:
    library = json.loads((made / "library.json").read_text())
    assert (library["version"], library["license"]) == (VERSION, "Apache-2.0")
    assert (made / library["build"]["srcDir"] / library["headers"]).is_file()
    named = {f"{example['base']}/{name}" for example in library["examples"] for name in example["files"]}
    there = {path.relative_to(made).as_posix() for path in made.glob("examples/*/*")}
    assert named == there


# --- the folder -------------------------------------------------------------------------------------------


def test_the_whole_interface_is_in_one_header() -> None:
    text = (STATIC / "ouroboros.h").read_text()
    assert {"ouro_predictor.h", "ouro_controller.h", "ouro_config.h", "ouro_scpi.h"} <= set(
        re.findall(r'#include "(\S+)"', text)
    )


def test_the_licence_is_the_projects(made: Path) -> None:
    assert (made / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_the_readme_states_what_was_measured(made: Path, tmp_path: Path) -> None:
    assert "Not measured yet" in (made / "README.md").read_text()
    network, records, folder = made.parent / "net.onnx", tmp_path / "records.json", tmp_path / "fw"
    runner = CliRunner()
    assert not runner.invoke(main, ["cosim", str(network), "--trials", "200", "-o", str(records)]).exception
    command = ["firmware", str(network), "--board", "generic", "--results", str(records), "-o", str(folder)]
    assert not runner.invoke(main, command).exception
    (record,) = [r for r in json.loads(records.read_text())["records"] if r["realisation"] == "c"]
    low, high = record["within_50_ci95"]
    readme = (folder / "README.md").read_text()
    assert f"| within 50 % | {record['within_50']:.1%} | {low:.1%} - {high:.1%} |" in readme
    assert "200 simulated devices" in readme and "recorded as `net`" in readme


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot read records"),
        ("{}", "cannot read records"),
        ('[{"realisation": "c"}]', "cannot read records"),
        ("[]", "has no record of 'net' as C on board 'generic'; it has none"),
    ],
)
def test_records_that_do_not_fit_are_refused(made: Path, tmp_path, content, complaint: str) -> None:
    if content is not None:
        (tmp_path / "records.json").write_text(content)
    command = ["firmware", str(made.parent / "net.onnx"), "--board", "generic"]
    done = CliRunner().invoke(
        main, [*command, "--results", str(tmp_path / "records.json"), "-o", str(tmp_path / "fw")]
    )
    assert complaint in str(done.exception) and "\n" not in str(done.exception)
    assert not (tmp_path / "fw").exists()
