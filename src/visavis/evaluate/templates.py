"""IJB-B and IJB-C: many pictures of a person as one template, compared and searched for."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.alignment import align
from visavis.batch import Progress
from visavis.dataset.ijb import Ijb, TemplatePairs, TemplatePeople, read_ijb
from visavis.errors import DatasetError
from visavis.evaluate.protocols import Embedded, embed_crops
from visavis.evaluate.subjects import Packs, load_subjects
from visavis.image import read_image
from visavis.metrics.identification import IdentificationResult, evaluate_search, search_gallery
from visavis.metrics.verification import FAILED, Result, evaluate
from visavis.types import Crops, Embedder, Face

IMAGES = 8192  # pooled at a time, or one template's if that has more
BLOCK = 256  # templates compared with all others at a time


@dataclass(frozen=True, slots=True)
class IjbResult:
    """Both protocols' figures of one set."""

    pictures: int
    templates: int
    verification: Result  # its failures_to_acquire are templates without any picture
    galleries: dict[str, IdentificationResult]  # by name, closed and open set; none: no 1:N lists
    everybody: IdentificationResult | None  # all galleries as one: closed set
    rank: dict[str, float]  # means of the galleries' figures
    tpir: dict[str, float]
    tpir_index: dict[str, float]
    skipped: int  # lines and pictures left out because they were bad


def evaluate_ijb(
    folder: Path, packs: Packs, *, skip_bad: bool = False, progress: Progress = iter
) -> dict[str, IjbResult]:
    """Each pack's figures of a folder with meta/ and loose_crop/, IJB-B's or IJB-C's, by its name.

    Pictures are aligned by the points in their lists, so `packs.align` must not be set. Raises
    DatasetError where it is, and what `read_ijb` and `embed_ijb` raise; `skip_bad` counts instead.
    """
    if packs.align:
        raise DatasetError("pictures of IJB are aligned by the points in their lists: find no face")
    ijb = read_ijb(folder, skip_bad=skip_bad)
    return {
        subject.name: measure_ijb(ijb, subject.embed, skip_bad=skip_bad, progress=progress)
        for subject in load_subjects(packs)
    }


def measure_ijb(
    ijb: Ijb,
    embed: Embedder,
    *,
    weigh: bool = True,
    skip_bad: bool = False,
    progress: Progress = iter,
) -> IjbResult:
    """Both protocols through one embedder. Raises what `embed_ijb` raises; `skip_bad` counts."""
    embedded = embed_ijb(ijb, embed, skip_bad=skip_bad, progress=progress)
    return ijb_result(ijb, embedded, pool(ijb, embedded, weigh=weigh))


def embed_ijb(
    ijb: Ijb, embed: Embedder, *, skip_bad: bool = False, progress: Progress = iter
) -> Embedded:
    """Embed the (N,) pictures, each aligned by the five points of its own line.

    Raises ImageError, DatasetError, LandmarkError or EmbeddingError with the file and line of a
    picture that cannot be read, aligned or embedded; `skip_bad` notes it.
    """
    return embed_crops(
        lambda row: _crop(ijb, row, embed.margin),
        ijb.names,
        embed,
        where=ijb.where,
        skip_bad=skip_bad,
        progress=progress,
    )


def pool(ijb: Ijb, embedded: Embedded, *, weigh: bool = True) -> Embedded:
    """(T, D) templates: the mean of the pictures of each media, their sum, at length 1.

    `weigh` multiplies a picture by its detector score. Embeddings are unit, so their norms cannot
    weigh as in InsightFace's N1D1F1: this is CVLface's N0D1F1 (or N0D0F1), of which tables report
    other figures. A template without any picture is not acquired, and zeros.
    """
    rows = np.flatnonzero(embedded.acquired)
    rows = rows[np.lexsort((ijb.media[rows], ijb.template[rows]))]
    template, media = ijb.template[rows], ijb.media[rows]
    of = np.flatnonzero(np.diff(template, prepend=-1))  # where a template starts
    groups = np.union1d(of, np.flatnonzero(np.diff(media, prepend=-1)))  # and where a media does
    weights = ijb.scores if weigh else np.ones(len(ijb.scores), np.float32)
    sums = np.zeros((len(ijb.templates), embedded.embeddings.shape[1]), np.float32)
    for start, end in _spans(np.append(of, len(rows))):
        part = rows[start:end]
        images = embedded.embeddings[part] * weights[part, None]
        own = groups[(groups >= start) & (groups < end)] - start
        means = np.add.reduceat(images, own) / np.diff(own, append=end - start)[:, None]
        first = of[(of >= start) & (of < end)]
        sums[template[first]] = np.add.reduceat(means, np.searchsorted(own, first - start))
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    sums /= np.where(lengths > 0, lengths, 1)
    return Embedded(sums, lengths[:, 0] > 0)


