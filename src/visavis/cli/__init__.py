"""The command line: each verb reads, calls one function, prints.

Knows options, terminals and exit codes. Knows no workflow: that is a function of the library.

Exit codes: 0 done (verify: match), 1 a negative answer, 2 an error (with --json a document says
which), 3 a batch in which some items failed, 130 interrupted.
"""

import gc
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from typing import Any

import typer

from visavis.cli import printing
from visavis.cli.attendance import attendance
from visavis.cli.calibrate import calibrate
from visavis.cli.config import config
from visavis.cli.convert import convert
from visavis.cli.dataset import dataset
from visavis.cli.detect import detect
from visavis.cli.doctor import doctor
from visavis.cli.embed import embed
from visavis.cli.enroll import enroll
from visavis.cli.evaluate import evaluate
from visavis.cli.find import find
from visavis.cli.gallery import gallery
from visavis.cli.help import Verbs, Version
from visavis.cli.identify import identify
from visavis.cli.liveness import liveness
from visavis.cli.pack import pack
from visavis.cli.people import people
from visavis.cli.report import report
from visavis.cli.serve import serve
from visavis.cli.train import train
from visavis.cli.verify import verify
from visavis.cli.watch import watch
from visavis.errors import VisavisError

DEBUG = "VISAVIS_DEBUG"
INTERRUPTED = 130  # typer's exit code after Ctrl-C, as shells have it
# New objects after which Python looks for garbage: what a start makes stays, and is looked through
# a hundred times for nothing with Python's own 700.
YOUNG = 10_000
UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # click's, wherever typer keeps it

app = typer.Typer(
    name="visavis",
    cls=Verbs,
    help="Face recognition that states its error rate. Works offline; sends nothing.",
    epilog="visavis help VERB says what a verb does and takes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
COMPARE, PEOPLE, MEASURE, MODELS, MACHINE = (
    "Compare and find people",
    "Your people",
    "Measure",
    "Models",
    "This machine",
)
app.command(rich_help_panel=COMPARE)(verify)
app.command(rich_help_panel=COMPARE)(identify)
app.command(rich_help_panel=COMPARE)(find)
app.command(rich_help_panel=COMPARE)(watch)
app.command(rich_help_panel=COMPARE)(detect)
app.command(rich_help_panel=COMPARE)(embed)
app.command(name="predict", hidden=True)(embed)
app.command(rich_help_panel=PEOPLE)(enroll)
app.add_typer(people, name="people", rich_help_panel=PEOPLE)
app.add_typer(gallery, name="gallery", rich_help_panel=PEOPLE)
app.add_typer(config, name="config", rich_help_panel=PEOPLE)
app.add_typer(attendance, name="attendance", rich_help_panel=PEOPLE)
app.add_typer(evaluate, name="evaluate", rich_help_panel=MEASURE)
app.command(rich_help_panel=MEASURE)(calibrate)
app.command(rich_help_panel=MEASURE)(report)
app.add_typer(liveness, name="liveness", rich_help_panel=MEASURE)
app.add_typer(dataset, name="dataset", rich_help_panel=MEASURE)
app.add_typer(pack, name="pack", rich_help_panel=MODELS)
app.command(rich_help_panel=MODELS)(convert)
app.command(rich_help_panel=MODELS)(train)
app.command(rich_help_panel=MACHINE)(serve)
app.command(rich_help_panel=MACHINE)(doctor)


@app.callback()
def _options(version: Version = False) -> None:
    """What is asked of visavis itself, and not of a verb."""


def main() -> None:
    """Run a verb. Whatever is raised ends in exit code 2 and one line on stderr, with --json in a
    document on stdout too: no answer.
    """
    warnings.filterwarnings("ignore", module="PIL")  # about damaged metadata, which is not used
    _start_lightly()
    printing.prepare_streams()
    code = _guarded(_run_verb, json=printing.wants_json(sys.argv[1:]))
    # A full disk shows only now.
    sys.exit(_guarded(printing.flush, json=False) or code)


def _start_lightly() -> None:
    """Leave out what libraries do when they are loaded, and no verb needs."""
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
    # pydantic looks for plugins in every package that is installed.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # OpenVINO's reader of other frameworks' models: it goes on without it.
    sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]


def _with_verb(words: list[str]) -> typer.Typer:
    """The app with the verb alone that the first word names, or with all: to make them takes as
    long as to make one forty times.
    """
    commands = [
        one
        for one in app.registered_commands
        if one.callback and [one.name or one.callback.__name__] == words[:1]
    ]
    groups = [one for one in app.registered_groups if [one.name] == words[:1]]
    if not commands + groups:
        return app
    lone = copy(app)
    lone.registered_commands, lone.registered_groups = commands, groups
    return lone


def _run_verb() -> int:
    try:
        with printing.log_on_stderr():
            code = _with_verb(sys.argv[1:])(prog_name="visavis", standalone_mode=False)
    except typer.Abort:
        printing.complain("aborted")
        return 1
    if code == INTERRUPTED:
        printing.complain("interrupted")
    return int(code or 0)


def _guarded(work: Callable[[], int], *, json: bool) -> int:
    """The exit code of `work`; 2 where it raises, and why."""
    try:
        return work()
    except VisavisError as error:
        printing.tell(printing.complaint(error), json=json)
    except UsageError as error:
        _misused(error, json=json)
    except BrokenPipeError:
        # The reader of our output has gone: nobody is left to tell.
        pass
    # Python itself would exit 1 for a fault of ours, and 1 means "no match".
    except Exception as error:  # noqa: BLE001
        _confess(error, json=json)
    return 2


def _misused(error: Any, *, json: bool) -> None:
    """Words that are no command. Without any words the help is printed already."""
    if why := printing.one_line(error.format_message()):
        options = [
            word
            for word in getattr(getattr(error, "param", None), "opts", ())
            if word.startswith("--")
        ]
        printing.tell(printing.Complaint("usage", why, option="".join(options[:1])), json=json)


def _confess(error: Exception, *, json: bool) -> None:
    """Say in one line what visavis did not expect; with $VISAVIS_DEBUG, where that was."""
    if os.environ.get(DEBUG):
        with suppress(OSError):
            traceback.print_exception(error)
    text = printing.one_line(f"unexpected {type(error).__name__}: {error}").removesuffix(":")
    mend = f"to see where, set {DEBUG}=1"
    printing.tell(printing.Complaint("unexpected", text, mend), json=json)
