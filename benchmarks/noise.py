"""Pictures filed under the wrong person: how many a training with spare centres names.

    python benchmarks/noise.py [--steps 100] [key=value ...] [--work FOLDER]

Of each of the first 120 people of lfw_people, by name, the first picture is moved to the next
person: a tenth of all. foamliu's published network learns them by the recipe `fine_tune`, three
centres a person; what `dataset check --trained` then names is counted, and how much of it is right.
Needs $VISAVIS_DATA (default ../shared). No picture leaves the work folder.
"""

import argparse
from pathlib import Path

from fine_tune import FOAMLIU, begin
from small import split

from visavis.dataset.images import open_images
from visavis.train.loop import STATE, Workplace, train
from visavis.train.recipe import read_recipe
from visavis.train.spare import spare_pictures

CENTRES = 3


def measure(asked: argparse.Namespace, work: Path) -> None:
    work.mkdir(exist_ok=True)
    learn, _ = split(work)
    moved = with_noise(learn, work / "noisy")
    data, out = work / "noisy", work / "noisy-run"
    said = [f"data={data}", f"init={FOAMLIU}", f"steps={asked.steps}"]
    trained = train(
        read_recipe("fine_tune", [*said, f"classes.centres={CENTRES}", *asked.changes]),
        Workplace(out),
        resume=(out / STATE).exists(),
        report=lambda line: print(f"{line.step:>6} loss {line.loss:.3f}", flush=True),
    )
    if trained.stopped:
        raise SystemExit(f"stopped: the same call with --work {work} goes on")
    named = {Path(one.picture.split(": ")[1]) for one in spare_pictures(out, open_images(data))}
    right = len(named & moved)
    print(f"{trained.images:,} pictures, {len(moved)} of them moved; named {len(named)}")
    print(f"of those that are moved {right / len(moved):.1%} are named")
    print(f"of those that are named {right / max(1, len(named)):.1%} are moved")


def with_noise(learn: Path, noisy: Path) -> set[Path]:
    """Links to all pictures, the first of each person under the next one; which those are."""
    people = sorted(path.name for path in learn.iterdir())
    moved = set()
    for place, person in enumerate(people):
        for number, picture in enumerate(sorted((learn / person).iterdir())):
            shown = people[(place + 1) % len(people)] if number == 0 else person
            link = noisy / shown / picture.name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(picture)
            if number == 0:
                moved.add(Path(shown, picture.name))
    return moved


if __name__ == "__main__":
    begin(measure, 100)
