"""The text protocol on the simulated board, under sanitizers: replies, errors, CRC, garbage."""

from __future__ import annotations

import binascii
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Talk = Callable[[bytes], list[str]]


@pytest.fixture
def talk(scpi_program: Path) -> Talk:
    """Send bytes ('~' lets the board work until idle); the reply lines. The board must end safe."""

    def send(text: bytes) -> list[str]:
        done = subprocess.run([scpi_program], input=text, capture_output=True, check=True, env={})
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
    status, start, last, _, pulses, direction, ticks, total, v_uV = map(int, programmed.split(","))
    assert (status, start, last, pulses, direction) == (2, 160_000, 220_000, 1, 1)
    assert total == ticks > 0 and v_uV == -342_000


@pytest.mark.parametrize("target", [b"220000", b"220000nS", b"220uS", b"220.000uS", b"0.22mS"])
def test_units_say_the_same(talk: Talk, target: bytes) -> None:
    assert talk(b"PROG:VER 0,0," + target + b"\n~") == talk(b"PROG:VER 0,0,220000\n~")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"FOO", -113),
        (b"CONF:FOO 1", -113),
        (b"{", -113),
        (b"CONF:TOL x", -104),
        (b"CONF:TOL:REL x", -104),
        (b"CONF:ITER", -109),
        (b"CONF:STUC 1", -109),
        (b"CONF:CRC", -109),
        (b"CONF:BUDG", -109),
        (b"CONF:BUDG 1", -222),
        (b"CONF:PREC", -109),
        (b"CONF:PREC 1001", -222),
        (b"CONF:PREC 65536", -222),
        (b"PROG:VER 1,2", -109),
        (b"PROG:VER 1,2,.5mS", -104),
        (b"PROG:VER 1,2,1.2.3mS", -104),
        (b"PROG:VER 1,2,3V", -104),
        (b"MEAS:COND? 0,65536", -222),
        (b"CONF:TOL:REL 65536", -222),
        (b"CONF:ITER 65536", -222),
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
        (b"CAL:DEV 1,2", -109),
        (b"CAL:DEV 8,0,3", -222),
        (b"CAL:DEV 0,4,3", -222),
        (b"CAL:DEV 0,0,0", -222),
        (b"CAL:DEV 0,0,21", -222),
        (b"CAL:DEV 0,0,-1", -104),
        (b"DEV:FOO", -113),
        (b"DEV:STAT?", -109),
        (b"DEV:STAT? 8,0", -222),
        (b"DEV:STAT 0,0,1", -109),
        (b"DEV:STAT 0,0,--1,0", -104),
        (b"DEV:STAT 0,0,-,0", -104),
        (b"DEV:STAT -1,0,0,0", -222),
        (b"DEV:STAT 0,4,0,0", -222),
        (b"DEV:STAT 0,0,-129,0", -222),
        (b"DEV:STAT 0,0,128,0", -222),
        (b"DEV:STAT 0,0,0,-1", -222),
        (b"DEV:STAT 0,0,0,256", -222),
        (b"DEV:RES 1", -109),
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


def test_states_are_told_set_and_forgotten(talk: Talk) -> None:
    replies = talk(
        b"DEV:STAT 7,3,-128,255\nDEV:STAT 0,1,127,9\nDEV:STAT? 7,3\nDEV:STAT? 0,1\nDEV:STAT? 0,0\n"
        b"*RST\nDEV:STAT? 7,3\nDEV:RES\nDEV:STAT? 7,3\nDEV:STAT? 0,1\nSYST:ERR?\n"
    )
    assert replies == ["-128,255", "127,9", "0,0", "-128,255", "0,0", "0,0", '0,"No error"']


def test_calibration_and_programs_teach_the_cell_they_pulse(talk: Talk) -> None:
    ask = b"~DEV:STAT? 1,2\n"
    calibrated, three, once, four, measured, same, verified, five = talk(
        b"CAL:DEV 1,2,3\n" + ask + b"PROG:ONES 1,2,230uS\n" + ask + b"MEAS:COND? 1,2\n" + ask
        + b"PROG:VER 1,2,229uS\n" + ask
    )  # fmt: skip
    assert calibrated == "0,160000,220000,3,3,1,500,1500,-342000"
    assert once.startswith("0,220000,220000,1,1,") and measured == "0,220000" and verified.startswith("2,")
    assert [three, four, same, five] == ["0,3", "0,4", "0,4", "0,4"]
    (other,) = talk(b"CAL:DEV 1,2,3\n~DEV:STAT? 2,1\n")[1:]
    assert other == "0,0"


