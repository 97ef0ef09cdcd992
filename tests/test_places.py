"""Where a gallery lies: folders, addresses of databases, and passwords that nothing shows."""

from pathlib import Path

import pytest

from visavis import doctor, extras
from visavis.errors import DeviceError, GalleryError
from visavis.gallery import default_gallery, open_gallery
from visavis.gallery.places import DatabaseAddress, database_at, is_address, place_shown

SECRET = "tr0ub4dor"
HOST = "/run/postgresql"


@pytest.mark.parametrize(
    ("text", "database", "gallery", "options", "said"),
    [
        ("postgresql:///faces", "faces", "visavis", {}, "postgresql:///faces?gallery=visavis"),
        (
            f"postgresql:///faces?host={HOST}&gallery=office_2",
            "faces",
            "office_2",
            {"host": HOST},
            f"postgresql://{HOST}/faces?gallery=office_2",
        ),
        (
            f"postgres://ann:{SECRET}%2F%40@db.example.org:6543/faces?sslmode=verify-full",
            "faces",
            "visavis",
            {
                "user": "ann",
                "password": f"{SECRET}/@",
                "host": "db.example.org",
                "port": "6543",
                "sslmode": "verify-full",
            },
            "postgresql://db.example.org/faces?gallery=visavis",
        ),
        (
            f"postgresql://?service=faces&password={SECRET}",
            "",
            "visavis",
            {"service": "faces", "password": SECRET},
            "postgresql:///?gallery=visavis",
        ),
    ],
)
def test_an_address_is_read_and_shown_without_who_connects(text, database, gallery, options, said):
    address = DatabaseAddress.of_text(text)
    assert (address.database, address.gallery, address.options) == (database, gallery, options)
    assert str(address) == place_shown(text) == said
    assert SECRET not in repr(address) + said
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://ann:{SECRET}/x@db/faces",  # a password with a / or an @ that is not escaped
        f"postgresql://ann:{SECRET}@x@db/faces",
        f"postgresql://ann:x#{SECRET}@db/faces",
        f"postgresql://ann:x?{SECRET}@db/faces",
        f"postgresql://ann@db:{SECRET}/faces",  # in the port's place
        f"postgresql://ann@db/faces/{SECRET}",
        f"postgresql://[{SECRET}/faces",
        f"postgresql:///faces?{SECRET}",
        f"postgresql:///faces?{SECRET}=1",
        "postgresql:///faces?options=-cx=y",
        "postgresql:///faces?gallery=Office",
        "postgresql:///faces?gallery=pg_catalog",
        f"postgresql:///faces?gallery={SECRET};drop",
        "postgresql:///faces?gallery=" + "x" * 64,
    ],
)
def test_what_is_no_address_is_refused_and_not_shown(text):
    with pytest.raises(GalleryError, match="expected postgresql://USER@HOST") as caught:
        DatabaseAddress.of_text(text)
    assert SECRET not in str(caught.value)
    assert "PGPASSWORD" in caught.value.mend


def test_what_is_no_address_is_a_folder(tmp_path):
    for folder in (tmp_path / "a", str(tmp_path / "b"), "c"):
        assert not is_address(folder)
        assert place_shown(folder) == str(folder)
    assert database_at(tmp_path / "a").where == str(tmp_path / "a" / "gallery.db")


@pytest.mark.parametrize("place", ["postgresql:///faces?host=/run", "/data/people"])
def test_the_environment_names_either(monkeypatch, place):
    monkeypatch.setenv("VISAVIS_GALLERY", place)
    assert default_gallery() == (place if is_address(place) else Path(place))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (f"postgresql://ann:{SECRET}@/faces?host=/nowhere&port=5432", "/nowhere"),
        (f"postgresql://ann:{SECRET}@127.0.0.1:1/faces", "127.0.0.1"),
        (f"postgresql://ann@/faces?host=/nowhere&password={SECRET}", "/nowhere"),
    ],
)
def test_no_server_is_an_error_that_names_it_and_no_password(
    address, said, monkeypatch, caplog, run
):
    pytest.importorskip("psycopg")
    with pytest.raises(GalleryError, match=said) as caught:
        open_gallery(address)
    assert "database does not answer" in str(caught.value)
    texts = [str(caught.value), repr(caught.value.__cause__), caplog.text]
    assert SECRET not in "".join([*texts, *shown_of(address, monkeypatch, run)])


def test_the_search_for_passwords_can_fail(monkeypatch, run):
    """Where an address is shown as it was given."""
    pytest.importorskip("psycopg")
    address = f"postgresql://ann:{SECRET}@/faces?host=/nowhere"
    monkeypatch.setattr(DatabaseAddress, "__str__", lambda _: address)
    assert SECRET in "".join(shown_of(address, monkeypatch, run))


def shown_of(address, monkeypatch, run) -> list[str]:
    """All that verbs print of a gallery that cannot be reached."""
    texts = []
    for words in (["people", "list", "--gallery", address], ["people", "list", "--json"]):
        monkeypatch.setenv("VISAVIS_GALLERY", address)
        code, out, err = run(*words)
        assert code == 2
        texts += [out, err]
    check = doctor._folder("gallery folder", "VISAVIS_GALLERY", default_gallery)
    assert check.state == "missing"
    texts.append(repr(check))
    return texts


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    with pytest.raises(DeviceError, match="not installed, psycopg") as caught:
        database_at("postgresql:///faces")
    assert caught.value.mend == "pip install '.[postgres]'"
