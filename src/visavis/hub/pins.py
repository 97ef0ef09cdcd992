"""pins.json: what each file was at its first download, and must be at every later one."""

from dataclasses import dataclass, field
from pathlib import Path

from visavis.document import parse, to_bytes
from visavis.errors import DownloadError, PackError
from visavis.files import held, write_whole
from visavis.folders import data_folder


@dataclass(frozen=True, slots=True)
class Pin:
    """One file as it was when it was first trusted."""

    size: int
    sha256: str
    url: str  # redacted
    date: str  # of the first download
    commit: str | None = None  # of the hub's repository


@dataclass(frozen=True, slots=True)
class _Pins:
    pins: dict[str, Pin] = field(default_factory=dict)


def pins_file() -> Path:
    """Where pins are kept: in the user's data folder."""
    return data_folder() / "pins.json"


def read_pins() -> dict[str, Pin]:
    """Every pin by its key, `NAME/FILE` or a pack's URL. Raises PackError for a damaged file."""
    path = pins_file()
    try:
        return parse(_Pins, path.read_bytes(), str(path), PackError).pins
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise PackError(f"{path}: cannot be read: {error.strerror or error}") from error


def keep_pin(key: str, pin: Pin) -> None:
    """Add a pin, or replace an earlier one. Raises OutputError, or PackError for a damaged file."""
    path = pins_file()
    with held(path.with_name("pins.lock"), DownloadError):
        pins = read_pins() | {key: pin}
        write_whole(path, to_bytes(_Pins(dict(sorted(pins.items())))))


def pin_error(what: str, *, key: str, pin: Pin) -> DownloadError:
    """The error for a file that differs from its pin."""
    return DownloadError(
        f"{what}; it was pinned on {pin.date} ({pin.size} bytes, sha256 {pin.sha256}) as {key} "
        f"in {pins_file()}",
        mend="if the change is meant, replace it",
        option="replace",
    )
