"""The form of ISO/IEC 30107-3, with figures worked out by hand."""

import pytest

from visavis.errors import CalibrationError
from visavis.liveness.measure import LivenessScore, band_of, liveness_figures, measured
from visavis.liveness.outcome import LivenessBand, read_band, write_band

BAND = LivenessBand(0.8, 0.3)


def scores(*values: float | None) -> list[LivenessScore]:
    return [LivenessScore(str(number), value) for number, value in enumerate(values)]


def test_people_and_attacks_are_counted_by_species():
    genuine = scores(0.9, 0.95, 0.5, 0.1, None)
    attacks = {"screen": scores(0.9, 0.2), "print": scores(0.1, 0.2, None), "mask": scores(None)}
    figures = liveness_figures(genuine, attacks, BAND)
    assert (figures.bpcer.count, figures.bpcer.trials, figures.bpcer.rate) == (2, 4, 0.5)
    assert (figures.bpnrr.count, figures.bpnrr.trials) == (1, 5)
    assert [(one.species, one.apcer.rate, one.apnrr.rate) for one in figures.species] == [
        ("mask", None, 1.0),
        ("print", 0.0, pytest.approx(1 / 3)),
        ("screen", 0.5, 0.0),
    ]
    assert figures.worst == "screen"  # the worst, and never the mean


def test_without_attacks_nothing_is_said_of_them():
    figures = liveness_figures(scores(0.9), {}, BAND)
    assert (figures.species, figures.worst) == ((), None)


@pytest.mark.parametrize(
    ("count", "trials", "lower", "upper"),
    # Wilson's interval with z = 1.96: 0 of 60 still allows 6.02 %
    [(0, 60, 0.0, 0.0602), (30, 60, 0.3774, 0.6226), (60, 60, 0.9398, 1.0)],
)
def test_a_share_has_its_interval(count, trials, lower, upper):
    share = measured(count, trials)
    assert (share.lower, share.upper) == (
        pytest.approx(lower, abs=1e-4),
        pytest.approx(upper, abs=1e-4),
    )


def test_a_share_of_nothing_is_none():
    assert measured(0, 0).rate is None


@pytest.mark.parametrize(
    ("refused", "live"),
    [(0.0, 0.01), (0.05, 0.06), (0.1, 0.11), (0.5, 0.51)],
)
def test_a_threshold_refuses_no_more_than_was_asked(refused, live):
    genuine = scores(*[(n + 1) / 100 for n in range(100)])
    band = band_of(genuine, refused)
    assert (band.live, band.spoof) == (pytest.approx(live), pytest.approx(live / 2))
    assert liveness_figures(genuine, {}, band).bpcer.rate <= refused


def test_too_few_people_set_no_threshold():
    with pytest.raises(CalibrationError, match=r"expected 20 presentations .* got 19"):
        band_of(scores(*[0.9] * 19, None), 0.05)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(CalibrationError, match="expected a share from 0 to below 1"):
        band_of(scores(*[0.9] * 30), share)


def test_thresholds_are_kept_in_a_file(tmp_path):
    write_band(tmp_path / "door.json", LivenessBand(0.61, 0.305))
    assert read_band(tmp_path / "door.json") == LivenessBand(0.61, 0.305)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "door.json: the document"),
        ('{"live": "a", "spoof": 0}', "door.json: live"),
        ('{"live": 0.2, "spoof": 0.3}', "expected scores from 0 to 1"),
        ('{"live": 1.2, "spoof": 0.3}', "expected scores from 0 to 1"),
    ],
)
def test_a_file_that_holds_no_thresholds_is_said(tmp_path, text, said):
    (tmp_path / "door.json").write_text(text)
    with pytest.raises(CalibrationError, match=said):
        read_band(tmp_path / "door.json")


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(CalibrationError, match="cannot read: No such file"):
        read_band(tmp_path / "door.json")
