"""visavis watch SOURCE..."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.liveness import Judging
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.attendance.cameras import CameraClerk
    from visavis.attendance.punches import Recorded
    from visavis.gallery import Gallery
    from visavis.recognizer import Recognizer
    from visavis.watch.address import Address
    from visavis.watch.deciding import Rule
    from visavis.watch.events import Event, Sink
    from visavis.watch.guarding import LiveGuard
    from visavis.watch.mqtt import Broker
    from visavis.watch.sources import Sources
    from visavis.watch.watching import ShotLook, WatchPlan

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

    def plan(self, rule: "Rule", guards: "dict[str, LiveGuard]") -> "WatchPlan":
        """The library's `WatchPlan`."""
        from visavis.watch.watching import WatchPlan

        return WatchPlan(rule, self.every, guards=guards)


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
        list[str] | None,
        typer.Option(
            metavar="[SOURCE=]off|warn|require",
            help="warn: say whether a face is alive; require: name nobody who is not. Of one of "
            "several sources: SOURCE=require; may be given several times.",
        ),
    ] = None
    challenge: Annotated[
        bool,
        typer.Option("--challenge", help="Alive is who turns and comes closer when asked to."),
    ] = False

    def guards(
        self,
        judging: Judging,
        models: options.Recognition,
        people: "Gallery",
        addresses: "Sequence[Address]",
    ) -> "dict[str, LiveGuard]":
        """The library's `LiveGuard` of each source. Where the pack has no networks five points
        judge.
        """
        from visavis.liveness.networks import load_liveness
        from visavis.watch.guarding import LiveGuard, demands_of

        demands = demands_of(self.liveness or (), addresses)
        if self.challenge and set(demands.values()) <= {"off"}:
            raise typer.BadParameter("expected --liveness warn or require beside --challenge")
        band, pack = judging.band(), models.detecting_pack(people)
        networks = None
        if pack.manifest.liveness and set(demands.values()) != {"off"}:
            networks = load_liveness(pack, models.where.for_one())
            band.check_model(networks.model)
        return {
            shown: LiveGuard(demand, networks, band, self.challenge)
            for shown, demand in demands.items()
        }


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
    """What takes each event: a file, a broker, and attendance."""

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
    """Where what is seen is kept, and sent."""

    out: Annotated[
        Path | None,
        typer.Option(help="Add to a .csv (who, from when to when) or a .jsonl of all events."),
    ] = None
    mqtt: Annotated[
        str,
        typer.Option(
            metavar="mqtts://HOST/TOPIC",
            help="Send events to an MQTT broker; $VISAVIS_MQTT_USER and $VISAVIS_MQTT_PASSWORD, or "
            "$VISAVIS_MQTT_PASSWORD_FILE, log in.",
        ),
    ] = ""
    attendance: RecordsPeople = False
    began: Annotated[
        str, typer.Option(help="When a video begins: a wall time, as 2026-03-02 08:00.")
    ] = ""

    @contextmanager
    def opened(
        self, recognizer: "Recognizer", people: "Gallery", sources: "Sources"
    ) -> Iterator[Keeper]:
        """What takes each event."""
        from visavis.watch.mqtt import mqtt_sink
        from visavis.watch.writing import event_sink

        with (
            event_sink(self.out) as write,
            mqtt_sink(self._broker()) as post,
            ExitStack() as stack,
        ):

            def sink(event: "Event") -> None:
                write(event)
                post(event)

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

    def _broker(self) -> "Broker | None":
        from os import environ

        from visavis.watch.mqtt import credentials, parse_broker

        return parse_broker(self.mqtt, *credentials(environ)) if self.mqtt else None


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
    from visavis.watch.watching import watch_sources

    with open_sources(sources, start=span.start, end=span.end) as opened:
        people = options.gallery_at(gallery, create=False)
        guards = living.guards(judging, models, people, opened.addresses)
        plan = span.plan(naming.rule(), guards)
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
