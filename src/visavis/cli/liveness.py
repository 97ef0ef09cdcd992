"""visavis liveness calibrate | report"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.liveness.measure import LivenessScore
    from visavis.liveness.networks import LivenessNetworks
    from visavis.liveness.outcome import LivenessBand
    from visavis.types import Detector

liveness = typer.Typer(
    help="Is a face alive? Thresholds of a camera's own people, and what passes.",
    no_args_is_help=True,
)

Genuine = Annotated[
    Path, typer.Option(help="Photos and videos of living people, by the camera that is watched.")
]


Networks = Annotated[
    str, typer.Option("--pack", help="A pack that has liveness networks: docs/liveness.md.")
]


@dataclass(frozen=True, slots=True)
class Judging:
    """From which score a face is live."""

    liveness_band: Annotated[
        Path | None, typer.Option(help="Thresholds that visavis liveness calibrate wrote.")
    ] = None

    def band(self) -> "LivenessBand":
        """The thresholds of the file; the usual ones without."""
        from visavis.liveness.outcome import STANDARD_BAND, read_band

        return read_band(self.liveness_band) if self.liveness_band else STANDARD_BAND


@dataclass(frozen=True, eq=False, slots=True)
class Scoring:
    """A pack's detector and liveness networks."""

    detect: "Detector"
    networks: "LivenessNetworks"

    @classmethod
    def of(cls, pack: str, where: options.Where) -> "Scoring":
        """Loaded. Raises PackError for a pack that has no such networks."""
        from visavis.detect import load_detector
        from visavis.liveness.networks import load_liveness
        from visavis.pack import load_pack

        chosen, device = load_pack(pack), where.for_one()
        networks = load_liveness(chosen, device)
        return cls(load_detector(chosen, device=device), networks)

    def scores(self, files: list[Path]) -> "list[LivenessScore]":
        """The scores of the presentations in these files."""
        from visavis.watch.presentations import score_presentations

        bar = printing.progress_bar("looking")
        return score_presentations(self.detect, self.networks, files, progress=bar)


@liveness.command()
@spread
def calibrate(
    genuine: Genuine,
    out: Annotated[Path, typer.Option(help="The file of thresholds to write.")],
    most_refused: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of living people that may be refused.")
    ] = 0.05,
    pack: Networks = "default",
    *,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """Set a camera's threshold from its own people. What attacks pass, that does not say."""
    from visavis.answers.liveness import figures_json, figures_words
    from visavis.liveness.measure import band_of, liveness_figures
    from visavis.liveness.outcome import write_band
    from visavis.watch.presentations import presentation_files

    files = presentation_files(genuine)
    scoring = Scoring.of(pack, where)
    scores = scoring.scores(files)
    band = band_of(scores, most_refused, scoring.networks.model)
    write_band(out, band)
    figures = liveness_figures(scores, {}, band)
    printing.print_answer(figures_json(figures), figures_words(figures), json=json)


@liveness.command()
@spread
def report(
    genuine: Genuine,
    attacks: Annotated[Path, typer.Option(help="A folder for each species of attack.")],
    judging: Judging,
    pack: Networks = "default",
    *,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """How often living people are refused and attacks pass, in the form of ISO/IEC 30107-3."""
    from visavis.answers.liveness import figures_json, figures_words
    from visavis.liveness.measure import liveness_figures
    from visavis.watch.presentations import attack_folders, presentation_files

    species, band, files = attack_folders(attacks), judging.band(), presentation_files(genuine)
    scoring = Scoring.of(pack, where)
    band.check_model(scoring.networks.model)
    of_species = {name: scoring.scores(attack) for name, attack in species.items()}
    figures = liveness_figures(scoring.scores(files), of_species, band)
    printing.print_answer(figures_json(figures), figures_words(figures), json=json)
