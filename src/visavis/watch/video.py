"""Videos and streams, read and written by PyAV: the only place that knows it.

An address may hold a password, and FFmpeg's errors repeat the address: what is told is the reason
alone, and the address as `Address.shown` has it.
"""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from visavis.errors import OutputError, SourceError
from visavis.extras import need
from visavis.files import output_errors
from visavis.types import Image
from visavis.watch.address import Address
from visavis.watch.frames import Counts, Shot

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.error import FFmpegError
    from av.video.stream import VideoStream

# A file that lists other files, or a text that is drawn, is no video: FFmpeg would follow it.
FILES = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,"
    "h264,hevc,mjpeg,jpeg_pipe,ivf,nut,mxf",
    "protocol_whitelist": "file",
}
STREAMS = {
    "protocol_whitelist": "rtsp,rtsps,rtp,rtcp,udp,tcp,tls,http,https,httpproxy,crypto",
    "rtsp_transport": "tcp",
    "analyzeduration": "100000",  # microseconds; without these two a camera takes a second more
    "probesize": "32768",
}
RATE = 30  # pictures a second of what is written
TICK = Fraction(1, RATE)


@contextmanager
def opened(address: Address, patience: float | None = None) -> Iterator["InputContainer"]:
    """A video or stream to read from. A stream that is silent for `patience` seconds is lost.

    Raises SourceError where it cannot be opened, and for what FFmpeg refuses within the block.
    """
    need("av", extras="watch")
    import av

    options = STREAMS if address.live else FILES
    # FFmpeg takes about twice as long as it is told to.
    timeout = None if patience is None else (patience, patience / 2)
    try:
        with av.open(address.target, options=options, timeout=timeout) as container:
            if not container.streams.video:
                raise SourceError(f"{address.shown}: it has no picture, only sound or text")
            yield container
    except av.error.FFmpegError as error:
        # Neither `error` nor what it stands for may be shown: both hold the address.
        raise SourceError(f"{address.shown}: {_reason(error)}") from None


def _reason(error: "FFmpegError") -> str:
    """FFmpeg's words for it, without the address; of a video, that it is none."""
    import av

    if isinstance(error, av.error.InvalidDataError | av.error.ArgumentError):
        return "not a video that can be read"
    if isinstance(error, av.error.EOFError):
        return "it ends before there is a picture"
    if isinstance(error, av.error.ExitError):
        return "nothing came for too long"
    return (error.strerror or type(error).__name__).lower()


def decoded_frames(
    container: "InputContainer", counts: Counts, *, patience: float | None = None
) -> Iterator["VideoFrame"]:
    """Every frame that can be decoded; what cannot be is counted, and the next ones are read.

    Raises SourceError where data comes for `patience` seconds, and no picture of it.
    """
    import av

    stream = container.streams.video[0]
    heard = time.monotonic()
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            counts.damaged += 1
            frames = []
        for frame in frames:
            if frame.is_corrupt:
                counts.damaged += 1
                continue
            counts.read += 1
            yield frame
        # Whoever takes the frames may take long: that is not the stream's silence.
        heard = time.monotonic() if frames else heard
        if patience is not None and time.monotonic() - heard > patience:
            raise SourceError("data comes, but no picture")


def frames_between(
    address: Address, counts: Counts, start: float, end: float | None
) -> Generator[Shot]:
    """A video's frames from second `start` up to `end`, at the times that they are shown."""
    with opened(address) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        begin = _beginning(stream)
        if start:
            # The frame before it from which decoding may begin.
            container.seek(int((start + begin) * 1_000_000), backward=True)
        for frame in decoded_frames(container, counts):
            at = _time(frame, begin, stream, counts)
            if end is not None and at > end:
                return
            if at >= start:
                yield Shot(at, partial(upright, frame))


def _beginning(stream: "VideoStream") -> float:
    return float((stream.start_time or 0) * (stream.time_base or 0))


def _time(frame: "VideoFrame", begin: float, stream: "VideoStream", counts: Counts) -> float:
    """Seconds since the beginning; by its number where the file does not say."""
    if frame.time is not None:
        return max(0.0, float(frame.time) - begin)
    return (counts.read - 1) / float(stream.average_rate or RATE)


def upright(frame: "VideoFrame") -> Image:
    """A frame as it is meant to be seen: phones write it lying, with a mark."""
    image = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90) % 4))


class VideoFile:
    """A video that is written picture by picture; each is fitted into the size of the first."""

    def __init__(self, path: Path) -> None:
        need("av", extras="watch")
        import av

        self._path = path
        with output_errors(path):
            path.touch()  # PyAV would open it only with the first picture
        with self._errors():
            # MP4 may end anywhere and still be read: each part stands for itself.
            options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
            self._container = av.open(str(path), "w", format="mp4", options=options)
        self._stream: VideoStream | None = None
        self._shown = -1

    def write(self, image: Image, at: float) -> None:
        """Add a picture that is shown from second `at` on. Raises OutputError."""
        import av

        number = round(at * RATE)
        if number <= self._shown:
            return
        self._shown = number
        with self._errors():
            stream = self._stream or self._begin(image)
            frame = av.VideoFrame.from_ndarray(_fitted(image, stream.width, stream.height))
            frame.pts, frame.time_base = number, TICK
            self._container.mux(stream.encode(frame))

    def close(self) -> None:
        """Write what is left. Raises OutputError."""
        with self._errors():
            if self._stream is not None:
                self._container.mux(self._stream.encode())
            self._container.close()

    def _begin(self, image: Image) -> "VideoStream":
        options = {"preset": "veryfast", "crf": "23"}
        stream: VideoStream = self._container.add_stream("libx264", rate=RATE, options=options)
        # The codec takes even numbers alone.
        stream.height, stream.width = (side + side % 2 for side in image.shape[:2])
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", TICK
        self._stream = stream
        return stream

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import av

        try:
            yield
        except av.error.FFmpegError as error:
            reason = error.strerror or type(error).__name__
            raise OutputError(f"{self._path}: cannot write this video: {reason}") from error


def _fitted(image: Image, width: int, height: int) -> Image:
    """A picture in the middle of one of another size."""
    if image.shape[:2] == (height, width):
        return image
    scale = min(width / image.shape[1], height / image.shape[0], 1.0)
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas


Conversions = Iterator[Callable[[], Image]]


@contextmanager
def stream_pictures(address: Address, counts: Counts, patience: float) -> Iterator[Conversions]:
    """A stream's pictures, each to be converted when it is wanted. Raises SourceError."""
    with opened(address, patience) as container:
        yield (
            partial(upright, frame)
            for frame in decoded_frames(container, counts, patience=patience)
        )
