"""Flashing without hardware: tools that record what they are asked and keep what they get, drives that are folders."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from intelhex import IntelHex

import codegen.flash
import codegen.flash_devices
import codegen.flash_methods
import codegen.flash_steps
from codegen.__main__ import main
from codegen.boards import board_names, load_board
from codegen.cross import find_cross_compilers
from codegen.firmware import make_firmware, manifest_sha256
from codegen.flash import flash_methods
from codegen.flash_methods import Image, NotReadyError, methods_from_fields
from codegen.target import buildable_boards, load_built
from firmware_templates import BOARDS
from sim.errors import UserError

BOARD = "stm32f405"
START = 0x0800_0000
CONTENT = bytes(range(256)) * 20
TABLES = {
    "pyocd": 'target = "nrf51"',
    "openocd": 'config = ["target/stm32f4x.cfg"]',
    "stm32flash": "",
    "dfu-util": "",
    "picotool": "",
    "drive": 'file = "uf2"\nmarker = "INFO_UF2.TXT"\ncontains = ["Board-ID: RPI-RP2"]\nstart = "hold BOOTSEL"',
    "avrdude": 'part = "atmega328p"\nusb = ["2341:0043"]',
    "bossac": 'usb = ["2341:003d"]',
}
FAKE_TOOL = """#!{python}
import json, shlex, sys
from pathlib import Path
from intelhex import IntelHex
home, name, words = Path({home!r}), Path(sys.argv[0]).name, sys.argv[1:]
if words[:1] == ["json"]:
    print((home / f"pyocd{{words[1]}}.json").read_text())
    sys.exit()
with (home / "log").open("a") as log:
    print(json.dumps([name, *words]), file=log)
if (home / "complaint").exists():
    sys.exit("Connecting.\\n" + (home / "complaint").read_text() + "\\nGoodbye.")
memory, text = home / "memory", " ".join(words)
if words[0] == "reset":
    sys.exit()
if "savemem" in text:
    start, count, file = shlex.split(words[words.index("-c") + 1])[1:]
    Path(file).write_bytes(memory.read_bytes()[: int(count)])
elif "-U" in words and name == "dfu-util":
    Path(words[words.index("-U") + 1]).write_bytes(memory.read_bytes())
else:
    (file,) = {{Path(w) for word in words for w in word.replace("{{", " ").replace("}}", " ").replace(":", " ").split()
              if "/ouroboros." in w}}
    hexadecimal = file.suffix == ".hex"
    content = bytearray(IntelHex(str(file)).tobinstr() if hexadecimal else file.read_bytes())
    content[100] ^= (home / "bad memory").exists()
    memory.write_bytes(content)