def test_cells_beyond_the_kept_states_are_programmed_without_one(talk: Talk) -> None:
    reply = talk(b"PROG:ONES 9,9,220uS\n~")[0]
    assert reply.startswith("0,160000,160000,1,1,")


def test_states_are_left_alone_while_a_program_is_under_way(talk: Talk) -> None:
    replies = talk(b"CAL:DEV 0,0,2\n^DEV:RES\nDEV:STAT? 0,0\nABOR\n" + b"SYST:ERR?\n" * 3)
    assert [reply.split(",")[0] for reply in replies] == ["27", "-213", "-213", "27"]


def test_a_one_shot_that_cannot_be_promised_says_so(talk: Talk) -> None:
    wishes = (b"0", b"9", b"10", b"1000", b"1")
    lines = b"".join(b"CONF:PREC " + wish + b"\nPROG:ONES 0,0,300uS\n~" for wish in wishes)
    replies = talk(lines + b"*RST\nPROG:ONES 0,0,300uS\n~SYST:ERR?\n")
    assert [reply.split(",")[0] for reply in replies] == ["0", "5", "0", "0", "5", "0", "0"]
    assert all(reply.split(",")[4] == "1" for reply in replies[:-1])


def test_busy_refuses_and_abort_stops(talk: Talk) -> None:
    replies = talk(b"PROG:VER 0,0,220uS\n^CONF:ITER 3\nABOR\nSYST:ERR?\nSYST:ERR?\n")
    assert [reply.split(",")[0] for reply in replies] == ["27", "-213", "27"]


def test_a_cell_beyond_the_array_cannot_be_measured(talk: Talk) -> None:
    assert talk(b"MEAS:COND? 0,1000\n~SYST:ERR?\n") == ["28,-1", '28,"Device error"']


@pytest.mark.parametrize(
    ("setting", "status", "pulses"),
    [
        (b"", 21, 6),  # the first pulse moves the device to 220 uS, none of the others moves it
        (b"CONF:ITER 2", 22, 2),
        (b"CONF:TOL 80uS", 2, 1),
        (b"CONF:TOL:REL 300", 2, 1),
        (b"CONF:STUC 1,1000", 21, 2),
    ],
)
def test_settings_hold_until_reset(talk: Talk, setting: bytes, status: int, pulses: int) -> None:
    found, again = talk(setting + b"\nPROG:VER 0,0,300uS\n~*RST\nPROG:VER 0,0,300uS\n~")
    assert (int(found.split(",")[0]), int(found.split(",")[4])) == (status, pulses)
    assert again.split(",")[0] == "21"


def test_reset_stops_a_program_and_abort_without_one_does_nothing(talk: Talk) -> None:
    (stopped,) = talk(b"ABOR\nPROG:VER 0,0,220uS\n^*RST\n")
    assert stopped.split(",")[0] == "27"


def test_an_identity_that_does_not_fit_is_lost_whole(scpi_program: Path) -> None:
    done = subprocess.run(
        [scpi_program, "x" * 300], input=b"*IDN?\nSYST:ERR?\n", capture_output=True, check=True, env={}
    )
    assert done.stdout == b'-430,"Query DEADLOCKED"\n'


def test_error_queue_is_bounded_and_cleared(talk: Talk) -> None:
    replies = talk(b"FOO\n" * 20 + b"SYST:ERR?\n" * 9 + b"FOO\n*CLS\nSYST:ERR?\n")
    assert [int(reply.split(",")[0]) for reply in replies] == [-113] * 7 + [-350, 0, 0]


def test_replies_nobody_takes_are_lost_whole(talk: Talk) -> None:
    replies = talk(b"!" + b"*IDN?\n" * 20 + b"~SYST:ERR?\n")
    assert replies == ["Ouroboros,host,0,test"] * 11 + ['-430,"Query DEADLOCKED"']


def test_only_the_right_crc_passes(talk: Talk) -> None:
    wrong = [b"*CLS\n", b"X\n", b"*0000\n", b"X#FFFF\n", crc("*RST")[:-2] + b"x\n"]
    replies = talk(b"CONF:CRC 1\n\n" + b"".join(wrong) + crc("SYST:ERR?") * 6 + crc("*idn?").lower())
    assert [reply.split(",")[0] for reply in replies] == ["-360"] * 5 + ["0", "Ouroboros"]


def test_crc_both_ways(talk: Talk) -> None:
    good, error, plain = talk(
        b"CONF:CRC 1\n" + crc("*IDN?") + b"*IDN?\n" + crc("SYST:ERR?") + crc("CONF:CRC 0") + b"SYST:ERR?\n"
    )
    assert good.encode() + b"\n" == crc("Ouroboros,host,0,test")
    assert error.encode() + b"\n" == crc('-360,"Communication error"')
    assert plain == '0,"No error"'
