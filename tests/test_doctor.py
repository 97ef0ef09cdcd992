"""What doctor finds, healthy and not, and how it says so."""

import json
import shutil
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from visavis import cli, detect, doctor, extras
from visavis.answers.installation import examination_json, examination_words
from visavis.doctor import PACKAGES, Check, Examination, StageTime, examine, made_photo
from visavis.embedder import model
from visavis.extras import EXTRAS
from visavis.image import read_image
from visavis.runtime import Device

pytestmark = pytest.mark.pack

STAGES = ["decode 1 megapixel", "detect", "align", "embed with flip", "compare"]


@pytest.fixture
def quick(monkeypatch):
    """Each stage timed once: these tests are not about time."""
    monkeypatch.setattr(doctor, "REPEATS", 1)


@pytest.fixture
def run(monkeypatch, capsys, quick):
    """Run `visavis doctor` in this process: (exit code, stdout, stderr)."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["visavis", "doctor", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return call


def errors(found):
    return {check.name: check for check in found.checks if check.state == "error"}


def installed(*names):
    """A stand-in for the packages that are installed."""
    return lambda: [SimpleNamespace(metadata={"Name": name}) for name in names]


def test_the_default_pack_is_healthy(quick):
    found = examine()
    assert errors(found) == {}
    assert found.healthy
    names = [check.name for check in found.checks]
    assert names[: 1 + len(PACKAGES)] == ["python", *PACKAGES]
    assert {"openvino", "sqlite", "detector", "embedder", "one onnxruntime at most"} <= set(names)
    for check in found.checks:
        assert check.found
        assert bool(check.mend) == (check.state == "missing"), check.name


def test_every_stage_has_a_time_and_says_what_runs_it(quick):
    found = examine(device=Device(precision="float32"))
    assert [stage.name for stage in found.stages] == STAGES
    assert all(0 < stage.milliseconds < 60_000 for stage in found.stages)
    places = [stage.runs_on for stage in found.stages]
    network = "openvino, cpu, float32"
    assert places == ["pillow", network, "opencv", network, "numpy"]


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="pip install '.[ort]'")
def test_onnxruntime_is_named_where_it_runs(quick):
    stages = {
        stage.name: stage.runs_on for stage in examine(device=Device("cpu", "onnxruntime")).stages
    }
    assert stages["detect"] == stages["embed with flip"] == "onnxruntime, cpu, float32"


def test_the_made_photo_is_one_megapixel():
    assert read_image(made_photo()).shape == (864, 1152, 3)
    assert made_photo() == made_photo()


@pytest.mark.parametrize(
    ("names", "state", "found"),
    [
        ((), "ok", "none"),
        (("numpy", "onnxruntime"), "ok", "onnxruntime"),
        (("onnxruntime-gpu",), "ok", "onnxruntime-gpu"),
        (("ONNXRuntime", "numpy", "onnxruntime-gpu"), "error", "onnxruntime and onnxruntime-gpu"),
    ],
)
def test_one_onnxruntime_at_most(names, state, found, monkeypatch):
    monkeypatch.setattr(doctor.metadata, "distributions", installed(*names))
    check = doctor._runtimes_apart()
    assert (check.state, check.found) == (state, found)
    assert ("pip uninstall onnxruntime onnxruntime-gpu" in check.mend) == (state == "error")


def test_both_onnxruntimes_are_exit_code_1(run, monkeypatch):
    both = installed("onnxruntime", "onnxruntime-gpu")
    monkeypatch.setattr(doctor.metadata, "distributions", both)
    code, out, err = run()
    (line,) = [line for line in out.splitlines() if line.startswith("WRONG")]
    assert (code, err) == (1, "")
    assert "onnxruntime and onnxruntime-gpu: pip uninstall onnxruntime" in line
    assert "embed with flip" in out  # the rest is told all the same


def test_a_damaged_pack_is_a_line_and_not_a_traceback(run, pack, tmp_path):
    damaged = shutil.copytree(pack.folder, tmp_path / "pack")
    for path in damaged.glob("embedder*.onnx"):  # whichever form this CPU runs
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    code, out, err = run("--pack", damaged)
    assert (code, err) == (1, "")
    (line,) = [line for line in out.splitlines() if line.startswith("WRONG")]
    assert f"pack {damaged}" in line
    assert "wanted sha256" in line
    assert " ms " not in out


@pytest.mark.parametrize("name", ["no-such-pack", "tests"])
def test_a_pack_that_is_none_is_a_line(name, quick):
    found = examine(name)
    assert list(errors(found)) == [f"pack {name}"]
    assert "no pack" in errors(found)[f"pack {name}"].found
    assert found.stages == ()


def test_a_missing_package_is_an_error_and_says_what_to_install(monkeypatch, quick):
    monkeypatch.setattr(doctor, "PACKAGES", ["numpy", "visavis-no-such-package"])
    found = examine()
    check = errors(found)["visavis-no-such-package"]
    assert (check.found, check.mend) == ("not installed", "pip install .")
    assert not found.healthy


def test_a_missing_openvino_is_an_error_and_not_a_traceback(monkeypatch, quick):
    monkeypatch.setitem(sys.modules, "openvino", None)
    found = examine()
    assert set(errors(found)) == {"runtimes", "pack default"}
    for check in errors(found).values():
        assert "OpenVINO cannot be loaded" in check.found
        assert "pip install ." in check.found


def test_what_is_left_of_an_uninstalled_onnxruntime_is_an_error(monkeypatch, quick):
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(__spec__="folder"))  # no file
    check = errors(examine())["runtimes"]
    assert "onnxruntime has lost its files" in check.found


@pytest.mark.parametrize(("extra", "module"), [(row.name, row.module) for row in EXTRAS])
def test_an_extra_that_is_absent_is_no_error(extra, module, monkeypatch, quick):
    real = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == module else real(name))
    found = examine()
    (check,) = [check for check in found.checks if check.name == f"extra {extra}"]
    assert (check.state, check.mend) == ("missing", f"pip install '.[{extra}]'")
    assert found.healthy


@pytest.mark.parametrize(
    ("version", "providers", "said"),
    [
        (None, (), "pip install '.[cuda]'"),
        ("1.31.1", ("CPUExecutionProvider",), "built for CPUs: pip uninstall onnxruntime"),
    ],
)
def test_a_device_that_is_not_here_says_what_to_install(
    version, providers, said, monkeypatch, quick
):
    module = version and SimpleNamespace(
        __version__=version, __spec__="made", get_available_providers=lambda: list(providers)
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    found = examine(device="cuda:0")
    check = errors(found)["pack default"]
    assert "cuda:0" in check.found
    assert said in check.found
    assert found.stages == ()


def test_json_is_one_document(run):
    code, out, err = run("--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert set(document) == {"healthy", "checks", "stages"}
    assert document["healthy"] is True
    assert set(document["checks"][0]) == {"name", "state", "found", "mend"}
    assert [stage["name"] for stage in document["stages"]] == STAGES
    assert set(document["stages"][0]) == {"name", "milliseconds", "runs_on"}


def test_json_of_an_error_is_one_document_too(run):
    code, out, err = run("--json", "--pack", "no-such-pack")
    document = json.loads(out)
    assert (code, err, document["healthy"], document["stages"]) == (1, "", False, [])
    assert document["checks"][-1]["state"] == "error"


def test_every_line_starts_with_a_mark(run):
    code, out, _ = run()
    assert code == 0
    lines = out.splitlines()
    assert all(line.startswith(("ok     ", "absent ", "       ")) for line in lines)
    assert sum(line.startswith("       ") for line in lines) == len(STAGES)


def test_words_of_an_examination():
    checks = (Check("python", "ok", "3.12"), Check("extra ort", "missing", "for it", "install it"))
    examination = Examination(checks, (StageTime("detect", 5.25, "openvino, cpu, float32"),))
    assert examination_words(examination) == [
        "ok     python                    3.12",
        "absent extra ort                 for it: install it",
        "       detect                   5.25 ms  openvino, cpu, float32",
    ]
    assert examination_json(examination)["healthy"] is True
    assert not Examination((Check("python", "error", "old"),), ()).healthy


def test_both_models_are_loaded_once(monkeypatch, quick):
    loaded = []
    for module in (detect, model):
        real = module.load_model

        def load(*words, real=real):
            loaded.append(words)
            return real(*words)

        monkeypatch.setattr(module, "load_model", load)
    assert examine().healthy
    assert len(loaded) == 2
