"""Shards on Ray: the files are those of one process, whoever dies, and nobody else can reach it."""

import os
import signal
from pathlib import Path

import pytest

pytest.importorskip("ray")
pytest.importorskip("pyarrow")
from test_scale import contents, crop_files, job, write_manifest

from visavis.errors import DatasetError, DeviceError
from visavis.scale import on_ray
from visavis.scale.on_ray import QUIET, embed_on_ray
from visavis.scale.shards import Shards, embed_shards

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.pack,
    pytest.mark.filterwarnings("default"),  # Ray's own
]


def descendants(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [one for child in map(int, children) for one in (child, *descendants(child))]


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""  # it has ended


def sockets(pid):
    """Inodes of a process's sockets."""
    try:
        links = [os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return set()
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def listening_beyond_loopback(pids):
    """Addresses, in the hexadecimal of /proc/net, on which these processes listen for others."""
    mine = set().union(*map(sockets, pids))
    beyond = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            cells = line.split()
            address = cells[1].split(":")[0]
            loopback = address.endswith("0100007F") or address == "0" * 24 + "01000000"
            if cells[3] == "0A" and cells[9] in mine and not loopback:
                beyond.append(address)
    return beyond


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    return folder, write_manifest(folder / "photos.parquet", crop_files(folder, people=60, each=5))


def test_the_files_are_those_of_one_process(crops, tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    alone = Shards(job(crops, tmp_path / "alone"))
    list(embed_shards(alone))
    shards = Shards(job(crops, tmp_path / "ray"))
    killed, seen = 0, 0
    for _ in embed_on_ray(shards.job, shards.left(), 2):
        pids = descendants(os.getpid())
        assert any("raylet" in command(pid) for pid in pids)
        assert listening_beyond_loopback([*pids, os.getpid()]) == []
        seen += 1
        if not killed:
            worker = next(
                p for p in pids if b"MapWorker" in Path(f"/proc/{p}/cmdline").read_bytes()
            )
            os.kill(worker, signal.SIGKILL)
            killed = worker
    assert killed
    assert seen == 12
    assert contents(tmp_path / "ray") == contents(tmp_path / "alone")
    assert not [
        pid for pid in descendants(os.getpid()) if "ray" in Path(f"/proc/{pid}/comm").read_text()
    ]
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == QUIET["RAY_USAGE_STATS_ENABLED"] == "0"


def test_without_the_guard_it_is_reached_from_outside(crops, tmp_path, monkeypatch):
    """The sabotage: Ray as it starts by itself."""
    import ray

    def unguarded(workers, quiet):
        ray.init(num_cpus=workers, include_dashboard=False, **quiet)

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(on_ray, "_init_on_loopback", unguarded)
    with on_ray._cluster(1):
        assert listening_beyond_loopback([os.getpid(), *descendants(os.getpid())])


def test_a_fault_comes_back_as_itself(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    file = write_manifest(tmp_path / "m.parquet", ["x/1.png", "x/2.png"])
    shards = Shards(job((tmp_path, file), tmp_path / "out"))
    with pytest.raises(DatasetError, match=r"none is there.*mount the disk"):
        list(embed_on_ray(shards.job, shards.left(), 1))
    assert shards.left() == [0]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", r"127\.0\.0\.1:1: no Ray answers.*mend RAY_ADDRESS"),
        ("ray://127.0.0.1:1", "no Ray answers"),
        ("here:there", "expected host:port, got 'here:there'"),
    ],
)
def test_a_cluster_that_is_away_is_said(tmp_path, crops, monkeypatch, address, said):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(DeviceError, match=said):
        list(embed_on_ray(job(crops, tmp_path / "out"), [0], 1))
