"""Who is it, of a gallery: ranks of people who are enrolled, and errors where strangers come. Pure
numbers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.compare import UNIT_TOLERANCE
from visavis.errors import DatasetError
from visavis.metrics.bootstrap import DRAWS, Rate, rate
from visavis.metrics.verification import (
    FAILED,
    Curve,
    allowed,
    loosest_threshold,
    rate_name,
    roc,
)
from visavis.types import Embeddings

Labels = NDArray[np.intp]

RANKS = (1, 5, 10, 20)
RATES = (1e-1, 1e-2, 1e-3, 1e-4)  # of strangers who are taken for somebody
CELLS = 2**24  # similarities at a time: 64 MB
NEVER = np.iinfo(np.intp).max  # the rank of a person who cannot be found


@dataclass(frozen=True, eq=False, slots=True)
class Search:
    """The outcome of a search of one gallery for P probes."""

    probe_people: Labels  # (P,)
    best: NDArray[np.float64]  # (P,) similarity of the closest person of the gallery
    mate: NDArray[np.float64]  # (P,) similarity of the probe's own person; FAILED: not enrolled
    rank: Labels  # (P,) of the probe's own person, from 1; 0: not enrolled, a stranger
    people: int  # in the gallery
    templates: int


@dataclass(frozen=True, slots=True)
class IdentificationResult:
    """Figures of one gallery. Each rate's `errors` are the mated probes that it misses."""

    people: int  # in the gallery
    templates: int
    mated: int  # probes whose person is in the gallery
    strangers: int  # probes whose person is not
    rank: dict[str, Rate]  # mated probes whose person is among the first k, by k: the CMC
    tpir: dict[str, Rate]  # true positive identification rate by false positive rate (FPIR)
    threshold: dict[str, float]  # at which each was taken
    tpir_index: dict[str, float]  # InsightFace's rule, for every rate, shown or not

    @property
    def fnir(self) -> dict[str, float]:
        """False negative identification rate by false positive rate: 1 - TPIR."""
        return {name: 1 - point.value for name, point in self.tpir.items()}