"""


class Bench:
    """A folder with a built firmware, tools in PATH and devices that tests plug in."""

    def __init__(self, folder: Path, firmware: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.firmware, self.elf, self.patch = folder, firmware, folder / "elf", monkeypatch
        self.tools, self.usb, self.boards = folder / "bin", folder / "usb", folder / "boards"
        for made in (self.tools, self.usb, self.elf):
            made.mkdir()
        shutil.copytree(BOARDS / BOARD, self.boards / BOARD)
        self.write_built()
        monkeypatch.setenv("PATH", str(self.tools))
        monkeypatch.setattr(codegen.flash_methods, "BESIDE_PYTHON", self.tools)
        monkeypatch.setattr(codegen.flash, "BOARDS", self.boards)
        monkeypatch.setattr(codegen.flash_devices, "USB_DEVICES", self.usb)
        monkeypatch.setattr(codegen.flash_devices, "MOUNTS", folder / "mounts")
        monkeypatch.setattr(codegen.flash_devices.list_ports, "comports", lambda: self.ports)
        self.ports: list[SimpleNamespace] = []
        self.pyocd("--targets", targets=[{"name": "nrf51"}, {"name": "stm32f405rgtx"}])
        self.pyocd("--probes", boards=[])

    def write_built(self) -> None:
        """What `codegen elf` leaves, with contents that are easy to compare."""
        record = {"board": BOARD, "compiler": "some", "flash_bytes": len(CONTENT), "ram_bytes": 1}
        record["manifest_sha256"] = manifest_sha256(self.firmware)
        (self.elf / "build.json").write_text(json.dumps(record))
        for suffix in ("bin", "elf", "uf2"):
            (self.elf / f"ouroboros.{suffix}").write_bytes(CONTENT)
        image = IntelHex()
        image.puts(START, CONTENT)
        image.write_hex_file(str(self.elf / "ouroboros.hex"))

    def methods(self, *names: str) -> None:
        """Let the board's manifest name these."""
        tables = "".join(f'\n[[flash]]\nmethod = "{name}"\n{TABLES[name]}\n' for name in names)
        kept = (BOARDS / BOARD / "board.toml").read_text().split("[[flash]]")[0]
        (self.boards / BOARD / "board.toml").write_text(kept + tables)
        os.utime(self.boards / BOARD / "board.toml", (0, 0))

    def install(self, *names: str) -> None:
        for name in names:
            tool = self.tools / name
            tool.write_text(FAKE_TOOL.format(python=sys.executable, home=str(self.folder)))
            tool.chmod(0o755)

    def pyocd(self, what: str, status: int = 0, **lists: list[dict[str, str]]) -> None:
        (self.folder / f"pyocd{what}.json").write_text(json.dumps({"status": status, **lists}))

    def probes(self, *names: str) -> None:
        self.pyocd("--probes", boards=[{"unique_id": name, "info": "ST STLink V3"} for name in names])

    def plug(self, usb_id: str, serial: str, product: str) -> None:
        folder = self.usb / f"1-{len(list(self.usb.iterdir()))}"
        folder.mkdir()
        vendor, number = usb_id.split(":")
        facts = {"idVendor": vendor, "idProduct": number, "busnum": "1", "devnum": folder.name[2:]}
        for name, text in {**facts, "serial": serial, "product": product}.items():
            (folder / name).write_text(f"{text}\n")

    def drive(self, name: str = "RPI RP2") -> Path:
        folder = self.folder / name
        folder.mkdir()
        (folder / "INFO_UF2.TXT").write_text(
            "UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n"
        )
        return folder

    def flash(self, *options: str) -> Result:
        command = ["flash", "--board", BOARD, "--firmware", str(self.firmware), "--elf", str(self.elf)]
        return CliRunner().invoke(main, [*command, *options])

    def refusal(self, *options: str) -> str:
        done = self.flash(*options)
        assert isinstance(done.exception, UserError), done.output
        assert "\n" not in str(done.exception)
        return str(done.exception)

    @property
    def log(self) -> list[list[str]]:
        log = self.folder / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [[word.replace(f"{self.elf}/", "") for word in json.loads(line)] for line in lines]

    @property
    def memory(self) -> bytes:
        return (self.folder / "memory").read_bytes()


