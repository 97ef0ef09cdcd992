"""The plain form of `visavis evaluate`: no kind of data named, or named by an option."""

from typing import Any

from typer.core import TyperGroup

from visavis.errors import DatasetError

PLAIN = "pairs"
# Options that name the kind of data; behind the first two stand the images.
KINDS = {"--ijb": "ijb", "--wider": "wider", "--all-pairs": "people", "--sample": "people"}
IMAGES = ("--ijb", "--wider")


class PlainForm(TyperGroup):
    """`visavis evaluate PACK --images ...` is `visavis evaluate pairs PACK --images ...`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words with a kind of data in front. Raises DatasetError for an option that belongs
        to another kind: it would go unheard.
        """
        # A shell that completes the first word wants the kinds of data.
        completing = ctx.resilient_parsing and not args
        if args[:1] != ["--help"] and not completing:
            args = args if args and args[0] in self.commands else with_kind(args)
            self._refuse(args[0], args[1:])
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed

    def _refuse(self, kind: str, words: list[str]) -> None:
        takes = {
            name: {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
            for name, command in self.commands.items()
        }
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            homes = [name for name, known in takes.items() if option in known]
            if homes and kind not in homes:
                raise DatasetError(
                    f"evaluate {kind} has no {option}",
                    mend=f"leave it out, or use visavis evaluate {' or '.join(homes)}",
                )


def with_kind(words: list[str]) -> list[str]:
    """The words of the plain form with the kind of data in front: "pairs" where no option names
    another. Raises DatasetError where several do, or where there are several folders of images.
    """
    options = [word.partition("=")[0] for word in words]
    named = [option for option in options if option in KINDS]
    if not named:
        return [PLAIN, *words]
    if len(named) > 1:
        raise DatasetError(f"expected one kind of data, got {' and '.join(named)}")
    option = named[0]
    if option in IMAGES and "--images" in options:
        raise DatasetError(f"expected {option} or --images, got both")
    place = options.index(option)
    renamed = {"--all-pairs": [], "--sample": [words[place]]}.get(
        option, [words[place].replace(option, "--images", 1)]
    )
    return [KINDS[option], *words[:place], *renamed, *words[place + 1 :]]
