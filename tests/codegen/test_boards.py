import copy
import tomllib

import pytest

from codegen.boards import board_from_fields, board_names, load_board, read_board
from firmware_templates import BOARDS
from sim.errors import UserError


@pytest.mark.parametrize("name", board_names())
def test_every_board_loads_and_suits_the_bench(name):
    board = load_board(name)
    params = board.bench_params()
    assert (params.timer_Hz, params.max_ticks) == (board.timer.frequency_Hz, board.timer.max_ticks)
    assert params.code_to_nS(2**board.adc.bits - 1) < board.adc.full_scale_nS


def test_the_generic_board_has_a_10_ns_timer_up_to_10_ms():
    board = load_board("generic")
    assert board.tick_s == 1e-8
    assert board.timer.max_ticks * board.tick_s == pytest.approx(1e-2)
    assert board.bench_params().code_to_nS(1) == 160


def test_an_unknown_board_is_refused_with_the_list():
    with pytest.raises(UserError, match=r"unknown board 'nucleo'; known boards: .*generic, .*openmena"):
        load_board("nucleo")


@pytest.mark.parametrize(
    ("section", "field", "value", "complaint"),
    [
        ("timer", "min_ticks", 0, "timer.min_ticks"),
        ("timer", "min_ticks", 2_000_000, "must not exceed max_ticks"),
        ("timer", "frequency_Hz", 1e8, "valid integer"),
        ("adc", "bits", 40, "adc.bits"),
        ("adc", "full_scale_nS", 100, "at least 1 nS per code"),
        ("adc", "noise_lsb", float("nan"), "finite"),
        ("dac", "lsb_uV", 100, "exceeds the DAC's range"),
        ("pulse", "v_set_uV", 342_000, "less than 0"),
        ("pulse", "v_reset_uV", 1_100_000, "exceeds limits.v_max_uV"),
        ("limits", "max_pulse_ticks", 2_000_000, "within the timer's range"),
        ("target", "colour", "red", "Extra inputs"),
    ],
)
def test_unusable_manifests_are_refused(section, field, value, complaint):
    fields = tomllib.loads((BOARDS / "generic" / "board.toml").read_text())
    fields = copy.deepcopy(fields)
    fields[section][field] = value
    with pytest.raises(UserError, match=complaint):
        board_from_fields(fields, "board.toml")


def test_unreadable_manifests_are_refused(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        read_board(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[timer")
    with pytest.raises(UserError, match="not a TOML file"):
        read_board(tmp_path / "bad.toml")