@pytest.fixture(scope="module")
def firmware(networks, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("flash")
    network = networks.write(folder / "net.onnx", networks.layers((2, 8, 1)), "log10_s")
    make_firmware(network, load_board(BOARD), folder / "firmware", None, force=False)
    return folder / "firmware"


@pytest.fixture
def bench(tmp_path, firmware, monkeypatch) -> Bench:
    return Bench(tmp_path, firmware, monkeypatch)


# --- what is written, and how ------------------------------------------------------------------------------


def test_pyocd_writes_reads_back_and_compares(bench):
    bench.methods("pyocd", "openocd")
    bench.install("pyocd", "openocd")
    bench.probes("0049002")
    done = bench.flash()
    assert done.exit_code == 0, done.exception
    common = ["-W", "-u", "0049002", "-t", "nrf51"]
    halted = [*common, "-O", "resume_on_disconnect=false"]
    assert bench.log == [
        ["pyocd", "flash", *halted, "--no-reset", "ouroboros.hex"],
        ["pyocd", "cmd", *halted, "-c", f"savemem 0x8000000 {len(CONTENT)} readback.bin"],
        ["pyocd", "reset", *common],
    ]
    assert bench.memory == CONTENT
    assert done.stdout.strip().endswith(
        "5120 bytes written (pyocd, 0049002 (ST STLink V3)), read back and compared"
    )
    assert not (bench.elf / "readback.bin").exists()


def test_pyocd_s_name_of_the_part_may_have_more_letters(bench):
    bench.install("pyocd")
    bench.probes("0049002")
    assert bench.flash().exit_code == 0
    assert {line[6] for line in bench.log} == {"stm32f405rgtx"}


@pytest.mark.parametrize(
    ("usb_id", "product", "interface", "transport"),
    [
        ("0483:374b", "STM32 STLink", "stlink", []),
        ("0d28:0204", "DAPLink CMSIS-DAP", "cmsis-dap", []),
        ("1366:0101", "J-Link", "jlink", ["-c", "transport select swd"]),
    ],
)
def test_openocd_is_told_the_probe(bench, usb_id, product, interface, transport):
    bench.methods("openocd")
    bench.install("openocd")
    bench.plug("1d6b:0002", "", "a hub")
    bench.plug(usb_id, "066CFF", product)
    done = bench.flash()
    assert done.exit_code == 0, done.exception
    before = ["-f", f"interface/{interface}.cfg", *transport, "-c", "adapter serial 066CFF"]
    write = ["-f", "target/stm32f4x.cfg", "-c", "program {ouroboros.elf} verify reset exit"]
    assert bench.log == [["openocd", *before, *write]]
    assert bench.memory == CONTENT and "verified by OpenOCD" in done.output


def test_openocd_reaches_the_risc_v_board_by_jtag(bench):
    """Its script starts the connection: what chooses the probe comes before."""
    path = BOARDS / "hifive1-revb" / "board.toml"
    (method,) = methods_from_fields(tomllib.loads(path.read_text())["flash"], path)
    bench.plug("1366:1051", "979001234", "J-Link")
    (step,) = method.steps("openocd", Image(bench.elf, START), "979001234")
    words = shlex.split(str(step))
    board = words.index("board/sifive-hifive1-revb.cfg")
    assert words[1:board] == [
        *("-f", "interface/jlink.cfg", "-c", "transport select jtag"),
        *("-c", "adapter serial 979001234", "-f"),
    ]


@pytest.mark.parametrize("options", [[], ["--probe", "066CFF"]])
def test_where_usb_cannot_be_listed_the_tool_looks_itself(bench, options):
    bench.methods("openocd")
    bench.install("openocd")
    bench.patch.setattr(codegen.flash_methods, "usb_devices", lambda: None)
    assert bench.flash(*options).exit_code == 0
    serial = ["-c", "adapter serial 066CFF"] if options else []
    assert bench.log[0][1:-4] == ["-f", "interface/stlink.cfg", *serial]


def test_dfu_util_writes_reads_back_and_compares(bench):
    bench.methods("dfu-util")
    bench.install("dfu-util")
    bench.plug("0483:df11", "345", "STM32 BOOTLOADER")
    assert bench.flash().exit_code == 0
    common = ["dfu-util", "-d", "0483:df11", "-S", "345", "-a", "0", "-s"]
    assert bench.log == [
        [*common, "0x08000000", "-D", "ouroboros.bin"],
        [*common, f"0x08000000:{len(CONTENT)}", "-U", "readback.bin"],
        [*common, "0x08000000:1:leave", "-U", "readback.bin"],
    ]
    assert bench.memory == CONTENT


def test_picotool_is_told_which_board(bench):
    bench.methods("picotool", "drive")
    bench.install("picotool")
    bench.plug("2e8a:000a", "other", "a Pico that runs")
    bench.plug("2e8a:0003", "E0C9125B0D9B", "RP2 Boot")
    assert bench.flash().exit_code == 0
    assert bench.log == [["picotool", "load", "-v", "-x", "ouroboros.uf2", "--bus", "1", "--address", "1"]]
    assert bench.memory == CONTENT


@pytest.mark.parametrize(
    ("method", "usb_id", "command"),
    [
        ("avrdude", 0x0043, "-p atmega328p -c arduino -P {} -b 115200 -D -U flash:w:ouroboros.hex:i"),
        ("bossac", 0x003D, "-a -p {} -e -w -v -b -R ouroboros.bin"),
    ],
)
def test_serial_boot_loaders_are_found_by_their_usb_id(bench, method, usb_id, command):
    bench.methods(method)
    bench.install(method)
    bench.ports = [
        SimpleNamespace(device=f"/dev/ttyACM{k}", vid=vid, pid=pid, product="Arduino", description="")
        for k, (vid, pid) in enumerate([(None, None), (0x2341, 0x9999), (0x2341, usb_id)])
    ]
    done = bench.flash()
    assert done.exit_code == 0, done.exception
    port = "/dev/ttyACM2" if method == "avrdude" else "ttyACM2"
    assert bench.log == [[method, *command.format(port).split()]]
    assert bench.memory == CONTENT and f"verified by {method}" in done.output


def test_a_port_that_nobody_could_find_is_named(bench):
    bench.methods("stm32flash")
    bench.install("stm32flash")
    assert "set BOOT0 high, reset, and name the serial port" in bench.refusal()
    assert "no such device" in bench.refusal("--probe", "/dev/nothing")
    assert bench.flash("--probe", "/dev/null").exit_code == 0
    assert bench.log == [shlex.split("stm32flash -w ouroboros.bin -v -S 0x8000000 -g 0x8000000 /dev/null")]
    assert bench.memory == CONTENT


# --- drives ------------------------------------------------------------------------------------------------


def test_a_folder_named_by_the_user_is_a_drive_that_can_be_read_back(bench):
    bench.methods("drive")
    drive = bench.drive()
    done = bench.flash("--probe", str(drive))
    assert done.exit_code == 0, done.exception
    assert (drive / "ouroboros.uf2").read_bytes() == CONTENT
    assert done.stdout.strip().endswith("read back and compared")


def test_a_mounted_drive_is_found_and_its_going_is_the_proof(bench):
    bench.methods("drive")
    drive = bench.drive()
    other = bench.drive("OTHER")
    (other / "INFO_UF2.TXT").write_text("Board-ID: SAMD51\n")
    escaped = str(drive).replace(" ", "\\040")
    (bench.folder / "mounts").write_text(
        f"proc /proc proc rw 0 0\n/dev/null {escaped} vfat rw 0 0\n/dev/null {other} vfat\n"
    )
    bench.patch.setattr(codegen.flash_steps, "is_mounted", Path.is_dir)

    def board() -> None:
        copy = drive / "ouroboros.uf2"
        while not copy.is_file() or copy.stat().st_size < len(CONTENT):
            time.sleep(0.01)
        drive.rename(bench.folder / "gone")

    boot_rom = threading.Thread(target=board)
    boot_rom.start()
    done = bench.flash()
    boot_rom.join()
    assert done.exit_code == 0, done.exception
    assert (bench.folder / "gone" / "ouroboros.uf2").read_bytes() == CONTENT
    assert "checked it and restarted the board" in done.stdout


def test_a_drive_that_stays_or_complains_has_not_taken_the_file(bench):
    bench.methods("drive")
    drive = bench.drive()
    bench.patch.setattr(codegen.flash_steps, "is_mounted", Path.is_dir)
    bench.patch.setattr(codegen.flash_steps, "DRIVE_TIMEOUT_S", 0.2)
    assert "the board did not take" in bench.refusal("--probe", str(drive))
    (drive / "FAIL.TXT").write_text("error: The hex file cannot be decoded.\ntype: interface\n")
    assert bench.refusal("--probe", str(drive)).endswith("error: The hex file cannot be decoded.")


def test_a_drive_that_cannot_be_written_is_one_line(bench):
    bench.methods("drive")
    drive = bench.drive()
    (drive / "ouroboros.uf2").mkdir()
    assert f"cannot copy to the drive {drive}" in bench.refusal("--probe", str(drive))


# --- failures ----------------------------------------------------------------------------------------------


def test_nothing_installed_and_nothing_connected_say_what_to_do(bench):
    bench.methods("pyocd", "openocd", "drive")
    bench.install("openocd")
    refusal = bench.refusal()
    assert refusal.startswith("board 'stm32f405' cannot be flashed now. ")
    assert "pyocd: pyocd is not installed (pip install pyocd); openocd: nothing found (connect a" in refusal
    assert refusal.endswith("drive: nothing found (hold BOOTSEL, and see that its drive is mounted)")
    assert bench.log == []


def test_two_probes_are_not_guessed_between(bench):
    bench.methods("pyocd")
    bench.install("pyocd")
    bench.probes("0049002", "0051003")
    refusal = bench.refusal()
    assert "2 devices are connected, choose one with PROBE=NAME" in refusal
    assert "0049002 (ST STLink V3), 0051003 (ST STLink V3)" in refusal
    assert bench.log == []
    assert bench.flash("--probe", "0051").exit_code == 0
    assert {line[4] for line in bench.log} == {"0051003"}
    assert "through 'A1'" in bench.refusal("--probe", "A1")


def test_the_next_method_is_taken_when_the_first_lacks_something(bench):
    bench.methods("pyocd", "openocd")
    bench.install("pyocd", "openocd")
    bench.probes("066CFF")
    bench.plug("0483:374b", "066CFF", "STM32 STLink")
    bench.pyocd("--targets", targets=[])
    assert bench.flash().exit_code == 0
    assert [line[0] for line in bench.log] == ["openocd"]
    refusal = bench.refusal("--method", "pyocd")
    assert "does not know the part nrf51 yet (pyocd pack install nrf51)" in refusal
    assert "is not flashed with bossac but with: pyocd, openocd" in bench.refusal("--method", "bossac")
    bench.pyocd("--probes", status=1)
    assert "pyocd does not work here" in bench.refusal("--method", "pyocd")


def test_a_board_that_holds_other_bytes_fails_the_verification(bench):
    bench.methods("pyocd", "dfu-util")
    bench.install("pyocd", "dfu-util")
    bench.probes("0049002")
    bench.plug("0483:df11", "345", "STM32 BOOTLOADER")
    (bench.folder / "bad memory").touch()
    for method in ("pyocd", "dfu-util"):
        refusal = bench.refusal("--method", method)
        assert refusal.startswith("verification failed: the board differs from") and "at byte 100" in refusal
        assert not (bench.elf / "readback.bin").exists()
    assert [line for line in bench.log if "reset" in line or "leave" in line[-3]] == []


@pytest.mark.parametrize(
    "complaint", ["** Verify Failed **", "Error: open failed", "avrdude: verification mismatch"]
)
def test_a_failing_tool_is_quoted(bench, complaint):
    bench.methods("openocd")
    bench.install("openocd")
    bench.plug("0483:374b", "066CFF", "STM32 STLink")
    (bench.folder / "complaint").write_text(complaint)
    assert bench.refusal() == f"openocd failed with status 1: {complaint}"


def test_a_tool_that_hangs_is_stopped(bench):
    bench.methods("openocd")
    bench.plug("0483:374b", "066CFF", "STM32 STLink")
    (bench.tools / "openocd").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    (bench.tools / "openocd").chmod(0o755)
    bench.patch.setattr(codegen.flash_steps, "TOOL_TIMEOUT_S", 0.2)
    assert bench.refusal() == "openocd was stopped: not done after 0.2 s"


def test_ctrl_c_says_that_the_board_may_hold_half_a_firmware(bench):
    bench.methods("openocd")
    bench.install("openocd")
    bench.plug("0483:374b", "066CFF", "STM32 STLink")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    bench.patch.setattr(codegen.flash_steps.subprocess, "run", interrupted)
    done = bench.flash()
    assert done.exit_code == 130
    assert done.stderr.splitlines()[-1].endswith("the board has no whole firmware: flash again")


# --- dry runs and builds -----------------------------------------------------------------------------------


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_dry_run_prints_what_would_be_run_and_changes_nothing(bench):
    bench.methods("pyocd", "drive")
    bench.install("pyocd")
    bench.probes("0049002")
    before = contents(bench.folder)
    dry = bench.flash("--dry-run")
    assert dry.exit_code == 0 and contents(bench.folder) == before
    commands = [shlex.split(line) for line in dry.stdout.splitlines()]
    assert commands.pop(2) == ["cmp", f"{bench.elf}/ouroboros.bin", f"{bench.elf}/readback.bin"]
    bench.flash()
    ran = [json.loads(line) for line in (bench.folder / "log").read_text().splitlines()]
    assert [[Path(command[0]).name, *command[1:]] for command in commands] == ran


@pytest.mark.parametrize("name", TABLES)
def test_a_dry_run_needs_neither_tool_nor_board(bench, name):
    bench.methods(name)
    shutil.rmtree(bench.elf)
    dry = bench.flash("--dry-run")
    assert dry.exit_code == 0
    assert shlex.split(dry.stdout.splitlines()[0])[0] == ("cp" if name == "drive" else name)
    assert dry.stderr.startswith(f"not ready, {name}: ") and not bench.elf.exists()


@pytest.mark.skipif(not find_cross_compilers(), reason="no cross compiler: scripts/targets.sh installs one")
def test_what_is_missing_or_out_of_date_is_built_first(bench):
    path = os.environ["PATH"]
    bench.methods("dfu-util")
    bench.install("dfu-util")
    bench.plug("0483:df11", "345", "STM32 BOOTLOADER")
    shutil.rmtree(bench.elf)
    bench.patch.setenv("PATH", f"{path}:/usr/bin:/bin")
    assert f"building {bench.elf}" in bench.flash().stderr
    built = load_built(bench.elf, bench.firmware, BOARD)
    assert (
        bench.memory == (bench.elf / "ouroboros.bin").read_bytes() and len(bench.memory) == built.flash_bytes
    )
    assert "building" not in bench.flash().stderr
    os.utime(bench.boards / BOARD / "hal.c", (2e9, 2e9))
    assert "building" in bench.flash().stderr


def test_without_firmware_it_says_how_to_make_it(bench):
    bench.methods("dfu-util")
    bench.install("dfu-util")
    bench.plug("0483:df11", "345", "STM32 BOOTLOADER")
    bench.firmware = bench.folder / "none"
    assert "make firmware BOARD=stm32f405" in bench.refusal()


def test_a_format_that_was_not_built_is_named(bench):
    bench.methods("drive")
    (bench.elf / "ouroboros.uf2").unlink()
    assert bench.refusal("--probe", str(bench.drive())).endswith("has no ouroboros.uf2, which drive needs")


# --- manifests, and the real tools -------------------------------------------------------------------------


@pytest.mark.parametrize("name", board_names())
def test_every_manifest_s_flash_tables_are_valid(name):
    board = load_board(name)
    if name not in buildable_boards():
        with pytest.raises(UserError, match="it can be simulated, not built"):
            flash_methods(board)
    elif board.target.emulator is None or "[[flash]]" in (BOARDS / name / "board.toml").read_text():
        assert flash_methods(board)


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        ([{"method": "telepathy"}], "flash.0: .*'telepathy'"),
        ([{"method": "pyocd"}], "flash.0.pyocd.target: Field required"),
        ([{"method": "pyocd", "target": "a; reboot"}], "flash.0.pyocd.target"),
        ([{"method": "avrdude", "part": "m328p", "usb": ["2341:43"]}], "flash.0.avrdude.usb.0"),
        ([{"method": "stm32flash", "port": "COM1"}], "Extra inputs"),
        ({"method": "pyocd"}, "valid list"),
    ],
)
def test_unusable_flash_tables_are_refused(tables, complaint):
    with pytest.raises(UserError, match=complaint):
        methods_from_fields(tables, "board.toml")


