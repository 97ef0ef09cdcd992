"""What a conversion wrote and showed, as a JSON document and as words. Decides nothing."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from visavis.convert.detectors import DetectorReport
from visavis.convert.judge import Judgement, gain_words
from visavis.convert.parity import worst_gaps
from visavis.convert.workflow import Conversion, TfliteFile
from visavis.runtime import Preprocess

UNKNOWN = "unknown"
MOST_KEYS = 10  # of those left out, that are named


def conversion_json(conversion: Conversion | DetectorReport) -> dict[str, Any]:
    """The JSON document of a conversion."""
    if isinstance(conversion, DetectorReport):
        return {**asdict(conversion), "out": str(conversion.out)}
    metadata = conversion.metadata
    return {
        "out": str(conversion.out),
        "bytes": conversion.bytes,
        "form": _form(conversion),
        "family": metadata.family if metadata else None,
        "licence": metadata.licence if metadata else None,
        **asdict(conversion.preprocess),
        "height": conversion.height,
        "width": conversion.width,
        "dim": conversion.dim,
        "source": metadata.source if metadata else None,
        "source_sha256": metadata.source_sha256 if metadata else None,
        "weights_sha256": metadata.weights_sha256 if metadata else None,
        "left_out": list(conversion.left_out),
        "parity": [asdict(gap) for gap in conversion.gaps],
        "float32_bytes": conversion.float32_bytes,
        "closeness": asdict(conversion.closeness) if conversion.closeness else None,
        "accuracy": _judgement_json(conversion.judgement) if conversion.judgement else None,
        "tflite": _tflite_json(conversion.tflite) if conversion.tflite else None,
    }


def conversion_words(conversion: Conversion | DetectorReport) -> list[str]:
    """What was written, and what is known of it: a line each."""
    if isinstance(conversion, DetectorReport):
        return _detector_words(conversion)
    metadata, close = conversion.metadata, conversion.closeness
    family = f"{metadata.family}, licence: {metadata.licence}" if metadata else UNKNOWN
    size = f"{conversion.width}x{conversion.height}"
    lines = [
        f"{conversion.out}  {_megabytes(conversion.bytes)}, {_form(conversion)}",
        f"family   {family}",
        f"pixels   {size} {_pixels(conversion.preprocess)}",
        f"gives    {conversion.dim} numbers",
    ]
    if conversion.left_out:
        keys = ", ".join(conversion.left_out[:MOST_KEYS])
        more = len(conversion.left_out) - MOST_KEYS
        lines.append(f"left out {keys}{f', and {more} more' if more > 0 else ''}")
    for runtime, worst in worst_gaps(conversion.gaps).items():
        cosine, difference = worst["cosine"], worst["difference"]
        lines.append(
            f"parity   {runtime}: 1 - cosine at most {cosine:.1e}, a number {difference:.1e}"
        )
    if close:
        before = _megabytes(conversion.float32_bytes)
        lines.append(
            f"float32  {before}, cosine to it {close.mean:.5f}, at worst {close.worst:.5f}"
        )
    if conversion.judgement:
        lines += _judgement_words(conversion.judgement)
    elif close:
        lines.append("accuracy not measured: give images with pairs to judge it on")
    return lines + (_tflite_words(conversion.tflite) if conversion.tflite else [])


def _detector_words(report: DetectorReport) -> list[str]:
    return [
        f"{report.out}  {_megabytes(report.bytes)}, float32",
        f"family   {report.family}, licence: {report.licence}",
        f"pixels   {_pixels(report.preprocess)}; any size",
        f"decoder  {report.decoder}",
        *(
            f"parity   {runtime}: a number differs by at most {gap:.1e} of 1 + its size"
            for runtime, gap in report.parity.items()
        ),
    ]


def _judgement_words(judgement: Judgement) -> list[str]:
    lines = [f"accuracy {100 * judgement.before:.2f} % on {judgement.pairs:,} pairs"]
    if judgement.after is not None and judgement.gain is not None:
        gain = gain_words(judgement.gain)
        lines.append(f"         {100 * judgement.after:.2f} % as written: {gain}")
    return lines


def _tflite_words(tflite: TfliteFile) -> list[str]:
    proof = tflite.proof
    shapes = " to ".join(f"{list(end.shape)} {end.type}" for end in (proof.input, proof.output))
    close = proof.closeness
    return [
        f"{tflite.out}  {_megabytes(tflite.bytes)}, {proof.layout} {shapes}",
        f"parity   cosine to PyTorch {close.mean:.7f}, at worst {close.worst:.7f}",
    ]


def _judgement_json(judgement: Judgement) -> dict[str, Any]:
    gain = judgement.gain
    verdict = {**asdict(gain), "verdict": gain.verdict} if gain else None
    return {**asdict(judgement), "gain": verdict}


def _tflite_json(tflite: TfliteFile) -> dict[str, Any]:
    return {"out": str(tflite.out), "bytes": tflite.bytes, **asdict(tflite.proof)}


def _form(conversion: Conversion) -> str:
    if conversion.metadata:
        return conversion.metadata.form
    return "smaller" if conversion.closeness else "as it was"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _pixels(preprocess: Preprocess) -> str:
    return f"{preprocess.color}, mean {_short(preprocess.mean)}, std {_short(preprocess.std)}"


def _short(numbers: Iterable[float]) -> str:
    """One number where all three are the same."""
    texts = [f"{number:g}" for number in numbers]
    return texts[0] if len(set(texts)) == 1 else "/".join(texts)
