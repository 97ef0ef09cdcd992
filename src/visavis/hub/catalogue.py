"""Models that others publish, as data: what each is, what may be done with it, where it lies.

Fetches nothing: `visavis pack pull NAME` does, when it is asked to.

`commercial` follows one rule: what the owners say of the weights. "yes" where they publish them
under an open licence without a reservation, "no" where they forbid it, or hand the decision on to
training data that is for research only. `training_data` says what the papers name, and is no part
of the rule: SFace is published under Apache-2.0, AdaFace's owners say that their weights follow
the data.
"""

import os
from dataclasses import dataclass
from typing import Literal

from visavis.hub.web import hub
from visavis.pack.default import SFACE_ORIGIN, YUNET_ORIGIN
from visavis.pack.manifest import Commercial

RELEASES = "https://github.com"  # or $VISAVIS_MIRROR


@dataclass(frozen=True, slots=True)
class File:
    """One file to fetch. Where `sha256` is None, the first download is trusted, and pinned."""

    name: str
    repository: str = ""  # on the hub
    path: str = ""  # in that repository
    releases: tuple[str, ...] = ()  # paths below RELEASES, tried in turn
    size: int | None = None
    sha256: str | None = None

    def urls(self, revision: str = "main") -> list[str]:
        """Addresses to ask in turn, the hub's first."""
        base = os.environ.get("VISAVIS_MIRROR", "").rstrip("/") or RELEASES
        released = [f"{base}/{path}" for path in self.releases]
        if not self.repository:
            return released
        return [f"{hub()}/{self.repository}/resolve/{revision}/{self.path}", *released]


@dataclass(frozen=True, slots=True)
class Published:
    """A model that others publish, and what its owners say of it."""

    about: str
    kind: Literal["hub", "release"]
    files: tuple[File, ...]
    licence: str
    training_data: str
    commercial: Commercial
    citation: str
    preprocessing: str
    use: str  # the next verb, or why there is none; {folder} is where the files lie
    options: tuple[tuple[str, str], ...] = ()  # of that verb, by parameter
    archive: bool = False  # the one file is a zip, to be unpacked


ADAFACE = "Kim, Jain, Liu: AdaFace: Quality Adaptive Margin for Face Recognition, CVPR 2022"
ADAFACE_TERMS = "MIT for the code; the weights follow the terms of their training data"
ARCFACE = "Deng, Guo, Xue, Zafeiriou: ArcFace: Additive Angular Margin Loss, CVPR 2019"
INSIGHTFACE_TERMS = "InsightFace: non-commercial research only (the code is MIT)"
INSIGHTFACE = "deepinsight/insightface/releases/download"
INSIGHTFACE_PIXELS = (
    "detector RGB (x - 127.5) / 128; embedder RGB (x - 127.5) / 127.5, 112x112 crops"
)
ZOO = "opencv/opencv_zoo/raw/main/models"
SILENT = (
    "QingHeYang/Silent-Face-Anti-Spoofing-onnx/raw/584d4421d7ac42c59e640796f46e886b0095367a/onnx"
)


def _adaface(about: str, repository: str, training_data: str) -> Published:
    repository = f"minchul/{repository}"
    return Published(
        about=f"{about}, embedder, 512 numbers, by its author",
        kind="hub",
        files=(
            File("model.safetensors", repository, "model.safetensors"),
            File("model.yaml", repository, "pretrained_model/model.yaml"),
        ),
        licence=ADAFACE_TERMS,
        training_data=training_data,
        commercial="no",
        citation=ADAFACE,
        preprocessing="RGB (x - 127.5) / 127.5, 112x112 crops",
        use="visavis convert {folder}",
        options=(("family", "cvlface_ir"), ("out", "adaface.onnx")),
    )


def _insightface(name: str, about: str, training_data: str, size: int, sha256: str) -> Published:
    return Published(
        about=f"{about}, InsightFace's pack",
        kind="release",
        files=(
            File(
                f"{name}.zip",
                releases=tuple(f"{INSIGHTFACE}/{tag}/{name}.zip" for tag in ("v0.7", "model-zoo")),
                size=size,
                sha256=sha256,
            ),
        ),
        licence=INSIGHTFACE_TERMS,
        training_data=training_data,
        commercial="no",
        citation=ARCFACE,
        preprocessing=INSIGHTFACE_PIXELS,
        use="visavis pack import {folder}",
        archive=True,
    )


