"""What `visavis convert` made and showed, as one JSON document or in words."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visavis.cli import options
from visavis.cli.conversions import Converted

if TYPE_CHECKING:
    from visavis.convert.detectors import DetectorReport
    from visavis.convert.judge import Judgement
    from visavis.convert.parity import Gap
    from visavis.convert.tflite import TfliteProof
    from visavis.runtime import Preprocess

UNKNOWN = "unknown"


def show(converted: Converted, out: Path, *, json: bool) -> None:
    """Print what was written, and what is known of it."""
    if json:
        options.print_json(_document(converted, out))
        return
    form, metadata = converted.form, converted.metadata
    family = f"{metadata.family}, licence: {metadata.licence}" if metadata else UNKNOWN
    print(f"{out}  {_megabytes(len(form.onnx))}, {_form(converted)}")
    print(f"family   {family}")
    print(f"pixels   {form.width}x{form.height} {_pixels(form.preprocess)}")
    print(f"gives    {form.dim} numbers")
    for runtime, (cosine, difference) in _worst(converted.gaps).items():
        print(f"parity   {runtime}: 1 - cosine at most {cosine:.1e}, a number {difference:.1e}")
    if converted.closeness:
        close = converted.closeness
        before = _megabytes(len(converted.origin.onnx))
        print(f"float32  {before}, cosine to it {close.mean:.5f}, at worst {close.worst:.5f}")
    if converted.judgement:
        _print_judgement(converted.judgement)
    elif converted.closeness:
        print("accuracy not measured: give --images with pairs to judge it on")
    if converted.tflite_proof:
        _print_tflite(out.with_suffix(".tflite"), converted.tflite, converted.tflite_proof)


def show_detector(report: "DetectorReport", *, json: bool) -> None:
    """Print what was written of a detector."""
    if json:
        options.print_json({**asdict(report), "out": str(report.out)})
        return
    print(f"{report.out}  {_megabytes(report.bytes)}, float32")
    print(f"family   {report.family}, licence: {report.licence}")
    print(f"pixels   {_pixels(report.preprocess)}; any size")
    print(f"decoder  {report.decoder}")
    for runtime, gap in report.parity.items():
        print(f"parity   {runtime}: a number differs by at most {gap:.1e} of 1 + its size")


def _print_judgement(judgement: "Judgement") -> None:
    from visavis.convert.judge import words

    print(f"accuracy {100 * judgement.before:.2f} % on {judgement.pairs:,} pairs")
    if judgement.after is not None and judgement.gain is not None:
        print(f"         {100 * judgement.after:.2f} % as written: {words(judgement.gain)}")


def _print_tflite(path: Path, data: bytes, proof: "TfliteProof") -> None:
    close, ends = proof.closeness, (proof.input, proof.output)
    shapes = " to ".join(f"{list(end.shape)} {end.type}" for end in ends)
    print(f"{path}  {_megabytes(len(data))}, {proof.layout} {shapes}")
    print(f"parity   cosine to PyTorch {close.mean:.7f}, at worst {close.worst:.7f}")


def _document(converted: Converted, out: Path) -> dict[str, Any]:
    form, metadata = converted.form, converted.metadata
    proof = converted.tflite_proof
    return {
        "out": str(out),
        "bytes": len(form.onnx),
        "form": _form(converted),
        "family": metadata.family if metadata else None,
        "licence": metadata.licence if metadata else None,
        **asdict(form.preprocess),
        "height": form.height,
        "width": form.width,
        "dim": form.dim,
        "source": metadata.source if metadata else None,
        "source_sha256": metadata.source_sha256 if metadata else None,
        "weights_sha256": metadata.weights_sha256 if metadata else None,
        "parity": [asdict(gap) for gap in converted.gaps],
        "float32_bytes": len(converted.origin.onnx),
        "closeness": asdict(converted.closeness) if converted.closeness else None,
        "accuracy": _judged(converted.judgement) if converted.judgement else None,
        "tflite": None
        if proof is None
        else {
            "out": str(out.with_suffix(".tflite")),
            "bytes": len(converted.tflite),
            **asdict(proof),
        },
    }


def _judged(judgement: "Judgement") -> dict[str, Any]:
    gain = judgement.gain
    verdict = {**asdict(gain), "verdict": gain.verdict} if gain else None
    return {**asdict(judgement), "gain": verdict}


def _form(converted: Converted) -> str:
    if converted.metadata:
        return converted.metadata.form
    return "smaller" if converted.closeness else "as it was"


def _worst(gaps: "list[Gap]") -> dict[str, tuple[float, float]]:
    """Of each runtime."""
    found: dict[str, tuple[float, float]] = {}
    for gap in gaps:
        cosine, difference = found.get(gap.runtime, (0.0, 0.0))
        found[gap.runtime] = max(cosine, gap.cosine), max(difference, gap.difference)
    return found


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _pixels(preprocess: "Preprocess") -> str:
    return f"{preprocess.color}, mean {_short(preprocess.mean)}, std {_short(preprocess.std)}"


def _short(numbers: tuple[float, ...]) -> str:
    """One number where all are the same."""
    return "/".join(
        f"{number:g}" for number in (numbers[:1] if len(set(numbers)) == 1 else numbers)
    )
