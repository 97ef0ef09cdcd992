"""Which models answer: those of the gallery's active configuration, from the next request on.

A request keeps the recognizer that it began with, so none is dropped when another one takes over.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock

from visavis.configuration import Configuration
from visavis.errors import VisavisError
from visavis.gallery import Gallery
from visavis.gallery.configurations import activate, active_configuration, read_history, roll_back
from visavis.recognizer import Recognizer
from visavis.serve.budget import InferenceBudget, budgeted
from visavis.serve.refusals import Refusal
from visavis.watch.following import without_angles

# The models of a configuration; of None, those that decide where the gallery has none.
LoadModels = Callable[[Configuration | None], Recognizer]


@dataclass(frozen=True, slots=True)
class Deciding:
    """A configuration with its models, which share the budget of networks."""

    rules: Configuration | None
    recognizer: Recognizer
    upright: Recognizer  # for cameras: it does not look which way up a picture is

    @classmethod
    def of(
        cls, rules: Configuration | None, loaded: Recognizer, budget: InferenceBudget
    ) -> "Deciding":
        """With models as they were loaded."""
        upright = replace(loaded, detect=without_angles(loaded.detect))
        return cls(rules, budgeted(loaded, budget), budgeted(upright, budget))


class ActiveModels:
    """The recognizer that answers now."""

    def __init__(
        self,
        first: Recognizer,
        gallery: Gallery,
        budget: InferenceBudget,
        load: LoadModels | None = None,
    ) -> None:
        """`load` makes the models of another configuration; without it the first ones stay."""
        self._gallery, self._budget, self._load = gallery, budget, load
        self._lock = Lock()
        rules = first.rules if first.rules.version else None
        self._known = Deciding.of(rules, first, budget)
        self._ready = self._known  # what may take over next

    def now(self) -> Recognizer:
        """What decides now: loaded, where any process has activated another configuration.

        Raises ConfigurationError where that one's models cannot be had.
        """
        return self._now().recognizer

    def watching(self) -> Recognizer:
        """As `now`, for cameras."""
        return self._now().upright

    def _now(self) -> Deciding:
        if self._load is not None and active_configuration(self._gallery) != self._known.rules:
            with self._lock:  # whoever comes meanwhile waits for the same models
                self._known = self._ready = self._loaded(active_configuration(self._gallery))
        return self._known

    def activate(self, version: int) -> Configuration:
        """Let a version decide: its models are loaded before, and where they cannot be, nothing
        changes. Raises Refusal: 404 for no such version, 409 for models that do not load.
        """
        history = read_history(self._gallery)
        if not 1 <= version <= len(history.versions):
            raise Refusal("not_found", f"there is no configuration {version}")
        self._try(history.version(version))
        return activate(self._gallery, version)

    def roll_back(self) -> Configuration:
        """Let the version decide that did before. Raises Refusal, 409, as `activate`, and where
        none did.
        """
        history = read_history(self._gallery)
        if len(history.activated) < 2:
            raise Refusal("conflict", "no configuration was active before this one")
        self._try(history.version(history.activated[-2]))
        return roll_back(self._gallery)

    def _try(self, configuration: Configuration) -> None:
        if self._load is None:
            what = "the service was started with a pack of its own, which decides"
            raise Refusal("conflict", what, mend="start it without naming a pack")
        try:
            with self._lock:
                self._ready = self._loaded(configuration)
        except VisavisError as error:
            raise Refusal("conflict", error.what, mend=error.mend) from error

    def _loaded(self, configuration: Configuration | None) -> Deciding:
        """A configuration with its models, which have looked at the gallery."""
        for known in (self._known, self._ready):
            if known.rules == configuration:
                return known
        assert self._load is not None
        deciding = Deciding.of(configuration, self._load(configuration), self._budget)
        self._gallery.index(deciding.recognizer.embed.parts)
        return deciding
