"""Weights into their network. Knows no family, and no file."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from visavis.errors import CheckpointError

MOST_LISTED = 10
COUNT = "num_batches_tracked"  # of a batch norm: older files lack it, and nothing reads it


def load_weights(build: Callable[[], nn.Module], state: Mapping[str, Tensor]) -> nn.Module:
    """The network with these weights in its own types, in evaluation mode.

    Raises CheckpointError naming the keys that are missing, too many, of another shape or kind, or
    not finite: so every weight is the checkpoint's.
    """
    with torch.device("meta"):
        network = build()
    wanted = network.state_dict()
    _check_keys(wanted, state)
    # A copy: tensors that torch has mapped are still in the file.
    weights = {
        key: tensor.detach().to(wanted[key].dtype, copy=True).contiguous()
        for key, tensor in state.items()
    }
    counts = {key for key in wanted if key.endswith(COUNT)} - weights.keys()
    weights |= {key: torch.zeros((), dtype=wanted[key].dtype) for key in counts}
    broken = [key for key, tensor in weights.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise CheckpointError(f"weights that are no numbers, NaN or infinite: {listed(broken)}")
    network.load_state_dict(weights, assign=True)
    return network.eval()


def listed(names: Iterable[object]) -> str:
    """The first MOST_LISTED names, and how many more there are."""
    every = [str(name) for name in names]
    more = f", and {len(every) - MOST_LISTED} more" if len(every) > MOST_LISTED else ""
    return ", ".join(every[:MOST_LISTED]) + more


def _check_keys(wanted: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> None:
    unlike = [
        f"{key} (expected {_kind(wanted[key])}, got {_kind(got[key])})"
        for key in wanted
        if key in got and not _alike(wanted[key], got[key])
    ]
    faults: dict[str, Sequence[str]] = {
        "missing": [key for key in wanted if key not in got and not key.endswith(COUNT)],
        "unexpected": [key for key in got if key not in wanted],
        "of another shape": unlike,
    }
    if any(faults.values()):
        raise CheckpointError(
            "keys that do not fit: "
            + "; ".join(
                f"{len(keys)} {what}: {listed(keys)}" for what, keys in faults.items() if keys
            )
        )


def _alike(wanted: Tensor, got: Tensor) -> bool:
    # A count of batches may have become a float with the rest: nothing reads it.
    whole = not wanted.is_floating_point()
    return wanted.shape == got.shape and (whole or got.is_floating_point())


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {'' if tensor.is_floating_point() else tensor.dtype}".strip()
