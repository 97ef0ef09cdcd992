"""The error tree is drawn as it is."""

import re

from visavis import errors


def test_every_error_is_drawn_in_the_tree():
    drawn = re.findall(r"^[├└]── (\w+)", errors.__doc__, re.MULTILINE)
    classes = [name for name in vars(errors) if name.endswith("Error") and name != "VisavisError"]
    assert drawn == classes


def test_every_error_is_a_visavis_error():
    assert {error.__base__ for error in errors.VisavisError.__subclasses__()} == {
        errors.VisavisError
    }