def search_gallery(
    gallery: Embeddings, gallery_people: Labels, probes: Embeddings, probe_people: Labels
) -> Search:
    """Search (G, D) gallery embeddings of people (G,) for (P, D) probes of people (P,).

    A person is as similar as the best of the person's embeddings. The rank of a probe's own person
    is 1 + how many others are at least as similar: ties count against us. Zero rows are failures:
    similar to nobody, and NEVER found. Raises DatasetError for an empty gallery, for
    unequal lengths or dimensions, and for a row that is neither unit nor zero.
    """
    _check(gallery, gallery_people, "gallery")
    _check(probes, probe_people, "probe")
    if gallery.shape[1] != probes.shape[1]:
        raise DatasetError(
            f"expected embeddings of one model, got {gallery.shape[1]} numbers a gallery row and "
            f"{probes.shape[1]} a probe"
        )
    order = np.argsort(gallery_people, kind="stable")
    people, starts = np.unique(gallery_people[order], return_index=True)
    own = np.minimum(np.searchsorted(people, probe_people), len(people) - 1)
    enrolled = people[own] == probe_people
    rows = gallery[order]
    step = max(1, CELLS // len(rows))
    blocks = [
        _block(rows, starts, probes[start : start + step], own[start : start + step])
        for start in range(0, len(probes), step)
    ]
    best, mate, reached = (np.concatenate(column) for column in zip(*blocks, strict=True))
    rank = np.where(mate > FAILED, reached, NEVER)
    return Search(
        probe_people=probe_people,
        best=best,
        mate=np.where(enrolled, mate, FAILED),
        rank=np.where(enrolled, rank, 0),
        people=len(people),
        templates=len(gallery),
    )


def evaluate_search(search: Search, *, draws: int = DRAWS) -> IdentificationResult:
    """All figures of a search: closed set over mated probes, open set where there are strangers.

    TPIR is the share of mated probes ranked first and at or above the loosest threshold whose false
    positive rate over the strangers is not above the rate asked for; rates that would allow less
    than one alarm are left out. InsightFace's rule is above the stranger of index
    max(int(n * rate) - 1, 0) from the top. Intervals draw people, `draws` times; 0 takes probes
    as independent. Raises DatasetError where no probe is mated.
    """
    mated, hits = _mated(search)
    alarms = np.sort(search.best[~mated])[::-1]
    people = np.repeat(search.probe_people[mated][:, None], 2, axis=1) if draws else None
    ranks = search.rank[mated]
    thresholds = {
        rate_name(asked): loosest_threshold(alarms, asked)
        for asked in RATES
        if allowed(asked, len(alarms)) >= 1
    }
    return IdentificationResult(
        people=search.people,
        templates=search.templates,
        mated=len(ranks),
        strangers=len(alarms),
        rank={str(rank): _share(ranks <= rank, people, draws) for rank in RANKS},
        tpir={name: _share(hits >= least, people, draws) for name, least in thresholds.items()},
        threshold=thresholds,
        tpir_index={
            rate_name(asked): float(np.mean(hits > _index_threshold(alarms, asked)))
            for asked in RATES
            if len(alarms)
        },
    )


def cmc(search: Search, ranks: int = max(RANKS)) -> NDArray[np.float64]:
    """(ranks,): the share of mated probes whose person is among the first 1, 2, ... Raises
    DatasetError where no probe is mated.
    """
    mated, _ = _mated(search)
    reached = np.searchsorted(np.sort(search.rank[mated]), np.arange(1, ranks + 1), side="right")
    return np.asarray(reached / mated.sum())


def dir_curve(search: Search) -> Curve:
    """False positive rates and TPIR from the strictest threshold to the loosest, for plots.

    Raises DatasetError where no probe is mated, or none is a stranger's.
    """
    mated, hits = _mated(search)
    if mated.all():
        raise DatasetError("expected probes of strangers, got none: no false positive rate")
    first = hits[hits > FAILED]
    if not len(first):
        return np.array([0.0, 1.0]), np.zeros(2)
    kind = np.repeat([True, False], [len(first), int(np.sum(~mated))])
    false, true = roc(np.concatenate([first, search.best[~mated]]), kind)
    return false, true * (len(first) / len(hits))


def _block(
    rows: Embeddings, starts: Labels, probes: Embeddings, own: Labels
) -> tuple[NDArray[np.float64], NDArray[np.float64], Labels]:
    """Of some probes: the best similarity, that of the own person, and how many reach that."""
    similarity = probes @ rows.T  # (P, G)
    similarity[:, ~rows.any(axis=1)] = FAILED
    similarity[~probes.any(axis=1)] = FAILED
    if len(starts) < len(rows):
        similarity = np.maximum.reduceat(similarity, starts, axis=1)  # (P, people)
    mate = similarity[np.arange(len(own)), own]
    reached = np.count_nonzero(similarity >= mate[:, None], axis=1)
    return similarity.max(axis=1).astype(np.float64), mate.astype(np.float64), reached


def _mated(search: Search) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which probes are mated, and of those the similarity, FAILED where not ranked first."""
    mated = search.rank > 0
    if not mated.any():
        raise DatasetError(
            f"expected probes whose person is in the gallery, got none of {len(mated)}",
            mend="take the gallery and the probes from one list",
        )
    return mated, np.where(search.rank == 1, search.mate, FAILED)[mated]


def _index_threshold(alarms: NDArray[np.float64], asked: float) -> float:
    return float(alarms[max(int(len(alarms) * asked) - 1, 0)])


def _share(right: NDArray[np.bool_], people: Labels | None, draws: int) -> Rate:
    missed = rate(~right, people, draws=draws)
    return Rate(1 - missed.value, 1 - missed.high, 1 - missed.low, missed.errors, missed.trials)


def _check(rows: Embeddings, people: Labels, role: str) -> None:
    if rows.ndim != 2 or len(rows) != len(people):
        raise DatasetError(
            f"expected ({len(people)}, D) {role} embeddings, one a label, got {rows.shape}"
        )
    if not len(rows):
        raise DatasetError(f"expected {role} embeddings, got none")
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    bad = np.flatnonzero(~((np.abs(lengths - 1) <= UNIT_TOLERANCE) | (lengths == 0)))  # NaN too
    if bad.size:
        raise DatasetError(
            f"expected {role} rows of length 1, or 0 for a failure; row {bad[0]} of {len(rows)} "
            f"has length {lengths[bad[0]]:.4g}",
            mend="use visavis.embedder.unit",
        )
