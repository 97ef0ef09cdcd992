"""visavis watch SOURCE..."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from visavis.cli import options, printing
from visavis.cli.liveness import Judging
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.attendance.cameras import CameraClerk
    from visavis.attendance.punches import Recorded
    from visavis.gallery import Gallery
    from visavis.recognizer import Recognizer
    from visavis.watch.deciding import Rule
    from visavis.watch.events import Event, Sink
    from visavis.watch.guarding import LiveGuard
    from visavis.watch.sources import Sources
    from visavis.watch.watching import ShotLook, WatchPlan

DemandName = Literal["off", "warn", "require"]
LONGEST = 1e6  # seconds: eleven days
RecordsPeople = Annotated[
    bool,
    typer.Option("--attendance", help="Record who is confirmed; a source's name is a device."),
]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which part is watched, and how often it is looked at."""

    start: Annotated[
        float, typer.Option(min=0, max=LONGEST, help="Begin at this second of a video.")
    ] = 0.0
    end: Annotated[
        float | None,
        typer.Option(min=0.001, max=LONGEST, help="End there; a camera: after so many seconds."),
    ] = None
    every: Annotated[
        float,
        typer.Option(min=0, max=60, help="Seconds between two looks for faces; 0: every frame."),
    ] = 0.1


@dataclass(frozen=True, slots=True)
class Naming:
    """When somebody is named."""

    false_positive_rate: Annotated[
        float,
        typer.Option(
            callback=options.between_0_and_1,
            help="Share of strangers' sightings that may get anybody's name.",
        ),
    ] = 1e-2
    agreeing: Annotated[
        int, typer.Option(min=1, max=12, help="Crops of a face that must match one person.")
    ] = 3
    among: Annotated[str | None, typer.Option(help="Search the people of this group alone.")] = None

    def rule(self) -> "Rule":
        """The library's `Rule`."""
        from visavis.watch.deciding import Rule

        return Rule(self.false_positive_rate, self.agreeing, among=self.among)


@dataclass(frozen=True, slots=True)
class Living:
    """Whether a face must be alive."""

    liveness: Annotated[
        DemandName,
        typer.Option(help="warn: say whether a face is alive; require: name nobody who is not."),
    ] = "off"

    def guard(self, judging: Judging, where: options.Where) -> "LiveGuard":
        """The library's `LiveGuard`. Without networks five points judge."""
        from visavis.liveness.networks import load_liveness
        from visavis.watch.guarding import LiveGuard

        band, models = judging.band(), judging.liveness_models
        if self.liveness == "off" or models is None:
            return LiveGuard(self.liveness, band=band)
        return LiveGuard(self.liveness, load_liveness(models, where.for_one()), band)


@dataclass(frozen=True, slots=True)
class Showing:
    """Where what is seen is shown."""

    draw: Annotated[
        Path | None, typer.Option(help="Write a video with boxes and names: an .mp4.")
    ] = None
    headless: Annotated[
        bool | None,
        typer.Option(
            "--headless/--window",
            help="No window, or a window for certain; default: for cameras, where one can be.",
        ),
    ] = None

    @contextmanager
    def opened(self, sources: "Sources") -> "Iterator[ShotLook | None]":
        """What shows each frame; None where nothing is shown. Ctrl-C stops the sources."""
        from visavis.watch.showing import all_of, drawn_video, has_window, window

        if self.draw and len(sources.every) > 1:
            raise typer.BadParameter("expected one source to draw, got several")
        live = any(source.address.live for source in sources.every)
        wanted = not self.headless if self.headless is not None else live and has_window()
        with ExitStack() as stack:
            looks = [stack.enter_context(window(sources.stop))] if wanted else []
            looks += [stack.enter_context(drawn_video(self.draw))] if self.draw else []
            stack.enter_context(_stopping(sources.stop))
            yield all_of(looks) if looks else None


