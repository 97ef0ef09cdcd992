"""visavis doctor"""

from dataclasses import asdict
from typing import Any

import typer

from visavis.cli import options

MARKS = {"ok": "ok     ", "missing": "absent ", "error": "WRONG  "}


def doctor(
    pack: options.PackName = "default",
    device: options.DeviceName = "auto",
    precision: options.PrecisionName = options.Precision.auto,
    runtime: options.RuntimeName = options.Runtime.auto,
    json: options.Json = False,
) -> None:
    """What works here, how fast, and what to install for what does not."""
    from visavis.doctor import examine

    found = examine(pack, options.device_of(device, precision, runtime))
    if json:
        document: dict[str, Any] = {"healthy": found.healthy, **asdict(found)}
        options.print_json(document)
    else:
        for check in found.checks:
            mend = f": {check.mend}" if check.mend else ""
            print(f"{MARKS[check.state]}{check.name:<26}{check.found}{mend}")
        for stage in found.stages:
            print(f"       {stage.name:<22}{stage.milliseconds:7.2f} ms  {stage.runs_on}")
    raise typer.Exit(0 if found.healthy else 1)
