"""What works here, and what to install for what does not. Changes nothing but the cache."""

import platform
import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import Literal, cast

import numpy as np
from PIL import Image as Pillow

from visavis.alignment import ARCFACE_112, align
from visavis.compare import similarity
from visavis.detect import ScanDetector, load_detector
from visavis.embedder import ModelEmbedder, load_embedder
from visavis.errors import DeviceError, VisavisError
from visavis.extras import EXTRAS
from visavis.folders import cache_folder, can_write, config_folder, data_folder
from visavis.gallery import default_gallery
from visavis.gallery.places import database_at, place_shown
from visavis.gallery.sqlite import journal_mode
from visavis.image import read_image
from visavis.pack import load_pack
from visavis.pack.manifest import DetectorSpec, EmbedderSpec, HashedFile
from visavis.runtime import Device, Model, Outputs, Pictures, available_runtimes, cores
from visavis.types import Face, Image

State = Literal["ok", "missing", "error"]

PACKAGES = """
visavis numpy opencv-python-headless pillow onnx openvino pydantic sqlalchemy cryptography
""".split()
REPEATS = 15
# Where visavis keeps things, and how to move each.
FOLDERS: tuple[tuple[str, str, Callable[[], Path | str]], ...] = (
    ("cache folder", "XDG_CACHE_HOME", cache_folder),
    ("data folder", "XDG_DATA_HOME", data_folder),
    ("keys folder", "XDG_CONFIG_HOME", config_folder),
    ("gallery folder", "VISAVIS_GALLERY", default_gallery),
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    state: State  # missing: what is not there, and need not be
    found: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long one step of the flow takes here, on a made picture."""

    name: str
    milliseconds: float  # median
    runs_on: str


@dataclass(frozen=True, slots=True)
class Examination:
    """All that was found."""

    checks: tuple[Check, ...]
    stages: tuple[StageTime, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong; what is merely missing is not wrong."""
        return all(check.state != "error" for check in self.checks)


def examine(pack: str = "default", device: str | Device = "auto") -> Examination:
    """Look at the versions, runtimes, models and speed of this installation."""
    runtimes = _runtimes()
    checks = [_python(), *map(_package, PACKAGES), _runtimes_apart(), *runtimes, *_extras(runtimes)]
    checks += [_folder(*row) for row in FOLDERS]
    checks.append(Check("sqlite", "ok", f"{sqlite3.sqlite_version}, {journal_mode()} journal"))
    models, stages = _models(pack, device)
    return Examination((*checks, *models), stages)


def _python() -> Check:
    return Check(
        "python", "ok", f"{platform.python_version()}, {platform.system()}, {cores()} cores"
    )


def _package(name: str) -> Check:
    try:
        return Check(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(name, "error", "not installed", "pip install .")


def _folder(name: str, variable: str, find: Callable[[], Path | str]) -> Check:
    """Whether a folder can be written: what reads it works where it cannot."""
    mend = f"set ${variable} to a folder that can be written"
    try:
        folder = find()
    except VisavisError as error:
        return Check(name, "missing", error.what, mend)
    if isinstance(folder, str):
        return _database(name, folder)
    if not can_write(folder):
        return Check(name, "missing", f"{folder}: cannot be written", mend)
    return Check(name, "ok", f"{folder}: can be written")


def _database(name: str, place: str) -> Check:
    """Whether a gallery's database answers."""
    try:
        with closing(database_at(place)) as database:
            database.prepare(create=False)
    except VisavisError as error:
        return Check(name, "missing", error.what, error.mend)
    return Check(name, "ok", f"{place_shown(place)}: answers")


def _runtimes_apart() -> Check:
    """onnxruntime and onnxruntime-gpu lie in one folder: the later overwrites the other."""
    both = [name for name in ("onnxruntime", "onnxruntime-gpu") if _installed(name)]
    if len(both) < 2:
        return Check("one onnxruntime at most", "ok", ", ".join(both) or "none")
    mend = "pip uninstall onnxruntime onnxruntime-gpu, then pip install '.[cuda]' or '.[ort]'"
    return Check("one onnxruntime at most", "error", " and ".join(both), mend)


def _runtimes() -> list[Check]:
    try:
        return [
            Check(runtime.name, "ok", f"{runtime.version}: {', '.join(runtime.devices)}")
            for runtime in available_runtimes()
        ]
    except DeviceError as error:
        return [Check("runtimes", "error", str(error))]


def _extras(runtimes: list[Check]) -> list[Check]:
    checks = [
        Check(f"extra {row.name}", "missing", f"for {row.purpose}", f"pip install '.[{row.name}]'")
        for row in EXTRAS
        if not row.installed
    ]
    if not any(check.state == "ok" and "cuda" in check.found for check in runtimes):
        mend = "docs/install.md says what a GPU needs"
        checks.append(Check("extra cuda", "missing", "no CUDA device is usable", mend))
    return checks


def _models(name: str, device: str | Device) -> tuple[list[Check], tuple[StageTime, ...]]:
    try:
        pack = load_pack(name)
        detect = load_detector(pack, device=device)
        embed = load_embedder(pack, device=device)
        form = pack.manifest.embedder.form(cast(Model, embed.network).precision)
        checks = [
            _network("detector", pack.manifest.detector, detect.model),
            _network("embedder", form, embed.network),
        ]
        return checks, _stages(detect, embed)
    except VisavisError as error:
        return [Check(f"pack {name}", "error", str(error))], ()


def _network(
    part: str,
    file: DetectorSpec | EmbedderSpec | HashedFile,
    network: Callable[[Pictures], Outputs],
) -> Check:
    return Check(part, "ok", f"{file.file} {file.sha256[:12]}: {_runs_on(network)}")


def _runs_on(network: Callable[[Pictures], Outputs]) -> str:
    model = cast(Model, network)  # loaded from a pack: it is more than a callable
    return f"{model.runtime}, {model.device}, {model.precision}"


def _stages(detect: ScanDetector, embed: ModelEmbedder) -> tuple[StageTime, ...]:
    photo = made_photo()
    image = read_image(photo)
    box = np.array([300, 200, 500, 460], np.float32)
    faces = [Face(box, 2 * ARCFACE_112.astype(np.float32) + 280, 1.0)]
    crops = align(image, faces, margin=embed.margin)
    embeddings = embed(crops)
    steps: list[tuple[str, Callable[[], object], str]] = [
        ("decode 1 megapixel", lambda: read_image(photo), "pillow"),
        ("detect", lambda: detect(image), _runs_on(detect.model)),
        ("align", lambda: align(image, faces), "opencv"),
        ("embed with flip", lambda: embed(crops), _runs_on(embed.network)),
        ("compare", lambda: similarity(embeddings, embeddings), "numpy"),
    ]
    return tuple(StageTime(step, _milliseconds(call), place) for step, call, place in steps)


def made_photo() -> bytes:
    """A JPEG of 1152x864 pixels: smooth colours with noise, as a photo has them; no face."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 216, (27, 36, 3), np.uint8)
    smooth = np.asarray(Pillow.fromarray(coarse).resize((1152, 864), Pillow.Resampling.BICUBIC))
    image: Image = np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)
    buffer = BytesIO()
    Pillow.fromarray(image).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _milliseconds(call: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS + 3):
        started = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[3:])  # the first three warm up


def _installed(name: str) -> bool:
    return any((one.metadata["Name"] or "").lower() == name for one in metadata.distributions())
