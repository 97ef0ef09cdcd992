"""visavis config VERB"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.configuration import Configuration
    from visavis.gallery import Gallery

config = typer.Typer(
    help="How a gallery's people are recognised: packs, weights, rules, by version.",
    no_args_is_help=True,
)
VersionNumber = Annotated[
    int, typer.Argument(min=1, help="A version, as config list numbers them.")
]


@dataclass(frozen=True, slots=True)
class RuleOptions:
    """The rules of a new configuration."""

    detector: Annotated[
        str, typer.Option(help="The pack whose detector finds the faces; default: the first.")
    ] = ""
    policy: options.PolicyName = "standard"
    false_positive_rate: Annotated[
        float, typer.Option(callback=options.between_0_and_1, help="Of a search.")
    ] = 1e-2
    review_factor: Annotated[
        float, typer.Option(help="A match at so many times the rate is a review: 1 to 1000.")
    ] = 10.0
    least_members: Annotated[
        int | None, typer.Option(min=1, help="That must answer; default: all of them.")
    ] = None
    least_margin: Annotated[
        float, typer.Option(help="Of similarity to the runner-up, or it is a review: 0 to 2.")
    ] = 0.0
    cascade: Annotated[
        bool,
        typer.Option("--cascade", help="The first pack decides alone where it is sure."),
    ] = False
    description: Annotated[str, typer.Option(help="What it is for.")] = ""
    author: Annotated[str, typer.Option(help="Who made it; default: you.")] = ""

    def of(self, base: "Configuration") -> "Configuration":
        """The members of a configuration, with these rules."""
        from dataclasses import replace

        return replace(
            base,
            detector=self.detector,
            policy=self.policy,
            false_positive_rate=self.false_positive_rate,
            review_factor=self.review_factor,
            least_members=self.least_members or base.least_members,
            least_margin=self.least_margin,
            cascade=self.cascade,
            description=self.description or base.description,
            author=self.author,
        )


@config.command("list")
def list_configurations(gallery: options.GalleryFolder = None, json: options.Json = False) -> None:
    """All versions; the active one has a star."""
    from visavis.answers.configurations import history_json, history_words
    from visavis.gallery.configurations import read_history

    history = read_history(options.gallery_at(gallery, create=False))
    printing.print_answer(history_json(history), history_words(history), json=json)


@config.command("show")
def show_configuration(
    version: Annotated[
        int | None, typer.Argument(min=1, help="A version; default: the active one.")
    ] = None,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """One version: its members with weights beside slopes, and its rules."""
    from visavis.answers.configurations import shown_json, shown_words
    from visavis.errors import ConfigurationError
    from visavis.gallery.configurations import read_history

    store = options.gallery_at(gallery, create=False)
    history = read_history(store)
    one = history.version(version) if version is not None else history.active
    if one is None:
        raise ConfigurationError("no configuration is active", mend="name a version")
    shown = one, one.states(), one.calibration(store.kept)
    active = one == history.active
    lines = shown_words(*shown, active=active)
    printing.print_answer(shown_json(*shown, active=active), lines, json=json)


@config.command("new")
@spread
def new_configuration(
    pack: Annotated[str, typer.Argument(help="A pack, or A+B, A:0.3+B:0.7.")] = "",
    preset: Annotated[str, typer.Option(help="Members that others recommend: three-model.")] = "",
    calibration: Annotated[
        Path | None, typer.Option(help="Of these packs together: the gallery keeps and uses it.")
    ] = None,
    gallery: options.GalleryFolder = None,
    *,
    rules: RuleOptions,
    json: options.Json = False,
) -> None:
    """Keep a new version. It decides nothing until it is activated."""
    from visavis.gallery.configurations import keep_calibration_file

    configuration = rules.of(_base(pack, preset))
    store = options.gallery_at(gallery)
    if calibration is not None:
        keep_calibration_file(store, configuration, calibration)
    _add(store, [configuration], (), json=json)


def _base(pack: str, preset: str) -> "Configuration":
    """The members that are meant; an error names a preset's missing packs, with their terms."""
    from visavis.answers.configurations import preset_words
    from visavis.configuration import Configuration
    from visavis.errors import ConfigurationError
    from visavis.presets import preset_called

    if bool(pack) == bool(preset):
        raise typer.BadParameter("expected a pack, or --preset")
    if not preset:
        return Configuration.of_pack(pack)
    chosen = preset_called(preset)
    if chosen.missing:
        raise ConfigurationError(
            f"{preset}: these packs are not installed: {', '.join(chosen.missing)}",
            mend="; ".join(preset_words(chosen)),
        )
    return chosen.configuration


