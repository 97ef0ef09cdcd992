"""What importing does: nothing but import."""

import subprocess
import sys

import pytest

import visavis

HEAVY = "torch openvino onnxruntime onnx faiss fastapi sqlalchemy pydantic cv2 numpy PIL".split()


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_visavis_loads_no_other_package():
    assert loaded_after("import visavis") & set(HEAVY) == set()


def test_reading_a_picture_loads_no_model_runtime():
    heavy = {"openvino", "onnxruntime", "onnx", "pydantic"}
    assert loaded_after("from visavis import read_image") & heavy == set()


def test_two_photos_are_compared_without_what_galleries_need():
    loaded = loaded_after("import visavis.cli.verify, visavis.recognizer")
    assert loaded & {"sqlalchemy", "cryptography"} == set()


@pytest.mark.slow
@pytest.mark.pack
def test_a_verb_that_runs_models_loads_no_reader_of_other_frameworks():
    loaded = loaded_after(
        "import sys\nfrom visavis import cli\nsys.argv[1:] = ['verify', 'absent', 'absent']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass"
    )
    assert "openvino" in loaded
    assert {name for name in loaded if name.startswith(("openvino.tools.ovc.", "absl"))} == set()


@pytest.mark.parametrize("name", visavis.__all__)
def test_every_public_name_is_there(name):
    assert getattr(visavis, name).__module__.startswith(("visavis.", "numpy"))


def test_the_public_names_are_those_of_the_table():
    assert sorted(visavis._HOME) == sorted(visavis.__all__)


@pytest.mark.parametrize("verb", ["align", "decide"])
def test_a_verb_with_a_module_of_its_name_is_the_verb(verb):
    code = f"import visavis.recognizer, visavis\nassert callable(visavis.{verb})"
    loaded_after(code)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'verfy'"):
        _ = visavis.verfy