def pair_similarities(pairs: TemplatePairs, templates: Embedded) -> NDArray[np.float32]:
    """(P,) cosines of pairs of templates; FAILED where one has no picture."""
    similarity = np.empty(len(pairs.same), np.float32)
    order = np.argsort(pairs.left, kind="stable")
    left = pairs.left[order]
    names, starts = np.unique(left, return_index=True)
    ends = np.append(starts, len(left))
    rows = templates.embeddings
    for start in range(0, len(names), BLOCK):
        block = names[start : start + BLOCK]
        span = slice(ends[start], ends[start + len(block)])
        place = np.searchsorted(block, left[span])
        similarity[order[span]] = (rows[block] @ rows.T)[place, pairs.right[order[span]]]
    similarity[~(templates.acquired[pairs.left] & templates.acquired[pairs.right])] = FAILED
    return similarity


def ijb_result(ijb: Ijb, embedded: Embedded, templates: Embedded) -> IjbResult:
    """The figures of pooled templates. A pair with a template without any picture counts as
    answered "different", a search with one as finding nobody.
    """
    verification = evaluate(
        pair_similarities(ijb.pairs, templates),
        ijb.pairs.same,
        folds=None,
        failures=int(np.sum(~templates.acquired)),
    )
    results = {name: _search(templates, one, ijb.probes) for name, one in ijb.galleries.items()}
    return IjbResult(
        pictures=len(ijb.names),
        templates=len(ijb.templates),
        verification=verification,
        galleries=results,
        everybody=_search(templates, _union(ijb), ijb.probes) if results else None,
        rank=_mean([{k: rate.value for k, rate in one.rank.items()} for one in results.values()]),
        tpir=_mean([{k: rate.value for k, rate in one.tpir.items()} for one in results.values()]),
        tpir_index=_mean([one.tpir_index for one in results.values()]),
        skipped=ijb.skipped + len(embedded.bad),
    )


def _crop(ijb: Ijb, row: int, margin: float) -> Crops:
    points = ijb.landmarks[row]
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    image = read_image(ijb.tree.read(ijb.names[row]))
    return align(image, [Face(box, points, float(ijb.scores[row]))], margin=margin)


def _spans(starts: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Consecutive spans from the first start to the last, of whole templates, about IMAGES long."""
    ends = [0]
    while ends[-1] < starts[-1]:
        place = np.searchsorted(starts, ends[-1] + IMAGES, side="right") - 1
        following = starts[np.searchsorted(starts, ends[-1], side="right")]
        ends.append(max(int(starts[place]), int(following)))
    return list(pairwise(ends))


def _search(
    templates: Embedded, gallery: TemplatePeople, probes: TemplatePeople | None
) -> IdentificationResult:
    assert probes is not None  # a set has galleries and probes, or neither
    rows = templates.embeddings
    return evaluate_search(
        search_gallery(
            rows[gallery.templates], gallery.people, rows[probes.templates], probes.people
        )
    )


def _union(ijb: Ijb) -> TemplatePeople:
    lists = ijb.galleries.values()
    return TemplatePeople(
        np.concatenate([one.templates for one in lists]),
        np.concatenate([one.people for one in lists]),
    )


def _mean(columns: list[dict[str, float]]) -> dict[str, float]:
    """Of what all galleries can show."""
    names = [name for name in columns[0] if all(name in one for one in columns)] if columns else []
    return {name: float(np.mean([one[name] for one in columns])) for name in names}
