"""visavis evaluate pairs|people|ijb|wider [PACK...] --images FOLDER_OR_ZIP"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.plain import PlainForm
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.evaluate.all_pairs import PeopleData
    from visavis.evaluate.pairs import Asked, PairsData
    from visavis.evaluate.subjects import Packs
    from visavis.metrics.acceptance import Required

evaluate = typer.Typer(
    cls=PlainForm,
    help="How good is a pack? Accuracy, TAR at FAR, EER, AUC, each with its data. "
    "`visavis evaluate PACK --images ...` without a kind of data is `visavis evaluate pairs`.",
    no_args_is_help=False,
)

PackNames = Annotated[
    list[str] | None, typer.Argument(help="Packs, by name or folder; several are compared.")
]
PeopleImages = Annotated[
    Path, typer.Option("--images", help="A folder or zip with a folder for each person.")
]
Flip = Annotated[bool, typer.Option(help="Add the mirrored crop.")]


@dataclass(frozen=True, slots=True)
class PairsOptions:
    """What may be asked of a list of pairs beyond its figures."""

    require: Annotated[
        str | None, typer.Option(help="fmr=1e-3,fnmr=1e-2: exit 1 unless the data shows it.")
    ] = None
    weights: Annotated[
        str | None, typer.Option(help="Of several packs, as 0.3,0.7; default: searched.")
    ] = None
    degrade: Annotated[
        str | None,
        typer.Option(help="all, or of dark,blur,lowres,tilt,mask,occlusion; blur:strong."),
    ] = None
    groups: Annotated[
        Path | None, typer.Option(help="A CSV of labels: person or picture, then the labels.")
    ] = None
    scores: Annotated[Path | None, typer.Option(help="Write every similarity, as CSV.")] = None
    out: Annotated[Path | None, typer.Option(help="Write what visavis report draws, as .npz.")] = (
        None
    )

    def required(self) -> "Required | None":
        """The error rates that must not be exceeded."""
        from visavis.metrics.acceptance import parse_required

        return parse_required(self.require) if self.require else None

    def asked(self) -> "Asked":
        """As the library wants it."""
        from visavis.evaluate.degrade import degradations
        from visavis.evaluate.pairs import Asked

        return Asked(
            self.required(),
            _weights(self.weights) if self.weights else None,
            tuple(degradations(self.degrade)) if self.degrade else (),
            self.groups,
            self.scores,
            self.out,
        )

    def refuse_all_but_require(self) -> None:
        """Raise DatasetError for what only a list of pairs can answer."""
        from visavis.errors import DatasetError

        listed = {name: getattr(self, name) for name in self.__slots__ if name != "require"}
        if asked := [f"--{name}" for name, value in listed.items() if value is not None]:
            raise DatasetError(
                f"of all pairs there are figures and --require alone, not {', '.join(asked)}",
                mend="draw a list of pairs from the people",
                option="sample",
            )


@evaluate.command()
@spread
def pairs(
    packs: PackNames = None,
    *,
    images: Annotated[Path, typer.Option(help="A folder, a zip, or an InsightFace .bin.")],
    pairs: options.PairsList = None,
    protocol: Annotated[
        str | None, typer.Option(help="FF or FP, where the images are CFP's folders.")
    ] = None,
    align: options.Align = False,
    flip: Flip = True,
    skip_bad: options.SkipBad = False,
    further: PairsOptions,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """A list of pairs: accuracy, TAR at FAR, EER, AUC of each pack.

    Exit code 1: what --require asks is not shown.
    """
    from visavis.evaluate.pairs import PairsData

    data = PairsData(images, pairs, protocol, skip_bad=skip_bad)
    _show_pairs(data, _packs(packs, where, flip=flip, align=align), further.asked(), json=json)


@evaluate.command()
@spread
def people(
    packs: PackNames = None,
    *,
    images: PeopleImages,
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Draw so many pairs of each kind and fold, instead of all."),
    ] = None,
    exclude: options.Exclude = None,
    align: options.Align = False,
    flip: Flip = True,
    skip_bad: options.SkipBad = False,
    further: PairsOptions,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """All pairs of a folder of people, or pairs drawn from them: more than any list names.

    Exit code 1: what --require asks is not shown.
    """
    from visavis.evaluate.all_pairs import PeopleData
    from visavis.evaluate.pairs import PairsData

    chosen = _packs(packs, where, flip=flip, align=align)
    if sample is not None:
        data = PairsData(images, sample=sample, exclude=exclude, skip_bad=skip_bad)
        _show_pairs(data, chosen, further.asked(), json=json)
    else:
        further.refuse_all_but_require()
        _show_people(PeopleData(images, exclude, skip_bad), chosen, further.required(), json=json)


@evaluate.command()
@spread
def ijb(
    packs: PackNames = None,
    *,
    images: Annotated[Path, typer.Option(help="IJB-B or IJB-C: its meta and images.")],
    flip: Flip = True,
    skip_bad: options.SkipBad = False,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """IJB-B or IJB-C: templates of many pictures, compared 1:1 and searched for 1:N."""
    from visavis.answers.evaluation import by_pack_json, ijb_words
    from visavis.evaluate.templates import evaluate_ijb

    chosen = _packs(packs, where, flip=flip)
    results = evaluate_ijb(
        images, chosen, skip_bad=skip_bad, progress=printing.progress_bar("embedding")
    )
    printing.print_answer(by_pack_json(results), ijb_words(results), json=json)


@evaluate.command()
@spread
def wider(
    packs: PackNames = None,
    *,
    images: Annotated[Path, typer.Option(help="WIDER FACE's validation set.")],
    skip_bad: options.SkipBad = False,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """WIDER FACE: average precision of each pack's detector."""
    from visavis.answers.evaluation import by_pack_json, wider_words
    from visavis.evaluate.wider import evaluate_wider

    chosen = _packs(packs, where)
    results = evaluate_wider(
        images, chosen, skip_bad=skip_bad, progress=printing.progress_bar("detecting")
    )
    printing.print_answer(by_pack_json(results), wider_words(results), json=json)


def _show_pairs(data: "PairsData", packs: "Packs", asked: "Asked", *, json: bool) -> None:
    from visavis.answers.evaluation import pairs_json, pairs_words
    from visavis.evaluate.pairs import evaluate_pairs

    evaluation = evaluate_pairs(data, packs, asked, progress=printing.progress_bar("embedding"))
    printing.print_answer(pairs_json(evaluation), pairs_words(evaluation), json=json)
    if not evaluation.accepted:
        raise typer.Exit(1)


def _show_people(
    data: "PeopleData", packs: "Packs", required: "Required | None", *, json: bool
) -> None:
    from visavis.answers.evaluation import all_pairs_json, all_pairs_words
    from visavis.evaluate.all_pairs import evaluate_people

    results = evaluate_people(
        data, packs, required=required, progress=printing.progress_bar("embedding")
    )
    printing.print_answer(all_pairs_json(results), all_pairs_words(results), json=json)
    if not all(result.accepted for result in results):
        raise typer.Exit(1)


def _packs(
    names: list[str] | None, where: options.Where, *, flip: bool = True, align: bool = False
) -> "Packs":
    from visavis.evaluate.subjects import Packs

    return Packs(tuple(names or ["default"]), where.for_one(), flip, align)


def _weights(text: str) -> tuple[float, ...]:
    from visavis.errors import DatasetError

    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise DatasetError(f"expected weights as in 0.3,0.7, got {text!r}") from None