# docs/models.md says where the sizes and hashes come from.
CATALOGUE: dict[str, Published] = {
    "adaface-ir50-ms1mv2": _adaface(
        "AdaFace IR-50", "cvlface_adaface_ir50_ms1mv2", "MS1MV2: MS-Celeb-1M, cleaned; withdrawn"
    ),
    "adaface-ir101-webface4m": _adaface(
        "AdaFace IR-101", "cvlface_adaface_ir101_webface4m", "WebFace4M: research only"
    ),
    "adaface-ir101-webface12m": _adaface(
        "AdaFace IR-101", "cvlface_adaface_ir101_webface12m", "WebFace12M: research only"
    ),
    "buffalo_l": _insightface(
        "buffalo_l",
        "SCRFD-10G and IResNet-50",
        "WIDER FACE; WebFace600K",
        288621354,
        "80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f",
    ),
    "buffalo_s": _insightface(
        "buffalo_s",
        "SCRFD-500M and MobileFaceNet",
        "WIDER FACE; WebFace600K",
        127607557,
        "d85a87f503f691807cd8bb97128bdf7a0660326cd9cd02657127fa978bab8b5e",
    ),
    "antelopev2": _insightface(
        "antelopev2",
        "SCRFD-10G and IResNet-100",
        "WIDER FACE; Glint360K",
        360662982,
        "8e182f14fc6e80b3bfa375b33eb6cff7ee05d8ef7633e738d1c89021dcf0c5c5",
    ),
    "yunet": Published(
        about="YuNet 2023mar, detector, OpenCV Zoo",
        kind="hub",
        files=(
            File(
                "face_detection_yunet_2023mar.onnx",
                "opencv/face_detection_yunet",
                "face_detection_yunet_2023mar.onnx",
                (f"{ZOO}/face_detection_yunet/face_detection_yunet_2023mar.onnx",),
                232589,
                "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
            ),
        ),
        licence=YUNET_ORIGIN.licence,
        training_data=YUNET_ORIGIN.training_data,
        commercial=YUNET_ORIGIN.commercial,
        citation=YUNET_ORIGIN.citation,
        preprocessing="BGR 0..255, sides multiples of 32",
        use="nothing to do: the default pack has it",
    ),
    "sface": Published(
        about="SFace 2021dec, embedder, 128 numbers, OpenCV Zoo",
        kind="hub",
        files=(
            File(
                "face_recognition_sface_2021dec.onnx",
                "opencv/face_recognition_sface",
                "face_recognition_sface_2021dec.onnx",
                (f"{ZOO}/face_recognition_sface/face_recognition_sface_2021dec.onnx",),
                38696353,
                "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
            ),
        ),
        licence=SFACE_ORIGIN.licence,
        training_data=SFACE_ORIGIN.training_data,
        commercial=SFACE_ORIGIN.commercial,
        citation=SFACE_ORIGIN.citation,
        preprocessing="RGB 0..255, 112x112 crops",
        use="nothing to do: the default pack has it",
    ),
    "minifasnet": Published(
        about="MiniFASNet V2 and V1SE, liveness, Silent-Face-Anti-Spoofing as ONNX",
        kind="release",
        files=(
            File(
                "2.7_80x80_MiniFASNetV2.onnx",
                releases=(f"{SILENT}/2.7_80x80_MiniFASNetV2.onnx",),
                size=1744126,
                sha256="0cbe5caec95c31de9d2ef845cb85407d76aecd1b6a2c0e343f7d35306bfbccb8",
            ),
            File(
                "4_0_0_80x80_MiniFASNetV1SE.onnx",
                releases=(f"{SILENT}/4_0_0_80x80_MiniFASNetV1SE.onnx",),
                size=1743294,
                sha256="a25886a85cdcfa2c4ea23edb71de35f250c17827b4cadd253a972b28c80fdf1e",
            ),
        ),
        licence="Apache-2.0",
        training_data="Minivision's own recordings, not published",
        commercial="yes",
        citation="Minivision: Silent-Face-Anti-Spoofing, 2020",
        preprocessing="BGR 0..255, 80x80, cut 2.7 and 4.0 times as large as the face",
        use="visavis pack liveness living {folder}",
    ),
}
