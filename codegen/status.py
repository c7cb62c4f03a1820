"""The status codes of `ouro_status.h`, for Python."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """Outcome of a firmware function; same numbers as `ouro_status_t` (a test compares them)."""

    OK = 0
    BUSY = 1
    CONVERGED = 2
    NO_PULSE_NEEDED = 3
    IDLE = 4
    NOT_PROMISED = 5
    ERR_NULL = 16
    ERR_ARGUMENT = 17
    ERR_STATE = 18
    ERR_TARGET_RANGE = 19
    ERR_READ_SATURATED = 20
    ERR_STUCK = 21
    ERR_NOT_CONVERGED = 22
    ERR_LIMIT_VOLTAGE = 23
    ERR_LIMIT_WIDTH = 24
    ERR_TIMEOUT = 25
    ERR_HAL = 26
    ABORTED = 27
    ERR_SELECT = 28
    ERR_VOLTAGE = 29
    ERR_PULSE_LENGTH = 30
    ERR_CORRUPT = 31
    ERR_LIMIT_PULSES = 32

    @property
    def is_error(self) -> bool:
        """As `OURO_STATUS_IS_ERROR`."""
        return self >= Status.ERR_NULL
