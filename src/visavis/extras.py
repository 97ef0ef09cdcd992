"""What the extras bring, and the error for a missing one. Loads none of them."""

from dataclasses import dataclass
from importlib.util import find_spec

from visavis.errors import DeviceError


@dataclass(frozen=True, slots=True)
class Extra:
    """Packages that the base install leaves out."""

    name: str  # as in pip install '.[name]'
    module: str  # one that it brings
    purpose: str

    @property
    def installed(self) -> bool:
        """Whether its module can be found; it is not loaded."""
        return find_spec(self.module) is not None


EXTRAS = (
    Extra("ort", "onnxruntime", "ONNX Runtime on a CPU"),
    Extra("heif", "pillow_heif", "HEIC photos, as iPhones write them"),
    Extra("parquet", "pyarrow", "embeddings as .parquet"),
    Extra("plots", "matplotlib", "visavis report, and WIDER FACE's ground truth"),
    Extra("convert", "torch", "checkpoints to ONNX, and int8"),
    Extra("train", "datasets", "training, and data sets of Hugging Face on disk"),
    Extra("tflite", "litert_torch", "checkpoints to TFLite"),
    Extra("search", "faiss", "search in galleries of tens of thousands of photos"),
    Extra("attendance", "openpyxl", "attendance as XLSX"),
    Extra("watch", "av", "videos, cameras and streams"),
    Extra("ray", "ray", "embeddings of many photos on many machines"),
    Extra("mqtt", "paho", "events of watch to an MQTT broker"),
    Extra("hub", "fsspec", "packs in object stores"),
    Extra("postgres", "psycopg", "a gallery in PostgreSQL, for many servers"),
    Extra("serve", "fastapi", "visavis serve: REST, and pages"),
)


def need(*modules: str, extras: str = "convert,ort") -> None:
    """Raise DeviceError naming the extras where one of these modules is not installed."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise DeviceError(
            f"this needs packages that are not installed, {', '.join(missing)}",
            mend=f"pip install '.[{extras}]'",
        )
