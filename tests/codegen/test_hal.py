"""The boards' own functions, as compiled for their cores, against peripherals that answer anything at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import unicorn
from unicorn import arm_const

from codegen.boards import load_board
from codegen.core_emulator import read_image
from codegen.core_engines import engine_of
from codegen.cores import load_core
from codegen.cross import find_cross_compilers
from codegen.firmware import make_firmware
from codegen.target import build_elf, buildable_boards

pytestmark = pytest.mark.skipif(
    not find_cross_compilers(), reason="no cross compiler: scripts/targets.sh installs one"
)
PERIPHERALS = {  # first address, size
    "cortex_m": (  # the first are an RP2040's flash controller, the fourth its pins
        (0x1800_0000, 0x1000),
        (0x4000_0000, 0x2000_0000),
        (0xE000_0000, 0x10_0000),
        (0xD000_0000, 0x1000_0000),
    ),
    "riscv": ((0x1000_0000, 0x1000_0000),),
}
BOARDS = [name for name in buildable_boards() if load_board(name).target.startup in PERIPHERALS]
STOP = 0x0FFF_0000
MOST_INSTRUCTIONS = 1_000_000  # of board_init, which waits for clocks; everything else returns at once
AT_ONCE = 50_000
SCRATCH = 0x800  # below the stack's top: for results


class Bench:
    """A board's firmware on an emulated core; reads of peripherals are answered by `answer(address)`."""

    def __init__(self, elf: Path, board: str, answer: Any) -> None:
        target, image = load_board(board).target, read_image(elf)
        core = load_core(target.cpu)
        self.engine = engine_of(core)
        self.uc: Any = unicorn.Uc(*self.engine.unicorn)
        self.uc.ctl_set_cpu_model(self.engine.models[core.name])
        self.symbols, self.writes = image.symbols, list[tuple[int, int]]()
        self.ram_end = target.ram_origin + target.ram_bytes
        self.uc.mem_map(target.flash_origin & ~0xFFF, -(-target.flash_bytes // 0x1000) * 0x1000)
        self.uc.mem_map(target.ram_origin, target.ram_bytes)
        self.uc.mem_map(STOP, 0x1000)
        for first, size in PERIPHERALS[core.family.name]:
            self.uc.mmio_map(
                first,
                size,
                lambda _uc, offset, _size, base: answer(base + offset) & 0xFFFFFFFF,
                first,
                lambda _uc, offset, _size, value, base: self.writes.append((base + offset, value)),
                first,
            )
        for address, content in image.segments:
            self.uc.mem_write(address, content)

    def call(self, name: str, *arguments: int, most: int = AT_ONCE) -> int:
        """Call a function; it must return within `most` instructions."""
        engine = self.engine
        for register, value in zip(engine.arguments, arguments, strict=False):
            self.uc.reg_write(register, value & 0xFFFFFFFF)
        self.uc.reg_write(engine.stack_pointer, self.ram_end - 2 * SCRATCH)
        self.uc.reg_write(engine.return_address, STOP | engine.code_bit)
        self.uc.emu_start(self.symbols[name] | engine.code_bit, STOP, count=most)
        assert self.uc.reg_read(engine.program_counter) == STOP, f"{name} does not return"
        return int(self.uc.reg_read(engine.result))


def working(board: str) -> Any:
    """Peripherals that are ready and agree to everything."""
    ready = {
        "openmena": {0x4009_0020: 0x5},  # of the TWI: sent, and no refusal
        "hifive1-revb": {0x1002_404C: 0},  # of the SPI: something has come
    }.get(board, {})
    return lambda address: ready.get(address, -1)


@pytest.fixture(scope="module", params=BOARDS)
def flashed(request, networks, tmp_path_factory) -> tuple[str, Path]:
    """A board and its ELF."""
    folder = tmp_path_factory.mktemp("hal")
    network = networks.write(folder / "net.onnx", networks.layers((2, 4, 1)), "log10_s")
    make_firmware(network, load_board(request.param), folder / "firmware", None, force=False)
    return request.param, build_elf(folder / "firmware", folder / "elf").elf


@pytest.mark.parametrize("kind", ["zeros", "ones", "noise"])
def test_every_function_returns_whatever_the_peripherals_answer(flashed, kind):
    board, elf = flashed
    noise = np.random.default_rng(1)
    answers = {"zeros": lambda _: 0, "ones": lambda _: -1, "noise": lambda _: int(noise.integers(2**32))}
    bench = Bench(elf, board, answers[kind])
    result = bench.ram_end - SCRATCH
    bench.call("board_init", most=MOST_INSTRUCTIONS)
    for _ in range(3):
        bench.call("board_watchdog_kick")
        bench.call("board_select", 1, 2)
        bench.call("board_set_v", -342_000)
        bench.call("board_settle_start", 10)
        assert bench.call("board_settle_poll") & 0xFF in (0, 1, 2)
        bench.call("board_read_start", 200_000, 2)
        assert bench.call("board_read_poll", result) & 0xFF in (0, 1, 2)
        bench.call("board_pulse_start", 1, load_board(board).timer.min_ticks)
        assert bench.call("board_pulse_poll", result) & 0xFF in (0, 1, 2)
        for line in (0, 1):
            assert bench.call("board_line_receive", line, result) & 0xFF in (0, 1)
            assert bench.call("board_line_send", line, 65) & 0xFF in (0, 1)
        bench.call("board_safe")


def test_a_cell_outside_the_array_is_not_selected(flashed):
    board, elf = flashed
    bench = Bench(elf, board, working(board))
    bench.call("board_init", most=MOST_INSTRUCTIONS)
    side = {"openmena": 8}.get(board, 64)
    assert bench.call("board_select", side - 1, side - 1) & 0xFF == 1
    assert [bench.call("board_select", *cell) & 0xFF for cell in ((side, 0), (0, side))] == [0, 0]


def test_a_voltage_set_is_a_whole_number_of_the_dac_s_steps(flashed):
    board, elf = flashed
    bench = Bench(elf, board, working(board))
    bench.call("board_init", most=MOST_INSTRUCTIONS)
    bench.call("board_select", 1, 2)
    params = load_board(board).bench_params()
    for v_uV in (-342_000, 706_500, 0):
        given_uV = np.int32(np.uint32(bench.call("board_set_v", v_uV)))
        assert given_uV == params.dac_uV(v_uV) and given_uV % params.dac_lsb_uV == 0


@pytest.mark.parametrize(
    ("flashed", "late_cycles", "ticks_given"),
    [
        ("mps2-an500", 12, 100),
        ("mps2-an500", 20, 100),
        ("mps2-an500", 38, 101),
        ("mps2-an500", 2475, 198),
        ("openmena", 20, 100),
        ("openmena", 102, 101),
        ("openmena", 8340, 199),
    ],
    indirect=["flashed"],
)
def test_a_pulse_that_an_interrupt_ends_tells_its_measured_length(flashed, late_cycles, ticks_given):
    """SysTick interrupts a tick or less early; the handler waits for the end, or comes late and says so."""
    counter, top = 0xE000_E018, 0xE000_E014
    since_interrupt = iter(range(late_cycles, 10**6, 3))  # cycles, at each look

    def answer(address: int) -> int:
        reload = dict(bench.writes).get(top, 0)
        return {counter: lambda: reload - next(since_interrupt), top: lambda: reload}.get(
            address, lambda: 0
        )()

    bench = Bench(flashed[1], flashed[0], answer)
    result = bench.ram_end - SCRATCH
    bench.call("board_pulse_start", -1, 100)
    assert bench.call("board_pulse_poll", result) & 0xFF == 0
    bench.call("target_systick")
    assert bench.call("board_pulse_poll", result) & 0xFF == 1
    assert int.from_bytes(bench.uc.mem_read(result, 4), "little") == ticks_given


@pytest.mark.parametrize("flashed", ["microbit"], indirect=True)
def test_host_and_bench_share_a_serial_line_byte_by_byte(flashed):
    """Bytes of the bench link have bit 7 set; a host that fills the line does not keep the bench waiting."""
    ready, received, sent = 0x4000_2108, 0x4000_2518, 0x4000_251C
    waiting: list[int] = []
    answers = {ready: lambda: int(bool(waiting)), received: lambda: waiting.pop(0)}
    bench = Bench(flashed[1], flashed[0], lambda address: answers.get(address, lambda: 1)())
    result = bench.ram_end - SCRATCH

    def receive(line: int) -> str:
        taken = ""
        for _ in range(300):
            if bench.call("board_line_receive", line, result) & 0xFF:
                taken += chr(bench.uc.mem_read(result, 1)[0])
        return taken

    waiting += [
        byte for pair in zip(b"*IDN?\n", b"LINK\n!", strict=True) for byte in (pair[0], pair[1] | 0x80)
    ]
    assert receive(0) == "*IDN?\n" and receive(1) == "LINK\n!"
    waiting += [*b"x" * 70, *(byte | 0x80 for byte in b"160000,0\n")]
    assert receive(1) == "160000,0\n" and receive(0) == "x" * 64
    assert bench.call("board_line_send", 0, ord("A")) & bench.call("board_line_send", 1, ord("A")) & 0xFF == 1
    assert [value for address, value in bench.writes if address == sent] == [0x41, 0xC1]


@pytest.mark.parametrize(
    (
        "flashed",
        "begin",
        "end",
        "counts",
    ),  # addresses of two compare registers; whether the last count is part of it
    [
        ("arduino-due", 0x4008_0014, 0x4008_001C, 0),
        ("microbit", 0x4000_8540, 0x4000_8544, 0),
        ("stm32f405", 0x4000_0034, 0x4000_002C, 1),
        ("stm32vldiscovery", 0x4000_0434, 0x4000_042C, 1),
    ],
    indirect=["flashed"],
)
def test_a_timer_s_registers_hold_exactly_the_ticks_commanded(flashed, begin, end, counts):
    bench = Bench(flashed[1], flashed[0], lambda _: 0)
    for ticks in (2, 12_345):
        bench.call("board_pulse_start", 1, ticks)
        written = dict(bench.writes)
        assert written[end] - written[begin] + counts == ticks


@pytest.mark.parametrize("ticks", [65_535, 65_536, 100_001, 240_000])
@pytest.mark.parametrize("flashed", ["stm32vldiscovery"], indirect=True)
def test_a_timer_of_16_bits_counts_long_pulses_in_steps_and_tells_their_length(flashed, ticks):
    bench = Bench(flashed[1], flashed[0], lambda _: 0)
    result = bench.ram_end - SCRATCH
    bench.call("board_pulse_start", 1, ticks)
    written = dict(bench.writes)
    assert written[0x4000_042C] <= 0xFFFF
    assert bench.call("board_pulse_poll", result) & 0xFF == 1
    given = int.from_bytes(bench.uc.mem_read(result, 4), "little")
    assert given == written[0x4000_042C] * (written[0x4000_0428] + 1)
    assert abs(given - ticks) * 64 <= ticks


@pytest.mark.parametrize("flashed", ["microbit"], indirect=True)
def test_a_pulse_whose_pin_stays_high_has_failed(flashed):
    pins, level = 0x5000_0510, 0
    bench = Bench(flashed[1], flashed[0], lambda address: level if address == pins else 1)
    result = bench.ram_end - SCRATCH
    bench.call("board_pulse_start", 1, 123_456)
    assert bench.call("board_pulse_poll", result) & 0xFF == 1
    assert int.from_bytes(bench.uc.mem_read(result, 4), "little") == 123_456
    level = 1 << 3
    bench.call("board_pulse_start", 1, 123_456)
    assert bench.call("board_pulse_poll", result) & 0xFF == 2


class Pio:
    """An RP2040's state machine as far as our program goes (datasheet 3.4): the pin's level, period by period."""

    def __init__(self, program: list[int]) -> None:
        self.program, self.levels = program, list[int]()

    def run(self, word: int) -> list[int]:
        """The levels from the first instruction to the last."""
        at = x = osr = level = 0
        self.levels = []
        while at < len(self.program):
            instruction = self.program[at]
            kind, operand = instruction >> 13, instruction & 0x1F
            assert instruction & 0x1F00 == 0, "no delays"
            at += 1
            if instruction == 0x80A0:  # pull block
                osr = word
            elif instruction == 0xA027:  # mov x, osr
                x = osr
            elif kind == 0 and instruction >> 5 & 7 == 2:  # jmp x--
                at, x = (operand, x - 1) if x else (at, 0xFFFFFFFF)
            elif kind == 7 and instruction >> 5 & 7 == 0:  # set pins
                level = operand
            else:
                assert instruction == 0xC000, "irq set 0"
            self.levels.append(level)
        return self.levels


@pytest.mark.parametrize("ticks", [2, 3, 100, 12_345])
@pytest.mark.parametrize("flashed", ["rp2040"], indirect=True)
def test_the_pio_program_keeps_the_pin_high_for_exactly_the_ticks_commanded(flashed, ticks):
    memory, queue, wrap, divider = 0x5020_0048, 0x5020_0010, 0x5020_00CC, 0x5020_00C8
    bench = Bench(flashed[1], flashed[0], lambda _: -1)
    bench.call("board_init", most=MOST_INSTRUCTIONS)
    written = dict(bench.writes)
    length = (written[wrap] >> 12 & 0x1F) + 1
    bench.call("board_pulse_start", 1, ticks)
    assert written[divider] == 0x10000, "a tick is a clock period"
    levels = Pio([written[memory + 4 * k] for k in range(length)]).run(dict(bench.writes)[queue])
    assert sum(levels) == ticks and levels[-1] == 0
    assert "".join(map(str, levels)).strip("0") == "1" * ticks, "one pulse"


@pytest.mark.parametrize("flashed", ["rp2040"], indirect=True)
def test_the_second_stage_maps_the_flash_and_starts_the_firmware_from_wherever_it_was_copied_to(flashed):
    ssi_enable, vtor, copy = 0x1800_0008, 0xE000_ED08, 0x2003_0000
    bench = Bench(flashed[1], flashed[0], lambda _: 0)
    bench.uc.mem_write(copy, bytes(bench.uc.mem_read(0x1000_0000, 256)))
    reset = bench.symbols["target_reset"] & ~1
    bench.uc.emu_start(copy | 1, reset, count=100)
    assert bench.uc.reg_read(arm_const.UC_ARM_REG_PC) == reset
    assert bench.uc.reg_read(arm_const.UC_ARM_REG_MSP) == bench.ram_end
    assert [value for address, value in bench.writes if address == ssi_enable] == [0, 1]
    assert dict(bench.writes)[vtor] == bench.symbols["vectors"] == 0x1000_0100


@pytest.mark.parametrize("flashed", ["openmena"], indirect=True)
def test_openmena_s_row_goes_above_its_column_to_set_and_below_it_to_reset(flashed):
    pointer, data = 0x4009_000C, 0x4009_0034
    bench = Bench(flashed[1], flashed[0], working("openmena"))
    bench.call("board_init", most=MOST_INSTRUCTIONS)
    bench.call("board_select", 5, 2)

    def row_code(v_uV: int) -> int:
        bench.writes.clear()
        bench.call("board_set_v", v_uV)
        assert [value for address, value in bench.writes if address == pointer] == [0x10 + 5]
        high, low = (value for address, value in bench.writes if address == data)
        return high << 8 | low

    assert [row_code(v_uV) for v_uV in (0, -366_000, 366_000, -749_000)] == [2048, 3048, 1048, 4094]
    bench.writes.clear()
    assert bench.call("board_set_v", -(10**6)) == 0
    assert pointer not in dict(bench.writes), "more than 0.75 V: nothing is set"


@pytest.mark.parametrize("flashed", ["openmena"], indirect=True)
def test_openmena_pulses_the_selected_cell_alone_and_opens_every_switch_after_it(flashed):
    set_c, clear_c, set_d, clear_d = 0x400E_1230, 0x400E_1234, 0x400E_1430, 0x400E_1434
    bench = Bench(flashed[1], flashed[0], working("openmena"))
    bench.call("board_init", most=MOST_INSTRUCTIONS)
    bench.call("board_select", 5, 2)  # Arduino pins 12, PD8, and 34, PC2
    bench.writes.clear()
    bench.call("board_pulse_start", 1, 50)
    closed = [each for each in bench.writes if each[0] in (set_c, set_d)]
    assert closed == [(set_c, 1 << 2), (set_d, 1 << 8)], "the column first, the row begins the pulse"
    bench.writes.clear()
    bench.call("target_systick")
    assert (clear_d, 1 << 8) in bench.writes
    bench.call("board_pulse_poll", bench.ram_end - SCRATCH)
    assert {(clear_c, 0x23EA_0114), (clear_d, 0x780)} <= set(bench.writes)


@pytest.mark.parametrize(
    ("ticks", "ticks_given"), [(1, 1), (65_534, 65_534), (65_537, 65_537), (159_999, 160_001)]
)
@pytest.mark.parametrize("flashed", ["hifive1-revb"], indirect=True)
def test_a_pulse_of_the_fe310_is_counted_in_steps_and_tells_its_true_length(flashed, ticks, ticks_given):
    """PWM2 is back at 0 one tick after it has come to compare 0, and its output high from count 1 until then."""
    config, counts = 0x1003_5000, 0x1003_5020
    bench = Bench(flashed[1], flashed[0], lambda _: 0)
    result = bench.ram_end - SCRATCH
    bench.call("board_pulse_start", 1, ticks)
    written = dict(bench.writes)
    step = 1 << (written[config] & 0xF)
    assert written[counts] < 2**16 and (written[counts] - 1) * step + 1 == ticks_given
    assert bench.call("board_pulse_poll", result) & 0xFF == 1
    assert int.from_bytes(bench.uc.mem_read(result, 4), "little") == ticks_given


@pytest.mark.parametrize("flashed", ["hifive1-revb"], indirect=True)
def test_a_trap_makes_the_outputs_safe_and_waits_for_the_watchdog(flashed):
    pins, config, fed = 0x1001_200C, 0x1003_5000, 0x1000_0018
    bench = Bench(flashed[1], flashed[0], lambda address: 0x10_0003 if address == pins else 0)
    bench.uc.emu_start(bench.symbols["target_trap"], STOP, count=AT_ONCE)
    written = [(address, value) for address, value in bench.writes if address in (pins, config, fed)]
    assert written[:2] == [(pins, 0), (config, 0)] and fed not in dict(written)
    assert bench.uc.reg_read(bench.engine.program_counter) >= bench.symbols["target_stop"]
