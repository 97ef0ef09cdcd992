"""Race watching a video against InsightFace's loop over its frames, in the same run.

    make peers && .venv/bin/python benchmarks/watch.py [--seconds 10]

A 1280x720 file at 30 frames a second, in which three faces move, end to end: opened, decoded, each
face found, compared with a gallery of three, told. Both sides have SCRFD-500M and SFace from the
same ONNX files; the peer is its FaceAnalysis.get for each frame, then a cosine with each template.
Then, of a camera in real time: how long after the first frame of a face the event comes, and what
share of a core an idle camera at 5 frames a second takes, and the service while nobody, one and
fifty look at its camera.
Needs $VISAVIS_DATA (default ../shared): models/scrfd_500m_kps.onnx and data/lfw_people.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before insightface loads onnxruntime, which reports

import av
import cv2
import httpx
import insightface
import numpy as np
from flow import DATA, make_pack

from visavis.detect import load_detector
from visavis.embedder import load_embedder
from visavis.enrollment import Candidate, enroll
from visavis.gallery import Gallery, open_gallery
from visavis.image import read_image
from visavis.pack import Pack
from visavis.recognizer import Recognizer
from visavis.runtime import cores
from visavis.serve.run import ListenAddress, prepare, server_of
from visavis.serve.service import ServeSettings
from visavis.types import Image
from visavis.watch import live
from visavis.watch.address import Address
from visavis.watch.live import LiveSource
from visavis.watch.sources import Sources, open_sources
from visavis.watch.watching import watch_sources

WIDTH, HEIGHT, RATE = 1280, 720, 30
ENLARGED = 1.4  # times: faces of about 130 pixels
CAMERA = Address("camera", "0", "camera 0")


def main() -> None:
    """Every figure, with what it was measured on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="of the video; default 10")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--arrivals", type=int, default=20, help="of faces before a camera")
    parser.add_argument("--looking", type=float, default=6, help="seconds that viewers look")
    parser.add_argument("--only", nargs="*", help="race, latency, idle, viewers; default all")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable()
    people = sorted((DATA / "data" / "lfw_people").iterdir())[:3]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pack = make_pack(folder / "race")
        recognizer = recognizer_of(pack)
        gallery = open_gallery(folder / "gallery")
        photos = [min(person.iterdir()) for person in people]
        for one in enroll(recognizer, gallery, map(Candidate, "ABC", photos), anyway=True):
            assert one.accepted
        only = arguments.only or ["race", "latency", "idle", "viewers"]
        if "race" in only:
            video = make_video(folder / "clip.mp4", photos, arguments.seconds)
            race(pack, recognizer, gallery, video, arguments.rounds)
        if "latency" in only:
            latency(recognizer, gallery, photos, arguments.arrivals)
        if "idle" in only:
            idle(recognizer, gallery)
        if "viewers" in only:
            viewers(recognizer, folder / "gallery", photos, arguments.looking)


def recognizer_of(pack: Pack) -> Recognizer:
    """The race's models, decided by the thresholds of the same embedder's own pack."""
    embed = load_embedder(pack)
    calibration = replace(Recognizer.load().calibration, model=embed.model)
    return Recognizer(load_detector(pack), embed, calibration)


def picture(photos: list[Image], at: float) -> Image:
    """Faces that move a little, each at its own pace."""
    canvas = np.full((HEIGHT, WIDTH, 3), 110, np.uint8)
    for number, photo in enumerate(photos):
        side = photo.shape[0]
        left = 40 + 410 * number + round(30 * np.sin(at * (1 + number / 3)))
        top = 180 + round(60 * np.cos(at + number))
        canvas[top : top + side, left : left + side] = photo
    return canvas


def opened(paths: list[Path]) -> list[Image]:
    images = map(read_image, paths)
    return [cv2.resize(image, None, fx=ENLARGED, fy=ENLARGED) for image in images]


def make_video(path: Path, photos: list[Path], seconds: float) -> Path:
    """The file that both sides read."""
    faces = opened(photos)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(round(seconds * RATE)):
            frame = av.VideoFrame.from_ndarray(picture(faces, number / RATE))
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def race(pack: Pack, recognizer: Recognizer, gallery: Gallery, video: Path, rounds: int) -> None:
    """Both sides by turns, medians of whole runs."""
    peer = insightface.app.FaceAnalysis(str(pack.folder), providers=["CPUExecutionProvider"])
    peer.prepare(ctx_id=-1)
    ours, theirs = [], []
    sides: list[tuple[Callable[[], int], list[float]]] = [
        (partial(watched, recognizer, gallery, video), ours),
        (partial(looped, peer, video), theirs),
    ]
    for _ in range(rounds):
        for side, taken in sides:
            time.sleep(0.5)  # ONNX Runtime's threads go on spinning after a call
            started = time.perf_counter()
            frames = side()
            taken.append(frames / (time.perf_counter() - started))
    mine, other = float(np.median(ours)), float(np.median(theirs))
    print(f"insightface {insightface.__version__}, {cores()} cores, {video.stat().st_size:,} bytes")
    print(f"frames a second: visavis {mine:.0f}, insightface {other:.1f}; ratio {mine / other:.1f}")


def watched(recognizer: Recognizer, gallery: Gallery, video: Path) -> int:
    """What `visavis watch` does."""
    with open_sources([str(video)]) as sources:
        events = list(watch_sources(recognizer, gallery, sources))
        named = {event.sighting.person.name for event in events if event.kind == "left"}
        assert named == {"A", "B", "C"}
        return sources.every[0].counts.read


