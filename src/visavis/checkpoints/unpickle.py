"""Pickled checkpoints to tensors and nothing else: whatever else they name becomes an inert stub.

A pickle can make us call nothing but what rebuilds a tensor, and import nothing. Knows nothing of
networks.
"""

import pickle
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# What a pickle that is damaged, or made to harm, can make torch and the unpickler raise.
DAMAGE = (
    pickle.UnpicklingError, RuntimeError, ValueError, TypeError, AttributeError, LookupError,
    EOFError, AssertionError, ArithmeticError, MemoryError, ImportError, OSError, SystemError,
)  # fmt: skip
MOST_DEPTH = 64  # of modules within modules


class Stub:
    """Stands for any other object: takes whatever a pickle hands it, and does nothing with it."""

    state: object = None

    def __init__(self, *args: object, **options: object) -> None:
        pass

    def __new__(cls, *args: object, **options: object) -> "Stub":
        return super().__new__(cls)

    def __call__(self, *args: object, **options: object) -> "Stub":
        return self

    def __setstate__(self, state: object) -> None:
        object.__setattr__(self, "state", state)

    def __setattr__(self, name: str, value: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, item: object) -> None:
        """A pickle's APPEND."""

    def extend(self, items: object) -> None:
        """A pickle's APPENDS."""

    def add(self, item: object) -> None:
        """A pickle's ADDITEMS."""


# The one written in Python: the one in C allocates whatever size a pickle names.
class Unpickler(pickle._Unpickler):
    """Builds tensors, dictionaries, lists, numbers and strings; of all else, stubs.

    torch.load derives from it, and gives it the storages by their numbers.
    """

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        make = BUILDERS.get((module_name, global_name))
        # New ones for each name in each file: what a pickle sets on them touches no other.
        return make() if make is not None else type("Stub", (Stub,), {})

    def load(self) -> Any:
        storage = self.persistent_load
        # A whole module, saved with its source: torch would compare that with a file of ours.
        self.persistent_load = lambda pid: pid[1] if pid[0] == "module" else storage(pid)  # type: ignore[method-assign]
        return super().load()


# torch.load wants a `pickle_module` with a function of this name.
def load(file: Any, **options: Any) -> Any:
    """As pickle.load; torch.load calls it for a legacy file's heads."""
    return Unpickler(file, **options).load()


def read_pickled(file: Any, *, mapped: bool) -> object:
    """What a file of torch.save holds, on the CPU, with stubs for what is no tensor or container.

    `file` is a path or a binary file; `mapped`, for a path, leaves the tensors in the file until
    they are used. Raises one of DAMAGE for any other file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of pickle protocols other than torch's own
        try:
            return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
        except pickle.UnpicklingError:
            if not mapped:
                file.seek(0)
            ours: Any = sys.modules[__name__]
            return torch.load(
                file, map_location="cpu", weights_only=False, pickle_module=ours, mmap=mapped
            )


def module_tensors(module: Stub, prefix: str = "", depth: int = 0) -> dict[str, Tensor]:
    """The state dict of a module that was pickled whole: its parameters and buffers by name."""
    state = module.state
    if not isinstance(state, dict) or depth > MOST_DEPTH:
        return {}
    tensors = {
        f"{prefix}{name}": tensor
        for kind in ("_parameters", "_buffers")
        for name, tensor in _items(state.get(kind))
        if isinstance(tensor, Tensor)
    }
    for name, child in _items(state.get("_modules")):
        if isinstance(child, Stub):
            tensors |= module_tensors(child, f"{prefix}{name}.", depth + 1)
    return tensors


def _items(value: object) -> list[tuple[Any, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _tensor() -> Callable[..., object]:
    def rebuild(storage: Any, offset: int, size: Any, stride: Any, *rest: object) -> object:
        # torch refuses what lies outside the storage. The rest are hooks.
        return torch._utils._rebuild_tensor(storage, offset, size, stride)  # type: ignore[no-untyped-call]

    return rebuild


def _parameter() -> Callable[..., object]:
    def rebuild(data: object, *rest: object) -> object:
        return data

    return rebuild


BUILDERS: dict[tuple[str, str], Callable[[], Any]] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("collections", "OrderedDict"): lambda: OrderedDict,
}
