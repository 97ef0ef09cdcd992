"""What a TOML file declares of networks, what is refused in one, and what comes before what."""

from dataclasses import fields
from pathlib import Path

import pytest
from made_networks import DIM, recogniser, scaler

from visavis.errors import PackError
from visavis.pack import load_pack
from visavis.pack.declaration import NOTHING, Declaration, Declared, read_declaration

DOCS = Path(__file__).parent.parent / "docs" / "pack-format.md"
PIXELS = "color = 'rgb'\nmean = 127.5\nstd = 127.5\n"


@pytest.fixture
def read(tmp_path):
    """Read a TOML document of this text."""

    def call(text):
        (tmp_path / "says.toml").write_text(text, encoding="utf-8")
        return read_declaration(tmp_path / "says.toml")

    return call


def example():
    """The TOML document of docs/pack-format.md."""
    return DOCS.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]


def test_the_example_of_the_docs_is_read(read):
    declaration = read(example())
    embedder, detector = declaration.embedder, declaration.detector
    assert (embedder.name, embedder.size) == ("office-r50", (112, 112))
    assert embedder.mean == embedder.std == (127.5, 127.5, 127.5)
    assert (embedder.commercial, embedder.citation) == ("yes", "")
    assert (detector.decoder, detector.mean, detector.std) == ("yolov5face", (0,) * 3, (255,) * 3)
    assert detector.anchors[2] == ((146, 217), (231, 300), (335, 433))
    assert (detector.squashed_landmarks, detector.padding) == (False, 114)


def test_every_key_is_in_the_docs():
    assert [field.name for field in fields(Declared) if f"{field.name} = " not in example()] == []


@pytest.mark.parametrize(
    ("text", "embedder", "detector"),
    [
        ("", NOTHING, NOTHING),
        ("[detector]", NOTHING, NOTHING),
        ("licence = 'MIT'", Declared(licence="MIT"), NOTHING),
        ("mean = 1", Declared(mean=(1, 1, 1)), NOTHING),
        ("std = [1, 2.5, 3]", Declared(std=(1, 2.5, 3)), NOTHING),
        ("[detector]\nlicence = 'MIT'", NOTHING, Declared(licence="MIT")),
        ("detector = {padding = 0}", NOTHING, Declared(padding=0)),
        ("source = 2021-05-27", Declared(source="2021-05-27"), NOTHING),
    ],
)
def test_what_is_declared(text, embedder, detector, read):
    assert read(text) == Declaration(embedder, detector)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("color", r"says\.toml: cannot be read as TOML"),
        ("licence = 'a'\nlicence = 'b'", "cannot be read as TOML"),
        ("colour = 'rgb'", r"says\.toml: colour: .*, got 'rgb'"),
        ("color = 'grey'", r"says\.toml: color: .*, got 'grey'"),
        ("mean = true", r"says\.toml: mean\.0: "),
        ("mean = [1, 2]", r"says\.toml: mean"),
        ("mean = nan", r"says\.toml: mean\.0: .*finite"),
        ("mean = inf", r"says\.toml: mean\.0: .*finite"),
        ("mean = '127.5'", r"says\.toml: mean: "),
        ("size = 112", r"says\.toml: size: "),
        ("size = [112, 96.5]", r"says\.toml: size\.1: "),
        ("commercial = true", r"says\.toml: commercial: "),
        ("detector = 'default'", r"says\.toml: detector: expected a table, got 'default'"),
        ("decoder = 'yunet'", r"decoder: expected a key of this table, got the detector's"),
        ("[detector]\nsize = [1, 1]", r"detector: size: .* of this table, got the embedder's"),
        ("[detector]\nname = 'a'", r"detector: name: expected a key of this table"),
        ("[detector]\npadding = 1.5", r"says\.toml: detector: padding: "),
        ("[detector]\nsquashed_landmarks = 1", r"detector: squashed_landmarks: "),
        ("[embedder]\ncolor = 'rgb'", r"says\.toml: embedder: "),
        ("[detector.detector]\n", r"says\.toml: detector: detector: "),
    ],
)
def test_what_cannot_be_declared_is_named(text, message, read):
    with pytest.raises(PackError, match=message):
        read(text)


@pytest.mark.parametrize("data", [None, b"\xff\xfe\x00"])
def test_what_is_no_text_is_refused(data, tmp_path):
    if data is not None:
        (tmp_path / "says.toml").write_bytes(data)
    with pytest.raises(PackError, match=r"says\.toml: cannot be read as TOML"):
        read_declaration(tmp_path / "says.toml")


def test_one_declaration_comes_before_another():
    first = Declaration(Declared(color="bgr"), Declared(padding=0, squashed_landmarks=False))
    then = Declaration(
        Declared(color="rgb", licence="MIT"), Declared(padding=9, squashed_landmarks=True)
    )
    assert first.over(then) == Declaration(
        Declared(color="bgr", licence="MIT"), Declared(padding=0, squashed_landmarks=False)
    )


@pytest.mark.pack
@pytest.mark.parametrize("verb", ["build", "import"])
def test_options_come_before_the_file(verb, tmp_path, run):
    (tmp_path / "mine.onnx").write_bytes(recogniser())
    text = f"name = 'r50'\nlicence = 'GPL-3.0'\ntraining_data = 'made'\ncitation = 'me'\n{PIXELS}"
    (tmp_path / "says.toml").write_text(text)
    file = ("mine", "--embedder") if verb == "build" else ()
    words = ("pack", verb, *file, tmp_path / "mine.onnx", "--out", tmp_path / "pack")
    says = ("--says", tmp_path / "says.toml", "--licence", "MIT", "--std", 128)
    assert run(*words, *says)[0] == 0
    spec = load_pack(tmp_path / "pack").manifest.embedder
    assert (spec.name, spec.dim, spec.preprocess.std) == ("r50", DIM, (128,) * 3)
    assert (spec.origin.licence, spec.origin.training_data) == ("MIT", "made")
    assert (spec.origin.citation, spec.origin.commercial) == ("me", "unknown")


@pytest.mark.pack
def test_a_file_declares_an_open_size(tmp_path, run):
    (tmp_path / "mine.onnx").write_bytes(scaler(("h", "w"), (8,)))
    (tmp_path / "says.toml").write_text(PIXELS)
    words = ("pack", "build", "mine", "--embedder", tmp_path / "mine.onnx")
    says = ("--says", tmp_path / "says.toml", "--out", tmp_path / "pack")
    code, _, err = run(*words, *says)
    assert (code, "declare its height and width (--size)" in err) == (2, True)
    (tmp_path / "says.toml").write_text(f"{PIXELS}size = [112, 96]\n")
    assert run(*words, *says)[0] == 0
    assert load_pack(tmp_path / "pack").manifest.embedder.size == (112, 96)


@pytest.mark.pack
def test_a_wrong_file_is_an_error_and_no_pack(tmp_path, run):
    (tmp_path / "mine.onnx").write_bytes(recogniser())
    (tmp_path / "says.toml").write_text("colour = 'rgb'")
    words = ("pack", "build", "mine", "--embedder", tmp_path / "mine.onnx")
    code, out, err = run(*words, "--says", tmp_path / "says.toml", "--out", tmp_path / "pack")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "says.toml: colour: " in err
    assert not (tmp_path / "pack").exists()
