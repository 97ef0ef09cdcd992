"""A training run as plain data and as words. Reads no file."""

from typing import TYPE_CHECKING, Any

from visavis.pack import Pack

if TYPE_CHECKING:
    from visavis.train.loop import Progressed, Trained


def trained_json(trained: "Trained", pack: Pack | None) -> dict[str, Any]:
    """What a run came to, and the pack that was made of it."""
    return {
        "out": str(trained.out),
        "weights": str(trained.weights),
        "step": trained.step,
        "steps": trained.steps,
        "stopped": trained.stopped,
        "loss": trained.loss,
        "accuracy": trained.accuracy,
        "people": trained.classes,
        "images": trained.images,
        "gaps": trained.gaps,
        "single": trained.single,
        "skipped": trained.skipped,
        "pack": None if pack is None else str(pack.folder),
    }


def trained_words(trained: "Trained", pack: Pack | None) -> list[str]:
    """What a run came to, and the pack that was made of it."""
    came = "stopped" if trained.stopped else "done"
    loss = "" if trained.loss is None else f", loss {trained.loss:.4g}"
    best = "" if trained.accuracy is None else f", best on the pairs {trained.accuracy:.2%}"
    lines = [
        f"{trained.weights}: {came} at step {trained.step:,} of {trained.steps:,}{loss}{best}",
        f"{trained.images:,} pictures of {trained.classes:,} people",
    ]
    odd = (
        (trained.single, "people have one picture: their classes pull on nobody"),
        (trained.gaps, "numbers of classes have no picture: the others were numbered anew"),
        (trained.skipped, "pictures could not be read: others were shown in their place"),
    )
    lines += [f"{count:,} {what}" for count, what in odd if count]
    return lines + ([] if pack is None else [f"{pack.folder}: a pack, calibrated"])


def line_words(line: "Progressed") -> str:
    """Where a run stands."""
    measured = "" if line.accuracy is None else f" · pairs {line.accuracy:.2%}"
    return (
        f"step {line.step:,} of {line.steps:,} · loss {line.loss:.4g} · rate {line.rate:.3g} · "
        f"{line.images_a_second:.0f} images a second{measured}"
    )
