"""Templates of new models from kept crops: a run that is killed goes on, and ends as any other."""

import subprocess
import sys
from io import BytesIO

import gallery_children
import numpy as np
import pytest
from PIL import Image

from visavis.configuration import Configuration
from visavis.gallery import Sample, open_gallery
from visavis.gallery.configurations import add_configuration, stale_photos

PEOPLE, PHOTOS = 4, 2


def png(rng):
    """A crop to keep."""
    shades = rng.integers(0, 256, (2, 2, 3), np.uint8).repeat(56, 0).repeat(56, 1)
    buffer = BytesIO()
    Image.fromarray(shades).save(buffer, "PNG")
    return buffer.getvalue()


def filled(folder):
    """People of two photos each, with crops and a template of an old model."""
    gallery, rng = open_gallery(folder), np.random.default_rng(0)
    old = np.eye(4, dtype=np.float32)[0]
    for number in range(PEOPLE):
        person = gallery.add_person(f"Person {number}")
        for which in range(PHOTOS):
            name = f"{number}-{which}"
            gallery.add_sample(person.id, Sample(name, name, {}, {"old@0": old}, crop=png(rng)))
    return gallery


def killed(folder, points, *switches):
    """Re-embed a copy of a gallery, killed at so many points: what differs afterwards."""
    filled(folder / "whole").close()
    command = [sys.executable, gallery_children.__file__, "reembed", str(folder), str(points)]
    done = subprocess.run(
        [*command, *switches], capture_output=True, text=True, check=False, timeout=900
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, [f"{points} killed"]), (
        done.stderr
    )
    return done.stdout.splitlines()[:-1]


@pytest.mark.slow
def test_a_run_that_is_killed_at_50_points_makes_the_same_templates(cache, tmp_path):
    assert killed(tmp_path, 50) == []


def test_a_run_that_is_killed_makes_the_same_templates(cache, tmp_path):
    assert killed(tmp_path, 3) == []


@pytest.mark.slow
def test_the_check_of_killed_runs_can_fail(cache, tmp_path):
    assert killed(tmp_path, 30, "autocommit") != []


def test_a_new_configuration_says_which_photos_it_does_not_see(cache, tmp_path):
    gallery = filled(tmp_path / "gallery")
    apart = stale_photos(gallery, add_configuration(gallery, Configuration.of_pack("default")))
    assert (apart.photos, apart.people, apart.models) == (PEOPLE * PHOTOS, PEOPLE, ("old@0",))
    gallery.close()