def test_a_board_without_a_way_to_be_flashed_says_so(bench):
    bench.methods()
    assert "names no way to flash it: it has no [[flash]]" in bench.refusal()


def test_the_real_pyocd_knows_parts_by_name_or_by_pack(tmp_path):
    tool = codegen.flash_methods.BESIDE_PYTHON / "pyocd"
    if not tool.exists():
        pytest.skip("pyocd is not installed")
    image = Image(tmp_path, START)
    (known, unknown) = methods_from_fields(
        [{"method": "pyocd", "target": target} for target in ("nrf51", "stm32x999zz")], "board.toml"
    )
    assert known.devices() is not None
    assert "nrf51" in str(known.steps(str(tool), image, "0049002")[0])
    with pytest.raises(NotReadyError, match="pyocd pack install stm32x999zz"):
        unknown.steps(str(tool), image, "0049002")


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("pyocd", "no-such-probe"),
        ("dfu-util", "no-such-board"),
        ("stm32flash", "/dev/null"),
        ("avrdude", "/dev/null"),
        ("bossac", "/dev/null"),
    ],
)
def test_the_real_tools_lack_nothing_but_the_device(bench, name, device):
    """Named devices that are none: nothing that may be connected is touched."""
    bench.patch.undo()
    fields = tomllib.loads(f'method = "{name}"\n{TABLES[name]}')
    (method,) = methods_from_fields([fields], "board.toml")
    try:
        tool = method.find_tool()
    except NotReadyError as error:
        pytest.skip(str(error))
    with pytest.raises(UserError, match=rf"^{name} failed with status \d+: ") as error:
        method.steps(tool, Image(bench.elf, START), device)[0].carry_out()
    assert re.search(r"probe|device|port|settings", str(error.value)), error.value
    assert not re.search(r"usage|option|argument", str(error.value), re.IGNORECASE)


@pytest.mark.skipif(shutil.which("openocd") is None, reason="openocd is not installed")
@pytest.mark.parametrize("name", buildable_boards())
def test_the_real_openocd_has_the_scripts(name, tmp_path):
    text = (BOARDS / name / "board.toml").read_text()
    for method in flash_methods(load_board(name)) if "[[flash]]" in text else []:
        if method.method == "openocd":
            (step,) = method.steps("openocd", Image(tmp_path, START), None)
            command = [*shlex.split(str(step))[:-1], "echo fine; exit"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            # a board's script, unlike a part's, already connects
            assert "fine" in done.stderr or done.stderr.strip().endswith("device found"), done.stderr
