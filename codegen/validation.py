"""What every validated document of codegen shares: strictness, and complaints that fit on one line."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError


class StrictModel(BaseModel):
    """Immutable; unknown fields and silent type conversions are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_by_alias=True, validate_by_name=True
    )


def first_problem(error: ValidationError) -> str:
    """Pydantic's first complaint as one short line: where it is and what is wrong."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ").replace("\n", " ")
    return f"{where}: {message}" if where else message
