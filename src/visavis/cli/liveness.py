"""visavis liveness calibrate | report"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.liveness.measure import LivenessScore
    from visavis.liveness.outcome import LivenessBand

liveness = typer.Typer(
    help="Is a face alive? Thresholds of a camera's own people, and what passes.",
    no_args_is_help=True,
)

Genuine = Annotated[
    Path, typer.Option(help="Photos and videos of living people, by the camera that is watched.")
]


@dataclass(frozen=True, slots=True)
class Judging:
    """What judges: the two networks."""

    liveness_models: Annotated[
        Path | None, typer.Option(help="The folder of the two liveness networks.")
    ] = None
    liveness_band: Annotated[
        Path | None, typer.Option(help="Thresholds that visavis liveness calibrate wrote.")
    ] = None

    def band(self) -> "LivenessBand":
        """The thresholds of the file; the usual ones without."""
        from visavis.liveness.outcome import STANDARD_BAND, read_band

        return read_band(self.liveness_band) if self.liveness_band else STANDARD_BAND

    def scores(
        self, folders: list[list[Path]], pack: str, where: options.Where
    ) -> "list[list[LivenessScore]]":
        """The scores of several lists of files."""
        from visavis.detect import load_detector
        from visavis.embedder import choose_models
        from visavis.liveness.networks import load_liveness
        from visavis.watch.presentations import score_presentations

        if self.liveness_models is None:
            raise typer.BadParameter("expected --liveness-models, the networks' folder")
        pair = load_liveness(self.liveness_models, where.for_one())
        detect = load_detector(choose_models(pack).detector, device=where.for_one())
        bar = printing.progress_bar("looking")
        return [score_presentations(detect, pair, files, progress=bar) for files in folders]


@liveness.command()
@spread
def calibrate(
    genuine: Genuine,
    judging: Judging,
    out: Annotated[Path, typer.Option(help="The file of thresholds to write.")],
    most_refused: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of living people that may be refused.")
    ] = 0.05,
    pack: options.PackName = "default",
    *,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """Set a camera's threshold from its own people. What attacks pass, that does not say."""
    from visavis.answers.liveness import figures_json, figures_words
    from visavis.liveness.measure import band_of, liveness_figures
    from visavis.liveness.outcome import write_band
    from visavis.watch.presentations import presentation_files

    (scores,) = judging.scores([presentation_files(genuine)], pack, where)
    band = band_of(scores, most_refused)
    write_band(out, band)
    figures = liveness_figures(scores, {}, band)
    printing.print_answer(figures_json(figures), figures_words(figures), json=json)


@liveness.command()
@spread
def report(
    genuine: Genuine,
    attacks: Annotated[Path, typer.Option(help="A folder for each species of attack.")],
    judging: Judging,
    pack: options.PackName = "default",
    *,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """How often living people are refused and attacks pass, in the form of ISO/IEC 30107-3."""
    from visavis.answers.liveness import figures_json, figures_words
    from visavis.liveness.measure import liveness_figures
    from visavis.watch.presentations import attack_folders, presentation_files

    species, band = attack_folders(attacks), judging.band()
    files = [presentation_files(genuine), *species.values()]
    scores, *of_species = judging.scores(files, pack, where)
    figures = liveness_figures(scores, dict(zip(species, of_species, strict=True)), band)
    printing.print_answer(figures_json(figures), figures_words(figures), json=json)
