"""The text protocol on the simulated board, under sanitizers: replies, errors, CRC, garbage."""

from __future__ import annotations

import binascii
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firmware_templates import HOST, STATIC

HERE = Path(__file__).parent
Talk = Callable[[bytes], list[str]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, rig_sources: Any) -> Path:
    """scpi_host.c with parser, controller and mailbox HAL, address and undefined-behaviour sanitizers on."""
    _, strict, include = rig_sources
    names = ["ouro_scpi.c", "ouro_controller.c", "ouro_pulse_gate.c", "ouro_request.c"]
    sources = [*(STATIC / name for name in names), HOST / "ouro_mailbox_hal.c"]
    sources += [HERE / "rule_predictor.c", HERE / "scpi_host.c"]
    path = tmp_path_factory.mktemp("scpi") / "scpi"
    flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = ["gcc", *strict, *flags, *include, *map(str, sources), "-o", str(path)]
    subprocess.run(command, check=True)
    return path


@pytest.fixture
def talk(program: Path) -> Talk:
    """Send bytes ('~' lets the board work until idle); the reply lines. The board must end safe."""

    def send(text: bytes) -> list[str]:
        done = subprocess.run([program], input=text, capture_output=True, check=True, env={})
        assert done.stderr == b"0 1\n"
        return done.stdout.decode().splitlines()

    return send


def crc(line: str) -> bytes:
    return f"{line}*{binascii.crc_hqx(line.encode(), 0xFFFF):04X}\n".encode()


def test_identity_and_empty_error_queue(talk: Talk) -> None:
    assert talk(b"*idn?\r\nSYST:ERR?\n\n") == ["Ouroboros,host,0,test", '0,"No error"']


def test_a_measurement_gives_no_pulse_and_a_program_converges(talk: Talk) -> None:
    measured, programmed, again = talk(b"MEAS:COND? 1,2\n~PROG:VER 1,2,220uS\n~MEAS:COND? 1,2\n~")
    assert (measured, again) == ("0,160000", "0,220000")
    status, start, last, _, pulses, direction, ticks, total = map(int, programmed.split(","))
    assert (status, start, last, pulses, direction) == (2, 160_000, 220_000, 1, 1)
    assert total == ticks > 0


@pytest.mark.parametrize("target", [b"220000", b"220000nS", b"220uS", b"220.000uS", b"0.22mS"])
def test_units_say_the_same(talk: Talk, target: bytes) -> None:
    assert talk(b"PROG:VER 0,0," + target + b"\n~") == talk(b"PROG:VER 0,0,220000\n~")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"FOO", -113),
        (b"CONF:FOO 1", -113),
        (b"PROG:ONES 1,2", -109),
        (b"PROG:ONES 1,2,3,4", -109),
        (b"MEAS:COND?", -109),
        (b"PROG:ONES 1,2,-3", -104),
        (b"PROG:ONES 1,2,2.5", -104),
        (b"PROG:ONES 1,2,1.0001uS", -104),
        (b"PROG:ONES 1,2,99999999999999999999", -104),
        (b"PROG:ONES 65536,2,220000", -222),
        (b"CONF:TOL:REL 1001", -222),
        (b"CONF:ITER 0", -222),
        (b"CONF:STUC 65536,1", -222),
        (b"CONF:CRC 2", -222),
        (b"x" * 81, -363),
        (b"*IDN?\0", -113),
    ],
)
def test_a_bad_line_is_one_error_and_nothing_else(talk: Talk, line: bytes, error: int) -> None:
    first, second = talk(line + b"\nSYST:ERR?\nSYST:ERR?\n")
    assert (int(first.split(",")[0]), second) == (error, '0,"No error"')


def test_a_target_outside_the_window_is_the_controllers_refusal(talk: Talk) -> None:
    refused, error = talk(b"PROG:ONES 0,0,1\nSYST:ERR?\n")
    assert (refused.split(",")[0], error) == ("19", '19,"Device error"')


def test_busy_refuses_and_abort_stops(talk: Talk) -> None:
    replies = talk(b"PROG:VER 0,0,220uS\n^CONF:ITER 3\nABOR\nSYST:ERR?\nSYST:ERR?\n")
    assert [reply.split(",")[0] for reply in replies] == ["27", "-213", "27"]


def test_error_queue_is_bounded_and_cleared(talk: Talk) -> None:
    replies = talk(b"FOO\n" * 20 + b"SYST:ERR?\n" * 9 + b"FOO\n*CLS\nSYST:ERR?\n")
    assert [int(reply.split(",")[0]) for reply in replies] == [-113] * 7 + [-350, 0, 0]


def test_replies_nobody_takes_are_lost_whole(talk: Talk) -> None:
    replies = talk(b"!" + b"*IDN?\n" * 20 + b"~SYST:ERR?\n")
    assert replies == ["Ouroboros,host,0,test"] * 11 + ['-430,"Query DEADLOCKED"']


def test_crc_both_ways(talk: Talk) -> None:
    good, error, plain = talk(
        b"CONF:CRC 1\n" + crc("*IDN?") + b"*IDN?\n" + crc("SYST:ERR?") + crc("CONF:CRC 0") + b"SYST:ERR?\n"
    )
    assert good.encode() + b"\n" == crc("Ouroboros,host,0,test")
    assert error.encode() + b"\n" == crc('-360,"Communication error"')
    assert plain == '0,"No error"'


def test_mutated_sessions_find_nothing(program: Path) -> None:
    done = subprocess.run([program, "fuzz", "100000", "1"], capture_output=True, text=True, env={})
    assert done.returncode == 0, done.stderr[:2000]
    outcome, reached = done.stdout.split(";")
    assert outcome == "100000 executions, 0 findings"
    assert all(int(count.split()[0]) > 100 for count in reached.split(","))  # or it fuzzed nothing
