"""What is not installed is named, with the extras that bring it."""

import pytest

from visavis.errors import DeviceError
from visavis.extras import EXTRAS, need


def test_what_is_installed_is_no_error():
    need("json", "numpy")


def test_what_is_missing_is_named_with_its_extra():
    with pytest.raises(DeviceError, match=r"not installed, nomodule, nothing2: pip") as caught:
        need("json", "nomodule", "nothing2", extras="tflite")
    assert caught.value.mend == "pip install '.[tflite]'"


def test_every_extra_is_one_of_the_project(request):
    project = (request.config.rootpath / "pyproject.toml").read_text(encoding="utf-8")
    assert [extra.name for extra in EXTRAS if f"\n{extra.name} = [" not in project] == []