@config.command("import")
def import_configurations(
    file: Annotated[Path, typer.Argument(help="A configuration, or the replaced service's rows.")],
    packs: Annotated[
        str, typer.Option(help="The service's models as packs: arcface=buffalo_l,adaface=mine.")
    ] = "",
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Keep the configurations of a file as new versions. None is activated."""
    from visavis.presets import read_configurations

    read = read_configurations(file, _named(packs))
    _add(options.gallery_at(gallery), read.configurations, read.notes, json=json)


def _named(packs: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in packs.split(",") if pair]
    if not all(model and pack for model, _, pack in pairs):
        raise typer.BadParameter(f"expected MODEL=PACK,MODEL=PACK, got {packs!r}")
    return {model.strip(): pack.strip() for model, _, pack in pairs}


def _add(
    store: "Gallery",
    configurations: "list[Configuration] | tuple[Configuration, ...]",
    notes: tuple[str, ...],
    *,
    json: bool,
) -> None:
    from visavis.answers.configurations import added_words, configuration_json
    from visavis.gallery.configurations import add_configurations

    made = add_configurations(store, configurations)
    document = {"added": [configuration_json(one) for one in made], "notes": list(notes)}
    printing.print_answer(document, added_words(made, notes), json=json)


@config.command("activate")
def activate_configuration(
    version: VersionNumber, gallery: options.GalleryFolder = None, json: options.Json = False
) -> None:
    """Let a version decide from now on; says which photos have no template of its models."""
    from visavis.gallery.configurations import activate

    store = options.gallery_at(gallery, create=False)
    _show_active(store, activate(store, version), json=json)


@config.command("rollback")
def roll_back_configuration(
    gallery: options.GalleryFolder = None, json: options.Json = False
) -> None:
    """Let the version decide that did before the active one."""
    from visavis.gallery.configurations import roll_back

    store = options.gallery_at(gallery, create=False)
    _show_active(store, roll_back(store), json=json)


def _show_active(store: "Gallery", configuration: "Configuration", *, json: bool) -> None:
    from visavis.answers.configurations import activated_json, activated_words
    from visavis.gallery.configurations import stale_photos

    apart = stale_photos(store, configuration)
    lines = activated_words(configuration, apart)
    printing.print_answer(activated_json(configuration, apart), lines, json=json)


@config.command("compare")
@spread
def compare_configurations(
    first: VersionNumber,
    second: VersionNumber,
    images: Annotated[Path, typer.Option(help="Crops, or with --align photos: a folder or zip.")],
    pairs: options.PairsList = None,
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Of a folder for each person: pairs a fold and kind to draw."),
    ] = None,
    false_match_rate: Annotated[
        float, typer.Option(callback=options.between_0_and_1, help="At which both are compared.")
    ] = 1e-3,
    align: options.Align = False,
    skip_bad: options.SkipBad = False,
    gallery: options.GalleryFolder = None,
    *,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """Replay two versions on the same photos: figures of each, and what SECOND gains on FIRST."""
    from visavis.answers.configurations import compared_json, compared_words
    from visavis.evaluate.pairs import PairsData
    from visavis.evaluate.replay import replay
    from visavis.gallery.configurations import read_history

    history = read_history(options.gallery_at(gallery, create=False))
    compared = replay(
        (history.version(first), history.version(second)),
        PairsData(images, pairs, sample=sample, skip_bad=skip_bad),
        false_match_rate=false_match_rate,
        align=align,
        device=where.for_one(),
        progress=printing.progress_bar("embedding"),
    )
    printing.print_answer(compared_json(compared), compared_words(compared), json=json)
