"""Every file and folder that holds a person is its owner's alone, whatever the umask."""

import os
import stat

import numpy as np
import pytest
from made import ANNA, angle

from visavis import clustering, draw
from visavis.facecache import FaceCache, PhotoEmbeddings
from visavis.gallery import Sample, open_gallery, transfer
from visavis.gallery.backups import backup, restore
from visavis.gallery.transfer import export_person, export_tensors

CROP = np.full((1, 112, 112, 3), 90, np.uint8)


@pytest.fixture(autouse=True)
def umask():
    before = os.umask(0)
    yield
    os.umask(before)


def shared(folder):
    """Everything below a folder that others may read or write, by its mode."""
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}
    return {path.relative_to(folder).as_posix(): oct(m) for path, m in modes.items() if m & 0o077}


def everything(cache, folder):
    """A gallery, its backup, a restored one, an export, tensors, groups and what was looked
    through, below a folder.
    """
    gallery = open_gallery(folder / "gallery")
    person = gallery.add_person("Anna")
    gallery.add_sample(person.id, Sample("a.png", "0", {}, {"made@0": angle(ANNA)}, b"crop"))
    export_person(gallery, person, folder / "export")
    export_tensors(gallery, folder / "tensors", "made@0")
    backup(gallery, folder / "copy.db")
    restore(folder / "copy.db", folder / "restored").close()
    clustering.make_folder(folder / "groups")
    faces = clustering.write_crops(folder / "groups", folder / "photo.jpg", CROP, before=0)
    clustering.save_face_groups(folder / "groups", clustering.FaceGroups(0.5, (tuple(faces),)))
    looked_through = FaceCache("made@0", folder / "faces.db")
    looked_through.keep(b"a photo", PhotoEmbeddings(np.zeros((1, 4)), angle(ANNA)[None]))
    modes = shared(folder)  # while its journal is there, too
    looked_through.close()
    gallery.close()
    return modes


def test_what_holds_a_person_is_its_owners_alone(cache, tmp_path):
    assert everything(cache, tmp_path) == {}
    assert len(list(tmp_path.rglob("*"))) > 14


def test_the_check_of_modes_can_fail(cache, tmp_path, monkeypatch):
    def as_all(path, *parts, private=False):
        path.write_bytes(b"".join(parts))

    for module in (transfer, clustering, draw):
        monkeypatch.setattr(module, "write_whole", as_all)
    found = {path.rpartition(".")[2] for path in everything(cache, tmp_path)}
    assert found == {"json", "png", "npy", "html"}