def looped(peer: insightface.app.FaceAnalysis, video: Path) -> int:
    """What its examples do with a video."""
    capture, templates, frames = cv2.VideoCapture(str(video)), np.eye(3, 128), 0
    while True:
        taken, frame = capture.read()
        if not taken:
            return frames
        faces = peer.get(frame)
        assert len(faces) == 3
        for face in faces:
            (templates @ face.normed_embedding[:128]).argmax()
        frames += 1


@contextmanager
def camera(shots: Callable[[float], Image], seconds: float, rate: float) -> Iterator:
    """A camera in real time: `rate` pictures a second."""

    def pictures() -> Iterator[Callable[[], Image]]:
        began = time.monotonic()
        for number in range(round(seconds * rate)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            yield partial(shots, number / rate)
        time.sleep(9)

    yield pictures()


def latency(recognizer: Recognizer, gallery: Gallery, photos: list[Path], count: int) -> None:
    """Every three seconds somebody else is there, for one."""
    faces = [[photo] for photo in opened(photos)]
    shown: dict[int, float] = {}

    def shot(at: float) -> Image:
        turn, inside = divmod(at, 3.0)
        if inside >= 1.0:
            return picture([], at)
        # Converted when it is taken: a little later than it came.
        shown.setdefault(int(turn), time.monotonic())
        return picture(faces[int(turn) % 3], at)

    seconds = 3.0 * count
    source = LiveSource(
        CAMERA, news := threading.Event(), connect=lambda: camera(shot, seconds, RATE)
    )
    sources, took = Sources([source], news), []
    until = time.monotonic() + seconds
    for event in watch_sources(recognizer, gallery, sources):
        if event.kind == "decided" and event.sighting.state == "confirmed":
            took.append(1000 * (time.monotonic() - shown[max(shown)]))
        if time.monotonic() > until - 1:
            sources.stop()
    source.close()
    print(
        f"event after the first frame of a face: median {np.median(took):.0f} ms, "
        f"p95 {np.percentile(took, 95):.0f} ms, of {len(took)} of {count} arrivals"
    )


VIEWER = """
import asyncio, sys

port, cookie, count, seconds = sys.argv[1:]
asked = ["GET /cameras/0/pictures HTTP/1.1", "Host: 127.0.0.1", f"Cookie: {cookie}", "", ""]
seen = 0

async def look():
    global seen
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    writer.write("\\r\\n".join(asked).encode())
    while data := await reader.read(1 << 20):
        seen += data.count(b"Content-Type: image/jpeg")

async def main():
    looking = [asyncio.create_task(look()) for _ in range(int(count))]
    await asyncio.sleep(float(seconds))
    if looking:
        print(f"{seen / len(looking) / float(seconds):.1f} pictures a second for each of {count}")

asyncio.run(main())
"""


def viewers(recognizer: Recognizer, folder: Path, photos: list[Path], seconds: float) -> None:
    """The service with a camera: its processor time while nobody, one and fifty look."""
    faces = opened(photos)

    def connection(*_: object) -> Callable:
        return lambda: camera(lambda at: picture(faces, at), 3600, RATE)

    live._connection = connection  # a made camera in place of the one that is named
    address = ListenAddress(port=0)
    asked = ServeSettings(workers=2, watch=("entry=rtsp://made/",))
    prepared = prepare(recognizer, open_gallery(folder), address, asked, new_key=True)
    server = server_of(prepared)
    running = threading.Thread(target=server.run, kwargs={"sockets": [prepared.listening]})
    running.start()
    with httpx.Client(base_url=prepared.url) as client:
        client.post("/login", files={"password": (None, prepared.new_key)})
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    port = str(prepared.listening.getsockname()[1])
    time.sleep(2)
    shares = {}
    for count in (0, 1, 50, 0, 1, 50):
        words = [sys.executable, "-c", VIEWER, port, cookie, str(count), str(seconds + 2)]
        looking = subprocess.Popen(words)
        time.sleep(1.5)
        before, used = time.monotonic(), time.process_time()
        time.sleep(seconds)
        share = (time.process_time() - used) / (time.monotonic() - before)
        shares.setdefault(count, []).append(share)
        looking.wait()
    server.should_exit = True
    running.join()
    told = ", ".join(f"{count}: {np.mean(share):.0%}" for count, share in shares.items())
    print(f"the service with a camera of {WIDTH}x{HEIGHT}, share of a core by viewers: {told}")


def idle(recognizer: Recognizer, gallery: Gallery, seconds: float = 10.0) -> None:
    """A camera before which nobody is."""
    empty = [picture([], 0.0) + np.uint8(number) for number in (0, 1)]  # a sensor trembles
    shot = lambda at: empty[round(5 * at) % 2]  # noqa: E731
    source = LiveSource(CAMERA, news := threading.Event(), connect=lambda: camera(shot, seconds, 5))
    sources = Sources([source], news)
    threading.Timer(seconds, sources.stop).start()
    before, used = time.monotonic(), time.process_time()
    list(watch_sources(recognizer, gallery, sources))
    share = (time.process_time() - used) / (time.monotonic() - before)
    source.close()
    print(f"an idle camera at 5 frames a second: {share:.1%} of a core")


if __name__ == "__main__":
    main()
