"""visavis report RESULT... --out report.html"""

from pathlib import Path
from typing import Annotated

import typer

from visavis.cli import options, printing


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
    from visavis.answers.evaluation import report_json
    from visavis.evaluate.run import load_run
    from visavis.report.report import write_projectors, write_report

    runs = [load_run(path) for path in results]
    written = write_report(runs, out, progress=printing.progress_bar("drawing"))
    if projector is not None:
        written += write_projectors(runs, projector)
    words = f"{len(runs)} run{'s' * (len(runs) != 1)}, {len(written)} files: {out}"
    printing.print_answer(report_json(runs, written), [words], json=json)
