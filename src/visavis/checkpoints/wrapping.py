"""How training code wraps a backbone's keys. Takes the wrapping off and reads the family in it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from visavis.checkpoints.families import FAMILIES, Family, Shapes, detect_family
from visavis.checkpoints.loading import listed
from visavis.errors import CheckpointError

# Of training code that is known, longest first; "" is a backbone saved alone. `features.` is none:
# it names layers.
PREFIXES = (
    "features.module.", "module.features.", "backbone.module.", "model.model.", "model.net.",
    "backbone.", "module.", "model.", "net.", "",
)  # fmt: skip
HEADS = ("head.", "header.", "parallel_fc.")  # of training: one row for each person
HEADS_BESIDE = (*HEADS, "fc.", "module.fc.", "module.head.")  # if the backbone has a prefix
MOST_PARTS = 6  # of a key, that may be a prefix
LEAST_SHARE = 8  # of all keys, one in so many is under the prefix of a backbone


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A backbone's tensors by its own keys."""

    state: dict[str, Tensor]
    container: str = ""  # the entry of the file in which they lay
    prefix: str = ""
    left_out: tuple[str, ...] = ()  # keys of a margin head, and whatever else lay beside it

    @property
    def shapes(self) -> Shapes:
        """Of the tensors, by key."""
        return shapes_of(self.state)


def unwrap(tensors: Mapping[str, Tensor], container: str = "") -> Unwrapped:
    """Take off the first prefix under which some family's keys appear, and leave out what lies
    beside it, or a margin head.

    Raises CheckpointError for a network that is known and not supported, and for two of them.
    """
    for prefix in (*PREFIXES, *_other_prefixes(tensors)):
        under = [key for key in tensors if key.startswith(prefix)]
        heads = {key for key in under if not prefix and key.startswith(HEADS)}
        state = {key.removeprefix(prefix): tensors[key] for key in under if key not in heads}
        if not detect_family(shapes_of(state)):
            continue
        beside = {key: tensors[key] for key in tensors.keys() - set(under)}
        strays = {key for key in beside if not key.startswith(HEADS_BESIDE)}
        if strays & state.keys():
            continue  # a key with the prefix and without: nobody can tell which is meant
        _refuse_second(beside, prefix)
        return Unwrapped(state, container, prefix, tuple(sorted(heads | beside.keys())))
    return Unwrapped(dict(tensors), container)


def _other_prefixes(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Every prefix that a fair share of the keys have, the shortest first."""
    counts: Counter[str] = Counter()
    for key in tensors:
        parts = key.split(".")[:MOST_PARTS]
        counts.update(".".join(parts[:end]) + "." for end in range(1, len(parts)))
    for prefix in sorted(counts, key=lambda prefix: (len(prefix), prefix)):
        if counts[prefix] * LEAST_SHARE >= len(tensors):
            yield prefix


def _refuse_second(beside: Mapping[str, Tensor], first: str) -> None:
    """Raise CheckpointError where what lies beside a backbone is one, too: a teacher's, or a mean
    of its weights.
    """
    for prefix in _other_prefixes(beside):
        state = {
            key.removeprefix(prefix): tensor
            for key, tensor in beside.items()
            if key.startswith(prefix)
        }
        if detect_family(shapes_of(state)):
            raise CheckpointError(
                f"two backbones, under {first} and under {prefix}: nobody can tell which is meant",
                mend="save one of them alone",
            )


def choose_family(unwrapped: Unwrapped, *, cvlface: bool = False) -> Family:
    """The one family of these keys in this wrapping; `cvlface`: they lay in a folder of CVLface.

    Raises CheckpointError if there is none, or several: it then says in what they differ.
    """
    candidates = detect_family(unwrapped.shapes)
    if not candidates:
        raise CheckpointError(_unknown(unwrapped.state))
    if len(candidates) > 1:
        wrapped_so = _wrapped_so(unwrapped, cvlface=cvlface)
        told = [name for name in candidates if name in wrapped_so]
        candidates = told if len(told) == 1 else candidates
    if len(candidates) > 1:
        rows = "; ".join(_row(FAMILIES[name]) for name in candidates)
        raise CheckpointError(
            f"its keys are those of {len(candidates)} families, and a wrong one would answer "
            f"nearly right: {rows}",
            mend="say which it is",
            option="family",
        )
    return FAMILIES[candidates[0]]


def shapes_of(state: Mapping[str, Tensor]) -> Shapes:
    """Of the tensors, by key."""
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def _wrapped_so(unwrapped: Unwrapped, *, cvlface: bool) -> set[str]:
    """The families whose training code alone wraps keys in this way."""
    prefix, head = unwrapped.prefix, set(unwrapped.left_out)
    if cvlface or prefix in ("net.", "model.net."):
        return {name for name in FAMILIES if name.startswith("cvlface")}
    if prefix in ("features.module.", "module.features."):
        return {"magface"}
    if prefix == "model." and head & {"head.kernel", "head.t"}:
        return {"adaface"}
    if prefix == "backbone." and any(key.startswith("header.") for key in head):
        return {"face_embeddings"}
    return {"arcface_torch"} if unwrapped.container == "state_dict_backbone" else set()


def _row(family: Family) -> str:
    wants = family.preprocess
    pixels = f"{wants.color.upper()} (x - {wants.mean[0]:g}) / {wants.std[0]:g}"
    return f"{family.name} ({pixels}, {family.network})"


def _unknown(state: Mapping[str, Tensor]) -> str:
    if {key.rsplit(".", 1)[-1] for key in state} <= {"weight", "kernel", "weight_mom"} and (
        len(state) <= 2
    ):
        return (
            f"a margin head alone ({listed(state)}), one row for each person of the training data: "
            "not a backbone"
        )
    return f"its keys are those of no known backbone: {listed(state)}"
