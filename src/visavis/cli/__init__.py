"""The command line: each verb reads, calls one function, prints.

Knows options, terminals and exit codes. Knows no workflow: that is a function of the library.

Exit codes: 0 done (verify: match), 1 a negative answer, 2 an error, 3 a batch in which some items
failed, 130 interrupted.
"""

import sys
import warnings
from typing import Any

import typer

from visavis.cli import printing
from visavis.cli.calibrate import calibrate
from visavis.cli.convert import convert
from visavis.cli.dataset import dataset
from visavis.cli.detect import detect
from visavis.cli.doctor import doctor
from visavis.cli.embed import embed
from visavis.cli.enroll import enroll
from visavis.cli.evaluate import evaluate
from visavis.cli.identify import identify
from visavis.cli.pack import pack
from visavis.cli.people import people
from visavis.cli.report import report
from visavis.cli.verify import verify
from visavis.errors import VisavisError

INTERRUPTED = 130  # typer's exit code after Ctrl-C, as shells have it
UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # click's, wherever typer keeps it

app = typer.Typer(
    name="visavis",
    help="Face recognition that states its error rate. Works offline; sends nothing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(verify)
app.command()(detect)
app.command()(embed)
app.command(name="predict", hidden=True)(embed)
app.command()(enroll)
app.command()(identify)
app.command()(calibrate)
app.command()(report)
app.command()(convert)
app.command()(doctor)
app.add_typer(evaluate, name="evaluate")
app.add_typer(people, name="people")
app.add_typer(dataset, name="dataset")
app.add_typer(pack, name="pack")


def main() -> None:
    """Run a verb: an error is one line on stderr and exit code 2, never a traceback."""
    warnings.filterwarnings("ignore", module="PIL")  # about damaged metadata, which is not used
    try:
        with printing.log_on_stderr():
            code = app(standalone_mode=False)
    except VisavisError as error:
        code = _refused(printing.line(error))
    except UsageError as error:
        code = _misused(error)
    except typer.Abort:
        print("Aborted.", file=sys.stderr)
        code = 1
    except BrokenPipeError:  # the reader of our output has gone: nobody is left to tell
        sys.stderr.close()
        code = 2
    if code == INTERRUPTED:
        print("visavis: interrupted", file=sys.stderr)
    sys.exit(code)


def _refused(why: str) -> int:
    print(f"visavis: {why}", file=sys.stderr)
    return 2


def _misused(error: Any) -> int:
    """Words that are no command, in one line. Of no words there is none: the help is printed."""
    why = " ".join(error.format_message().split())
    return _refused(why) if why else 2
