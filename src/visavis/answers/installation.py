"""What doctor found, as plain data and as words. Decides nothing."""

from dataclasses import asdict
from typing import Any

from visavis.doctor import Examination

MARKS = {"ok": "ok     ", "missing": "absent ", "error": "WRONG  "}


def examination_json(examination: Examination) -> dict[str, Any]:
    """Whether all is well, each thing that was looked at, each step that was timed."""
    return {"healthy": examination.healthy, **asdict(examination)}


def examination_words(examination: Examination) -> list[str]:
    """A line for each thing that was looked at, and for each step that was timed."""
    checks = [
        f"{MARKS[check.state]}{check.name:<26}{check.found}"
        f"{f': {check.mend}' if check.mend else ''}"
        for check in examination.checks
    ]
    stages = [
        f"       {stage.name:<22}{stage.milliseconds:7.2f} ms  {stage.runs_on}"
        for stage in examination.stages
    ]
    return checks + stages
