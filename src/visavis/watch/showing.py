"""What is seen, shown: each frame with the faces that are followed, in a video or a window."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from visavis.draw import AMBER, BLUE, GREEN, GREY, RED, Tint, draw_faces
from visavis.errors import DeviceError
from visavis.gallery import Person
from visavis.types import Face, Image
from visavis.watch.deciding import TrackState
from visavis.watch.following import Follower, Passage
from visavis.watch.frames import FrameSource, Shot
from visavis.watch.video import VideoFile
from visavis.watch.watching import ShotLook

TINTS: dict[TrackState, Tint] = {
    "collecting": GREY,
    "confirmed": GREEN,
    "review": AMBER,
    "unknown": BLUE,
    "spoof": RED,
}
NO_POINTS = np.full((5, 2), np.nan, np.float32)
QUIT = ord("q")
PREVIEW, JPEG = 800, 75  # pixels of its longer side; the quality of its encoding


def annotated(image: Image, follower: Follower, at: float, *, scale: float = 1.0) -> Image:
    """A frame with a box for each face that is followed, carried to that time; with `scale`, of a
    frame that was so much larger.
    """
    followed, known = follower.followed, follower.known()
    faces = [Face(one.track.at(at) * np.float32(scale), NO_POINTS, 1.0) for one in followed]
    labels = [
        follower.gate.asked_of(one.signs) or label_of(one, follower.state_of(one), known)
        for one in followed
    ]
    tints = [TINTS[follower.state_of(one)] for one in followed]
    return draw_faces(image, faces, labels, colors=tints)


def encoded_preview(image: Image, follower: Follower, at: float) -> bytes:
    """A frame as `annotated`, small, as a JPEG."""
    scale = min(1.0, PREVIEW / max(image.shape[:2]))
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR) if scale < 1 else image
    shown = annotated(np.asarray(small, np.uint8), follower, at, scale=scale)
    bgr = cv2.cvtColor(shown, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG])[1].tobytes()


def label_of(one: Passage, state: TrackState, known: Mapping[str, Person]) -> str:
    """Who it is of those whom the gallery knows, as far as that is known."""
    nearest = one.verdict.nearest
    if state == "spoof":
        return "spoof"
    closest = known.get(nearest.closest.id) if nearest is not None and nearest.closest else None
    if nearest is None or closest is None or state in ("collecting", "unknown"):
        return "?" if state == "unknown" else ""
    name = closest.name
    return f"{name if state == 'confirmed' else f'{name}?'} {nearest.decision.similarity:.2f}"


def has_window() -> bool:
    """Whether this OpenCV can open a window: opencv-python-headless cannot."""
    lines = cv2.getBuildInformation().splitlines()
    return not any("GUI:" in line and "NONE" in line for line in lines)


def all_of(looks: Sequence[ShotLook]) -> ShotLook:
    """One that calls each of them."""

    def look(source: FrameSource, shot: Shot, follower: Follower) -> None:
        for one in looks:
            one(source, shot, follower)

    return look


@contextmanager
def drawn_video(path: Path) -> Iterator[ShotLook]:
    """What writes each frame, annotated, into a video. Raises OutputError."""
    video = VideoFile(path)
    began: list[float] = []

    def write(source: FrameSource, shot: Shot, follower: Follower) -> None:
        began[:] = began or [shot.at]
        video.write(annotated(shot.image, follower, shot.at), shot.at - began[0])

    try:
        yield write
    finally:
        video.close()


@contextmanager
def window(stop: Callable[[], None]) -> Iterator[ShotLook]:
    """What shows each frame in a window of its source's name; `q` in it stops.

    Raises DeviceError where no window can be opened here.
    """
    if not has_window():
        raise DeviceError(
            "this OpenCV opens no window",
            mend="write a video with draw; or install opencv-python in place of "
            "opencv-python-headless",
            option="headless",
        )

    def show(source: FrameSource, shot: Shot, follower: Follower) -> None:
        picture = annotated(shot.image, follower, shot.at)
        try:
            cv2.imshow(source.address.shown, picture[..., ::-1])
            key = cv2.waitKey(1) & 0xFF
        except cv2.error as error:
            raise DeviceError(f"no window can be opened here: {error.err}") from error
        if key == QUIT:
            stop()

    try:
        yield show
    finally:
        cv2.destroyAllWindows()
