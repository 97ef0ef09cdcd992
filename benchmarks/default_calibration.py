"""Make the default pack's calibration, and the two tables of docs/calibration.md.

    python benchmarks/default_calibration.py --out src/visavis/pack/calibration.json

All pairs of the aligned LFW images, without the people of lfw_people, so that these stay unseen.
benchmarks/lfw_label_errors.csv lists label errors found by reading every different pair above 0.5,
each with its reason; the tables state the figures with and without them.
"""

import argparse
from pathlib import Path

import numpy as np

from visavis.dataset import People, Tree, apply_exclusions, find_people, open_tree, without
from visavis.dataset.tree import tree_sha256
from visavis.document import to_bytes
from visavis.embedder import load_embedder
from visavis.evaluate.protocols import CropSource, embed_tree
from visavis.metrics.calibrate import ErrorCurve, calibrate, error_curve
from visavis.pack import load_pack
from visavis.runtime import Device

RATES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
DATASET = "LFW without the people of lfw_people"


def main() -> None:
    arguments = parse_arguments()
    tree = open_tree(arguments.data / "lfw_aligned_112.zip")
    pack = load_pack()
    embed = load_embedder(pack, device=Device(precision="float32"), flip=True)
    unseen = {folder.name for folder in (arguments.data / "lfw_people").iterdir()}
    everyone = find_people(tree)
    embeddings = embed_tree(CropSource(tree), everyone.pictures, embed).embeddings
    rows = {name: row for row, name in enumerate(everyone.pictures)}
    exclusions = Path(__file__).with_name("lfw_label_errors.csv")
    corrected = without(apply_exclusions(everyone, exclusions), unseen)
    for title, people in (
        ("As published", without(everyone, unseen)),
        ("Without the known label errors", corrected),
    ):
        curve = error_curve(embeddings[[rows[name] for name in people.pictures]], people)
        print_table(title, people, curve)
    calibration = calibrate(
        curve,
        model=pack.manifest.embedder.model,
        dataset=DATASET,
        data_sha256=data_hash(tree, corrected),
        people=len(corrected.names),
    )
    if arguments.out:
        arguments.out.write_bytes(to_bytes(calibration))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, help="where to write calibration.json")
    return parser.parse_args()


def data_hash(tree: Tree, people: People) -> str:
    return tree_sha256(tree, people.pictures)


def print_table(title: str, people: People, curve: ErrorCurve) -> None:
    """For each rate: the threshold where it is measured, and where its upper bound is."""
    print(f"\n{title}: {len(people.names):,} people, {len(people.pictures):,} pictures, ", end="")
    print(
        f"{curve.same_pairs:,} same and {curve.different_pairs / 1e6:.1f} million different pairs\n"
    )
    print(
        "| false match rate | threshold, measured | 95 % interval | same pairs missed (95 %) ",
        end="",
    )
    print("| threshold, kept at the upper bound | missed there |\n|---|---|---|---|---|---|")
    for rate in RATES:
        print(f"| {rate:.0e} | {measured(curve, rate)} | {kept(curve, rate)} |")


def measured(curve: ErrorCurve, rate: float) -> str:
    at = int(np.argmax(curve.false_match_rate <= rate))
    if curve.false_match_rate[at] > rate:
        return "not reached | | "
    low, high = curve.false_match_interval[:, at]
    miss_low, miss_high = 100 * curve.false_non_match_interval[:, at]
    missed = 100 * curve.false_non_match_rate[at]
    return (
        f"{curve.thresholds[at]:.4f} | {low:.1e} .. {high:.1e} | "
        f"{missed:.1f} % ({miss_low:.1f} .. {miss_high:.1f})"
    )


def kept(curve: ErrorCurve, rate: float) -> str:
    within = curve.false_match_interval[1] <= rate
    if not within.any():
        return "not supported | "
    at = int(np.argmax(within))
    return f"{curve.thresholds[at]:.4f} | {100 * curve.false_non_match_rate[at]:.1f} %"


if __name__ == "__main__":
    main()
