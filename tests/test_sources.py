"""Sources: what a name means, and which pictures come of it, at which times."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from made_photos import encoded
from made_videos import av, number_of, plain, turned_video, write_video

from visavis.errors import SourceError, VisavisError
from visavis.watch.address import parse_address, without_secrets
from visavis.watch.frames import Shot
from visavis.watch.sources import open_sources
from visavis.watch.video import VideoFile


def taken(*names: object, **options: object) -> list[tuple[float, int]]:
    """The time and number of each frame of these sources."""
    with open_sources([str(name) for name in names], **options) as sources:
        frames = [what for _, what in sources if isinstance(what, Shot)]
        return [(round(frame.at, 3), number_of(frame.image)) for frame in frames]


def notes_of(*names: object) -> list[tuple[str, str]]:
    with open_sources([str(name) for name in names]) as sources:
        return [(what.kind, what.text) for _, what in sources if not isinstance(what, Shot)]


@pytest.fixture
def clip(tmp_path) -> Path:
    """Ten plain pictures, 25 a second."""
    return write_video(tmp_path / "clip.mp4", map(plain, range(10)))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://10.0.0.5/stream1", "rtsp://10.0.0.5/stream1"),
        ("rtsp://user:secret@10.0.0.5:554/a", "rtsp://***@10.0.0.5:554/a"),
        ("rtsp://user:s@cret@10.0.0.5/a", "rtsp://***@10.0.0.5/a"),
        ("rtsp://user@host/a", "rtsp://***@host/a"),
        ("http://host/a?user=me&pwd=secret", "http://host/a?user=***&pwd=***"),
        ("http://host/a?secret", "http://host/a?***"),
        ("https://host/a#secret", "https://host/a"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address, shown):
    assert without_secrets(address) == shown
    parsed = parse_address(address)
    assert (parsed.kind, parsed.shown, parsed.target) == ("stream", shown, address)
    assert "secret" not in repr(parsed)


@pytest.mark.parametrize(
    ("text", "shown", "target"),
    [
        ("entry=rtsp://user:secret@host/a?k=v", "entry", "rtsp://user:secret@host/a?k=v"),
        ("back door 2=http://host/a", "back door 2", "http://host/a"),
        ("a=1.mp4", "a=1.mp4", "a=1.mp4"),  # it is a file that is there
        ("entry=a=1.mp4", "entry", "a=1.mp4"),
        ("rtsp://host/a?name=b", "rtsp://host/a?name=***", "rtsp://host/a?name=b"),
    ],
)
def test_a_source_is_known_by_its_name(tmp_path, monkeypatch, text, shown, target):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=1.mp4").touch()
    parsed = parse_address(text)
    assert (parsed.shown, parsed.target) == (shown, target)


def test_two_sources_of_one_name_are_refused(clip):
    one = [f"entry={clip}", f"entry={clip}"]
    with pytest.raises(SourceError, match="two sources are called entry"), open_sources(one):
        pass


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("entry=nothing.mp4", "nothing.mp4: no such video, folder or camera"),
        ("nothing.mp4", "nothing.mp4: no such video, folder or camera"),
        ("file:///etc/passwd", "file:///etc/passwd: no such video, folder or camera"),
        ("concat://a|b", "concat://a|b: no such video, folder or camera"),
        ("ftp://me:secret@host/a", "ftp://***@host/a: no such video, folder or camera"),
        ("99", "camera 99: there is no /dev/video99"),
        ("100", "camera 100: expected a camera's number below 100"),
        ("", ": no such video, folder or camera"),
    ],
)
def test_a_name_that_is_no_source_is_refused(name, said):
    with pytest.raises(SourceError) as refused:
        parse_address(name)
    assert refused.value.what.startswith(said)
    assert "secret" not in str(refused.value)


def test_a_video_is_read_frame_by_frame(clip):
    assert taken(clip) == [(round(n / 25, 3), n) for n in range(10)]


def test_frames_come_at_the_times_of_a_variable_rate(tmp_path):
    times = [0.0, 0.04, 0.5, 0.52, 2.0]
    path = write_video(tmp_path / "phone.mp4", map(plain, range(5)), times=times)
    assert taken(path) == list(zip(times, range(5), strict=True))


@pytest.mark.parametrize(
    ("start", "end", "numbers"),
    [
        (0.0, None, range(10)),
        (0.2, None, range(5, 10)),
        (0.0, 0.12, range(4)),
        (0.2, 0.28, range(5, 8)),
        (9.0, None, []),
    ],
)
def test_a_part_of_a_video_is_read(clip, start, end, numbers):
    if not numbers:
        with pytest.raises(SourceError, match="nothing is shown from second 9 on"):
            taken(clip, start=start)
        return
    assert [number for _, number in taken(clip, start=start, end=end)] == list(numbers)


@pytest.mark.parametrize(("start", "end"), [(1.0, 1.0), (2.0, 1.0), (0.0, 0.0)])
def test_an_end_before_the_start_is_refused(clip, start, end):
    with pytest.raises(SourceError, match="expected an end after the start"):
        taken(clip, start=start, end=end)


@pytest.mark.parametrize("quarters", [1, 2])
def test_a_video_that_lies_is_turned_upright(tmp_path, quarters):
    image = plain(0)
    image[:24, :32] = 255  # the corner at the top left
    path = write_video(tmp_path / "flat.mp4", [image] * 3)
    turned_video(tmp_path / "turned.mp4", path, quarters, *image.shape[:2])
    with open_sources([str(tmp_path / "turned.mp4")]) as sources:
        shown = [frame.image for _, frame in sources]
    expected = np.rot90(image, -quarters)
    assert [picture.shape for picture in shown] == [expected.shape] * 3
    assert np.abs(shown[0].astype(int) - expected).mean() < 3


def test_a_damaged_middle_is_left_out_and_counted(tmp_path):
    each_alone = {"preset": "ultrafast", "g": "1"}
    noise = np.random.default_rng(0).integers(0, 255, (10, 48, 64, 3), np.uint8)
    path = write_video(tmp_path / "a.ts", noise, options=each_alone)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = bytes(4000)
    path.write_bytes(data)
    with open_sources([str(path)]) as sources:
        every = list(sources)
    frames = [what for _, what in every if isinstance(what, Shot)]
    assert 5 <= len(frames) < 10
    assert frames[-1].at == pytest.approx(9 / 25)  # the end is read, too
    damaged = every[0][0].counts.damaged
    assert damaged >= 1
    assert every[-1][1].text == f"{damaged} damaged frames were left out"


def text(path: Path) -> None:
    path.write_text("a shopping list\n" * 100)


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def sound(path: Path) -> None:
    with av.open(str(path), "w", format="matroska") as file:
        stream = file.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        file.mux(stream.encode(frame))
        file.mux(stream.encode())


def list_of_files(path: Path) -> None:
    path.write_text("ffconcat version 1.0\nfile '/etc/passwd'\n")


def no_frames(path: Path) -> None:
    with av.open(str(path), "w", format="matroska") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        file.start_encoding()


@pytest.mark.parametrize(
    ("make", "name", "said"),
    [
        (no_frames, "empty.mkv", "it ends before there is a picture"),
        (text, "list.txt", "not a video that can be read"),
        (text, "list.mp4", "not a video that can be read"),
        (nothing, "empty.mp4", "not a video that can be read"),
        (list_of_files, "list.ffconcat", "not a video that can be read"),
        (list_of_files, "list.m3u8", "not a video that can be read"),
        (sound, "song.mkv", "it has no picture, only sound or text"),
    ],
)
def test_what_is_no_video_is_said(tmp_path, make, name, said):
    make(tmp_path / name)
    with pytest.raises(SourceError) as refused:
        taken(tmp_path / name)
    assert str(refused.value) == f"{tmp_path / name}: {said}"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everything may be read here")
def test_a_video_that_may_not_be_read_is_said(clip):
    clip.chmod(0)
    with pytest.raises(SourceError, match="permission denied"):
        taken(clip)


def test_a_camera_that_may_not_be_read_is_said(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/dev/video7")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(SourceError, match="camera 7: permission denied for /dev/video7"):
        parse_address("7")


def test_a_folder_is_read_in_order_of_names(tmp_path):
    for number in (2, 0, 1):
        (tmp_path / f"{number}.png").write_bytes(encoded(plain(number)))
    (tmp_path / "3.png").write_text("no picture")
    assert taken(tmp_path) == [(0.0, 0), (0.04, 1), (0.08, 2)]
    assert notes_of(tmp_path) == [("damaged", "1 damaged frames were left out")]


def test_a_folder_without_pictures_is_said(tmp_path):
    with pytest.raises(VisavisError, match="no photos here"):
        taken(tmp_path)


def test_several_sources_are_read_side_by_side(clip, tmp_path):
    other = write_video(tmp_path / "other.mp4", map(plain, range(10, 13)))
    numbers = [number for _, number in taken(clip, other)]
    assert numbers == [0, 10, 1, 11, 2, 12, *range(3, 10)]


def test_a_bad_video_stops_no_other(clip, tmp_path):
    text(tmp_path / "list.mp4")
    assert [number for _, number in taken(clip, tmp_path / "list.mp4")] == [*range(10)]
    ((kind, said),) = notes_of(clip, tmp_path / "list.mp4")
    assert kind == "failed"
    assert said == f"{tmp_path / 'list.mp4'}: not a video that can be read"


def test_a_start_is_for_files_alone():
    with pytest.raises(SourceError, match="expected a start for files alone"):
        taken("http://127.0.0.1:9/a", start=1.0)


def test_a_stream_that_was_never_there_is_said_without_its_password(caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SourceError) as refused:
        taken("rtsp://user:secret@127.0.0.1:9/a")
    assert str(refused.value) == "rtsp://***@127.0.0.1:9/a: connection refused"
    assert "secret" not in caplog.text
    assert refused.value.__cause__ is None


def test_a_video_is_written_picture_by_picture(tmp_path):
    path = tmp_path / "out.mp4"
    video = VideoFile(path)
    for number in range(60):
        video.write(plain(number), number / 10)
    video.write(plain(4, 30, 99), 6.0)  # a stream of another size
    video.close()
    assert taken(path)[:60] == [(round(number / 10, 3), number % 30) for number in range(60)]
    with open_sources([str(path)]) as sources:
        assert {frame.image.shape for _, frame in sources} == {(48, 64, 3)}


def test_a_video_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(VisavisError, match="cannot write: No such file"):
        VideoFile(tmp_path / "no folder" / "out.mp4")
