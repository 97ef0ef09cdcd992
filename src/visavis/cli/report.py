"""visavis report RESULT... --out report.html"""

from pathlib import Path
from typing import Annotated

import typer

from visavis.cli import options


def report(
    results: Annotated[list[Path], typer.Argument(help="Files that evaluate --out wrote.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    projector: Annotated[
        Path | None,
        typer.Option(help="A folder for vecs.tsv and meta.tsv, for the embedding projector."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Compare results on one page: a table, then figures."""
    from visavis.evaluate.run import load_run
    from visavis.report.page import metrics
    from visavis.report.report import write_projector, write_report

    runs = [load_run(path) for path in results]
    written = write_report(runs, out)
    if projector is not None:
        for number, run in enumerate(runs, start=1):
            folder = projector if len(runs) == 1 else projector / str(number)
            written += write_projector(run, folder)
    if json:
        compared = [
            {"name": run.about.name, "settings": run.about.settings, "metrics": metrics(run)}
            for run in runs
        ]
        options.print_json({"files": [str(path) for path in written], "runs": compared})
    else:
        print(f"{len(runs)} run{'s' * (len(runs) != 1)}, {len(written)} files: {out}")
