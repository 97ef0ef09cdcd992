"""What is drawn, where, and in which colour."""

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from visavis.draw import (
    AMBER,
    BLUE,
    GREEN,
    RED,
    _shortened,
    draw_faces,
    draw_verdict,
    write_image,
)
from visavis.errors import ImageError, OutputError
from visavis.image import read_image
from visavis.types import Face

BLACK = np.zeros((200, 300, 3), np.uint8)
PIXELS = (np.arange(20 * 30 * 3) % 251).astype(np.uint8).reshape(20, 30, 3)


def face(left, top, right, bottom):
    """A face whose landmarks all lie in the middle of its box."""
    box = np.array([left, top, right, bottom], np.float32)
    return Face(box, np.tile((box[:2] + box[2:]) / 2, (5, 1)), 0.9)


def edges(image, left, top, right, bottom):
    """Every pixel on the four edges of a box."""
    upright = image[top : bottom + 1, [left, right]].reshape(-1, 3)
    level = image[[top, bottom], left : right + 1].reshape(-1, 3)
    return np.concatenate([upright, level])


def test_a_box_has_its_own_colour_on_its_edges():
    boxes = [(20, 50, 100, 150), (150, 60, 280, 190)]
    drawn = draw_faces(BLACK, [face(*box) for box in boxes], ["", ""], colors=[GREEN, RED])
    assert drawn.shape == (200, 300, 3)
    assert drawn.dtype == np.uint8
    for box, color in zip(boxes, (GREEN, RED), strict=True):
        assert (edges(drawn, *box) == color).all()
    assert {tuple(pixel) for pixel in drawn.reshape(-1, 3).tolist()} == {(0, 0, 0), GREEN, RED}
    assert not drawn[:50].any()  # nothing but the boxes and what is in them
    assert (drawn[100, 60] == GREEN).all()  # the landmarks
    assert not drawn[70, 60].any()


def test_boxes_are_blue_unless_said_otherwise():
    drawn = draw_faces(BLACK, [face(20, 50, 100, 150)], [""])
    assert (edges(drawn, 20, 50, 100, 150) == BLUE).all()


def test_a_label_stands_above_its_box():
    drawn = draw_faces(BLACK, [face(50, 100, 150, 180)], ["0.93"], colors=[AMBER])
    above = drawn[70:100].reshape(-1, 3)
    assert (above == AMBER).all(axis=1).sum() > 100
    assert (above == 255).all(axis=1).any()  # the words, in white
    assert not drawn[:60].any()


@pytest.mark.parametrize("label", ["Zoë", "王小明", "Ωμέγα", "👩‍🚀", "\u202eabc", "a\nb", " "])
def test_any_label_can_be_written(label):
    drawn = draw_faces(BLACK, [face(50, 100, 150, 180)], [label])
    assert (edges(drawn, 50, 100, 150, 180) == BLUE).all()


def test_the_picture_itself_is_left_alone():
    image = PIXELS.copy()
    draw_faces(image, [face(2, 2, 15, 15)], ["a"])
    np.testing.assert_array_equal(image, PIXELS)


def test_a_picture_without_faces_is_the_same():
    np.testing.assert_array_equal(draw_faces(PIXELS, [], []), PIXELS)


@pytest.mark.parametrize(
    "box", [(-50, -50, 400, 300), (280, 190, 400, 300), (500, 500, 600, 600), (60, 60, 60, 60)]
)
def test_a_box_may_reach_past_the_border(box):
    drawn = draw_faces(BLACK, [face(*box)], ["past"], colors=[RED])
    assert drawn.shape == BLACK.shape
    assert drawn.any() == (box[0] < 300)  # drawn as far as it is in the picture


def test_each_face_needs_a_label():
    with pytest.raises(ValueError, match="shorter"):
        draw_faces(BLACK, [face(20, 50, 100, 150)], [])


def test_what_is_no_picture_is_refused():
    with pytest.raises(ImageError, match=r"got \(200, 300, 3\) float64"):
        draw_faces(BLACK / 255.0, [], [])


def test_a_sheet_shows_photos_crops_and_words():
    photos = [np.full((240, 100, 3), 10, np.uint8), np.full((960, 400, 3), 20, np.uint8)]
    crops = [np.full((112, 112, 3), 30, np.uint8), np.full((112, 112, 3), 40, np.uint8)]
    sheet = draw_verdict(photos, crops, ["same person", "similarity 0.61"], GREEN)
    # Photos are 200 x 480 each with 12 between, crops 224 x 224, and 12 above and below them.
    assert sheet.shape[0] == 480 + 224 + 2 * 12
    np.testing.assert_array_equal(sheet[240, [100, 206, 312]], [[10] * 3, [255] * 3, [20] * 3])
    np.testing.assert_array_equal(sheet[600, [100, 230, 350]], [[30] * 3, [255] * 3, [40] * 3])
    words = sheet[492:, 472:].reshape(-1, 3)
    assert (words == GREEN).all(axis=1).any()


@pytest.mark.parametrize(
    ("name", "tolerance"), [("a.png", 0), ("A.PNG", 0), ("a.jpg", 9), ("a.webp", 9)]
)
def test_a_written_picture_comes_back(name, tolerance, tmp_path):
    smooth = np.repeat(np.arange(60, 180, dtype=np.uint8)[None, :, None], 80, axis=0)
    image = np.repeat(smooth, 3, axis=2)
    write_image(tmp_path / "new" / name, image)
    np.testing.assert_allclose(
        read_image(tmp_path / "new" / name).astype(int), image, atol=tolerance
    )


@pytest.mark.parametrize("name", ["a.gif", "a", "a.png.txt", ".png"])
def test_an_unknown_suffix_is_refused(name, tmp_path):
    with pytest.raises(OutputError, match=r"expected a name in \.png, \.jpg, \.jpeg, \.webp"):
        write_image(tmp_path / name, PIXELS)
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_should_be_is_an_error(tmp_path):
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(OutputError, match="out: cannot make this folder: File exists"):
        write_image(tmp_path / "out" / "a.png", PIXELS)


@pytest.mark.parametrize(
    ("box", "label"),
    [
        ((260, 100, 299, 150), "Zoë Kaya 0.93"),  # would reach past the right border
        ((0, 0, 40, 40), "Zoë Kaya 0.93"),  # no room above
        ((50, 100, 150, 180), f"{'Wolfeschlegelsteinhausen ' * 3}0.93"),  # wider than the picture
    ],
)
def test_a_label_stays_inside_the_picture(box, label):
    drawn = draw_faces(BLACK, [face(*box)], [label], colors=[AMBER])
    rows, columns = np.nonzero((drawn > 200).all(axis=2))
    assert len(rows) > 50  # the words, in white
    assert columns.max() < drawn.shape[1] - 4
    right = (drawn[rows.min() : rows.max() + 1, columns.max() + 2] == AMBER).all(axis=1)
    assert right.all()  # the tag goes on behind its last letter


def test_a_label_that_is_too_wide_loses_of_its_name_and_keeps_its_number():
    canvas = Pillow.new("RGB", (200, 100))
    brush, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    assert _shortened(brush, "Zoë 0.93", font, 190) == "Zoë 0.93"
    short = _shortened(brush, "Wolfeschlegelsteinhausenbergerdorff 0.93", font, 190)
    assert short.startswith("Wolfeschlegel")
    assert short.endswith("… 0.93")
    assert brush.textbbox((0, 0), short, font=font)[2] <= 190