@dataclass(frozen=True, slots=True)
class Keeper:
    """What takes each event: a file, and attendance."""

    sink: "Sink"
    clerk: "CameraClerk | None" = None

    def asked(self, plan: "WatchPlan") -> "WatchPlan":
        """The plan, with what attendance wants of each source."""
        return replace(plan, duty=self.clerk.duty) if self.clerk else plan

    def __call__(self, event: "Event") -> "list[Recorded]":
        """Keep an event; what became of it in attendance."""
        self.sink(event)
        return self.clerk(event) if self.clerk else []


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where what is seen is kept."""

    out: Annotated[
        Path | None,
        typer.Option(help="Add to a .csv (who, from when to when) or a .jsonl of all events."),
    ] = None
    attendance: RecordsPeople = False
    began: Annotated[
        str, typer.Option(help="When a video begins: a wall time, as 2026-03-02 08:00.")
    ] = ""

    @contextmanager
    def opened(
        self, recognizer: "Recognizer", people: "Gallery", sources: "Sources"
    ) -> Iterator[Keeper]:
        """What takes each event."""
        from visavis.watch.writing import event_sink

        with event_sink(self.out) as sink, ExitStack() as stack:
            if not self.attendance:
                yield Keeper(sink)
                return
            clerk = stack.enter_context(self._clerk(recognizer, people))
            clerk.check(sources.every)
            yield Keeper(sink, clerk)

    def _clerk(self, recognizer: "Recognizer", people: "Gallery") -> "CameraClerk":
        from visavis.attendance.attendance import Attendance
        from visavis.attendance.cameras import CameraClerk
        from visavis.attendance.moments import read_moment, zone_named

        book = Attendance(people)
        began = read_moment(self.began, zone_named(book.rules.zone)) if self.began else None
        return CameraClerk(book, recognizer, began)


@spread
def watch(
    sources: Annotated[
        list[str],
        typer.Argument(help="Videos, folders of pictures, cameras' numbers, rtsp or http."),
    ],
    span: Stretch,
    naming: Naming,
    living: Living,
    judging: Judging,
    showing: Showing,
    keeping: Keeping,
    gallery: options.GalleryFolder = None,
    *,
    models: options.Recognition,
    json: options.Json = False,
) -> None:
    """Who is seen by a camera or in a video, from when to when? Ctrl-C or q in its window ends."""
    from visavis.answers.watching import watched_json, watched_words
    from visavis.watch.sources import open_sources
    from visavis.watch.watching import WatchPlan, watch_sources

    plan = WatchPlan(naming.rule(), span.every, living.guard(judging, models.where))
    with open_sources(sources, start=span.start, end=span.end) as opened:
        people = options.gallery_at(gallery, create=False)
        recognizer = models.for_one(people)
        with showing.opened(opened) as look, keeping.opened(recognizer, people, opened) as keep:
            seen = watch_sources(recognizer, people, opened, plan=keep.asked(plan), look=look)
            events, punches = _told(seen, keep, json=json)
        document = watched_json(recognizer, opened.every, events, plan.rule, punches)
        printing.print_answer(document, watched_words(events, plan.rule), json=json)
        raise typer.Exit(3 if any(event.kind == "failed" for event in events) else 0)


def _told(
    events: "Iterable[Event]", keep: Keeper, *, json: bool
) -> "tuple[list[Event], list[Recorded]]":
    """Each event kept and, for people, on the screen as it comes."""
    from visavis.answers.watching import event_words

    told: list[Event] = []
    punches: list[Recorded] = []
    for event in events:
        recorded = keep(event)
        told.append(event)
        punches += recorded
        if not json:
            printing.print_lines(event_words(event, recorded))
            printing.flush()  # whoever reads a pipe wants to know now
    return told, punches


@contextmanager
def _stopping(stop: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C lets the frame be finished and ends the tracks; the second one interrupts.

    Signals can be handled in the main thread alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def end(number: int, frame: object) -> None:
        stop()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
