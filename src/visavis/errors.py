"""Every error visavis raises on purpose. A message says what was expected, what came, and how to
mend it.

VisavisError
├── ImageError           bytes or an array that is no usable picture
├── NoFaceError          a photo in which no face was found
├── AmbiguousFaceError   a photo with several faces of about one size: which one is meant?
├── LandmarkError        five points from which no crop can be cut
├── EmbeddingError       an embedding that is not finite, not unit, or not of the expected shape
├── PackError            a pack that is missing, damaged, or made for a newer visavis
├── DownloadError        a file that cannot be had from where it is, or is not the one it should be
├── ModelError           a network that cannot be loaded, or that answers with NaN
├── DeviceError          a device, runtime or precision that is not to be had here
├── MismatchError        two things made by different models, which cannot be compared
├── CalibrationError     an error rate that the calibration's data cannot support
├── GalleryError         a gallery that is missing, damaged, full, locked, or of a newer version
├── GalleryKeyError      a gallery's key that is missing, or another's
├── PersonError          nobody, or several, of that name; or a name that cannot be
├── DatasetError         a data set that is missing a file, or a list that cannot be read
├── CheckpointError      a checkpoint that cannot be read, or whose keys do not fit
└── OutputError          a result that cannot be written where it was asked for
"""


class VisavisError(Exception):
    """The root: `except VisavisError` catches whatever visavis raises on purpose."""


class ImageError(VisavisError):
    """Bytes or an array that is no usable picture."""


class NoFaceError(VisavisError):
    """A photo in which no face was found."""


class AmbiguousFaceError(VisavisError):
    """A photo with several faces of about one size, and no word which one is meant."""


class LandmarkError(VisavisError):
    """Five points from which no crop can be cut: not finite, in one spot, or on one line."""


class EmbeddingError(VisavisError):
    """An embedding that is not finite, not unit, or not of the expected shape."""


class PackError(VisavisError):
    """A pack that is missing, damaged, or made for a newer visavis."""


class DownloadError(VisavisError):
    """A file that cannot be had from where it is, or is not the one it should be."""


class ModelError(VisavisError):
    """A network that cannot be loaded, or that answers with NaN."""


class DeviceError(VisavisError):
    """A device, runtime or precision that is not to be had here."""


class MismatchError(VisavisError):
    """Two things made by different models, which cannot be compared."""


class CalibrationError(VisavisError):
    """An error rate that the calibration's data cannot support."""


class GalleryError(VisavisError):
    """A gallery that is missing, damaged, full, locked, or of a newer version."""


class GalleryKeyError(VisavisError):
    """A gallery's key that is missing, or another's."""


class PersonError(VisavisError):
    """Nobody, or several people, of that name; or a name that cannot be."""


class DatasetError(VisavisError):
    """A data set that is missing a file, or a list that cannot be read."""


class CheckpointError(VisavisError):
    """A checkpoint that cannot be read, or whose keys do not fit any network, or several."""


class OutputError(VisavisError):
    """A result that cannot be written where it was asked for."""
