"""visavis serve"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visavis.cli import options, printing
from visavis.cli.liveness import Judging
from visavis.cli.spread import spread
from visavis.cli.watch import Living, RecordsPeople

if TYPE_CHECKING:
    from visavis.serve.run import ListenAddress, Prepared
    from visavis.serve.service import ServeSettings
    from visavis.serve.who.outside import OutsideSettings
    from visavis.watch.address import Address
    from visavis.watch.guarding import LiveGuard


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a service listens, and who signs in elsewhere to be let in."""

    host: Annotated[
        str, typer.Option(help="The address; beyond this machine, everybody needs a key.")
    ] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8420
    tls: Annotated[str, typer.Option(help="self, or a PEM file with key and certificate.")] = ""
    access: Annotated[
        Path | None, typer.Option(help="A TOML file: who signs in elsewhere, and may what.")
    ] = None

    def address(self) -> "ListenAddress":
        """The library's `ListenAddress`. Raises DeviceError where the extra is not installed."""
        from visavis.extras import need

        need("fastapi", "uvicorn", "multipart", "prometheus_client", extras="serve")
        need("jinja2", "argon2", "websockets", "joserfc", extras="serve")
        from visavis.serve.run import ListenAddress

        return ListenAddress(self.host, self.port, self.tls)

    def outside(self) -> "OutsideSettings | None":
        """Who signs in elsewhere. Raises ServeError where the file does not say it."""
        from visavis.serve.who.outside import read_outside

        return read_outside(self.access) if self.access else None


@dataclass(frozen=True, slots=True)
class Watching:
    """Which cameras are watched meanwhile."""

    watch: Annotated[
        list[str] | None,
        typer.Option(help="Watch a camera or stream: NAME=SOURCE, as entry=0; again for others."),
    ] = None
    attendance: RecordsPeople = False

    def addresses(self) -> "list[Address]":
        """Where the cameras are. Raises SourceError for what is no source."""
        from visavis.watch.address import parse_address

        return [parse_address(one) for one in self.watch or ()]


@dataclass(frozen=True, slots=True)
class Offering:
    """What is given out, and sent."""

    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Give embeddings to admins who ask.")
    ] = False
    webhooks_inside: Annotated[
        bool,
        typer.Option(
            "--webhooks-inside", help="Let webhooks go to this machine and private networks."
        ),
    ] = False


@spread
def serve(
    listening: Listening,
    watching: Watching,
    living: Living,
    judging: Judging,
    offering: Offering,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Make another admin's key, and print it.")
    ] = False,
    gallery: options.GalleryFolder = None,
    *,
    models: options.Recognition,
    json: options.Json = False,
) -> None:
    """Answer over HTTP: the same questions as REST, and pages for people."""

    address = listening.address()
    from visavis.serve.run import answer_until_stopped, prepare

    people = options.gallery_at(gallery)
    recognizer = models.for_many(people)
    guards = living.guards(judging, models, people, watching.addresses())
    asked = _settings(listening, watching, offering, models, guards)
    prepared = prepare(recognizer, people, address, asked, new_key=new_key)
    printing.print_answer(*_told(prepared, people.where), json=json)
    printing.flush()
    with printing.requests_on_stderr():
        answer_until_stopped(prepared)


def _settings(
    listening: Listening,
    watching: Watching,
    offering: Offering,
    models: options.Recognition,
    guards: "dict[str, LiveGuard]",
) -> "ServeSettings":
    from visavis.serve.service import ServeSettings

    return ServeSettings(
        models.pack,
        None if models.pack else models.deciding,
        embeddings=offering.embeddings,
        webhooks_inside=offering.webhooks_inside,
        outside=listening.outside(),
        watch=tuple(watching.watch or ()),
        attendance=watching.attendance,
        guards=guards,
    )


def _told(prepared: "Prepared", gallery: str) -> "tuple[dict[str, Any], list[str]]":
    """Where it answers, and what must be known of it now: the key is not told again."""
    certificate, mark = _certificate(prepared.certificate)
    document = {
        "url": prepared.url,
        "gallery": gallery,
        "admin_key": prepared.new_key,
        "certificate": certificate,
        "fingerprint": mark,
    }
    lines = [f"{prepared.url}  the gallery: {gallery}"]
    if prepared.new_key:
        lines.append(f"an admin's key, told this once: {prepared.new_key}")
    if mark:
        lines.append(f"the certificate {certificate}, SHA-256 {mark}")
    return document, lines


def _certificate(path: Path | None) -> tuple[str | None, str | None]:
    from visavis.serve.tls import fingerprint

    return (str(path), fingerprint(path)) if path else (None, None)
