"""Every error visavis raises on purpose: what was expected, what came, how to mend it, and a code.

VisavisError
├── ImageError           bytes or an array that is not a usable picture
├── NoFaceError          a photo in which no face was found
├── AmbiguousFaceError   a photo with several faces of about one size, and none was chosen
├── LandmarkError        five points from which no crop can be cut
├── EmbeddingError       an embedding that is not finite, not unit, or not of the expected shape
├── PackError            a pack that is missing, damaged, or made for a newer visavis
├── DownloadError        a file that cannot be fetched, or differs from the expected one
├── ModelError           a network that cannot be loaded, or that answers with NaN
├── DeviceError          a device, runtime or precision that this machine does not have
├── MismatchError        things of different models, or of different cuts, that do not go together
├── CalibrationError     an error rate that the calibration's data cannot support
├── ConfigurationError   a configuration that cannot be, or too few of its members that can answer
├── GalleryError         a gallery that is missing, damaged, full, locked, or of a newer version
├── GalleryKeyError      a gallery's key that is missing, another gallery's, or was rotated
├── PersonError          a name that nobody or several people have, or that nobody may have
├── SourceError          a camera, a stream or a video that cannot be read
├── DatasetError         a data set that is missing a file, or a list that cannot be read
├── RulesError           rules of attendance that contradict each other, or name what is not there
├── AttendanceError      a punch or a correction that cannot be: a locked period, no time
├── CheckpointError      a checkpoint that cannot be read, or whose keys do not fit
├── OutputError          a result that cannot be written where it was asked for
└── ServeError           a service that cannot start: its address, its certificate, or no key
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Self


class VisavisError(Exception):
    """The root: `except VisavisError` catches whatever visavis raises on purpose.

    `what` says what was expected and what came, `mend` what to do about it. `option` names the
    parameter that mends it: the command line shows it as its own option. `code` is the same for all
    errors of a class, and never changes.
    """

    code = "error"

    def __init__(self, what: str, *, mend: str = "", option: str = "") -> None:
        super().__init__(what)
        self.what, self.mend, self.option = what, mend, option

    def __str__(self) -> str:
        return f"{self.what}: {self.mend}" if self.mend else self.what

    def at(self, where: str) -> Self:
        """The same error with its place in front: `raise error.at(where) from error`."""
        return type(self)(f"{where}: {self.what}", mend=self.mend, option=self.option)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that names what is spelt alike, as a `mend`; empty where nothing is."""
    written = {one.casefold(): one for one in known}
    close = [written[one] for one in get_close_matches(name.casefold(), written)]
    return f"did you mean {' or '.join(map(repr, close))}?" if close else ""


class ImageError(VisavisError):
    """Bytes or an array that is not a usable picture."""

    code = "image"


class NoFaceError(VisavisError):
    """A photo in which no face was found."""

    code = "no_face"


class AmbiguousFaceError(VisavisError):
    """A photo with several faces of about one size, and none was chosen."""

    code = "ambiguous_face"


class LandmarkError(VisavisError):
    """Five points from which no crop can be cut: not finite, in one spot, or on one line."""

    code = "landmarks"


class EmbeddingError(VisavisError):
    """An embedding that is not finite, not unit, or not of the expected shape."""

    code = "embedding"


class PackError(VisavisError):
    """A pack that is missing, damaged, or made for a newer visavis."""

    code = "pack"


class DownloadError(VisavisError):
    """A file that cannot be fetched, or differs from the expected one."""

    code = "download"


class ModelError(VisavisError):
    """A network that cannot be loaded, or that answers with NaN."""

    code = "model"


class DeviceError(VisavisError):
    """A device, runtime or precision that this machine does not have."""

    code = "device"


class MismatchError(VisavisError):
    """Things of different models, or of different cuts of a face, that do not go together."""

    code = "mismatch"


class CalibrationError(VisavisError):
    """An error rate that the calibration's data cannot support."""

    code = "calibration"


class ConfigurationError(VisavisError):
    """A configuration that cannot be, or too few of its members that can answer."""

    code = "configuration"


class GalleryError(VisavisError):
    """A gallery that is missing, damaged, full, locked, or of a newer version."""

    code = "gallery"


class GalleryKeyError(VisavisError):
    """A gallery's key that is missing, another gallery's, or was rotated."""

    code = "gallery_key"


class PersonError(VisavisError):
    """A name that nobody or several people have, or that nobody may have."""

    code = "person"


class SourceError(VisavisError):
    """A camera, a stream or a video that cannot be read."""

    code = "source"


class DatasetError(VisavisError):
    """A data set that is missing a file, or a list that cannot be read."""

    code = "dataset"


class RulesError(VisavisError):
    """Rules of attendance that contradict each other, or name what is not there."""

    code = "rules"


class AttendanceError(VisavisError):
    """A punch or a correction that cannot be: a locked period, a time without a zone."""

    code = "attendance"


class CheckpointError(VisavisError):
    """A checkpoint that cannot be read, or whose keys do not fit any network, or several."""

    code = "checkpoint"


class OutputError(VisavisError):
    """A result that cannot be written where it was asked for."""

    code = "output"


class ServeError(VisavisError):
    """A service that cannot start: its address, its certificate, or no key."""

    code = "serve"
