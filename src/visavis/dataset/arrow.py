"""Hugging Face data sets on disk: pictures with their bytes as they are, and labels.

Needs the datasets package. Knows nothing of a hub, and fetches nothing.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from visavis.batch import Progress
from visavis.errors import DatasetError
from visavis.extras import need
from visavis.files import whole_folder

if TYPE_CHECKING:
    from visavis.dataset.images import Images

STATE = "state.json"  # what save_to_disk writes beside the rows
SPLITS = "dataset_dict.json"  # and beside the folders of several splits
LEARNT = "train"  # the split that is meant where none is named
IMAGE, LABEL = "image", "label"


@dataclass(frozen=True, eq=False, slots=True)
class ArrowImages:
    """The rows of one split."""

    source: str
    labels: NDArray[np.intp]  # (N,)
    _rows: Any

    def read(self, row: int) -> bytes:
        """A picture's bytes, as they were stored. Raises DatasetError where there are none."""
        data = self._rows[row][IMAGE]["bytes"]
        if not isinstance(data, bytes):
            raise DatasetError(f"{self.where(row)}: holds no bytes of a picture")
        return data

    def where(self, row: int) -> str:
        """A picture's place, for messages."""
        return f"{self.source}, row {row}"


def is_arrow(folder: Path) -> bool:
    """Whether save_to_disk wrote this folder."""
    return (folder / STATE).is_file() or (folder / SPLITS).is_file()


def read_arrow(folder: Path) -> ArrowImages:
    """Open one split: of several the one to train on.

    Raises DatasetError where it has no columns image and label, and for splits of which none is to
    train on.
    """
    datasets, folder = _datasets(), _split(folder)
    try:
        rows = datasets.load_from_disk(str(folder))
        columns = set(rows.column_names)
        if not {IMAGE, LABEL} <= columns:
            raise DatasetError(
                f"{folder}: expected columns {IMAGE} and {LABEL}, got {', '.join(sorted(columns))}"
            )
        labels = np.array(rows.with_format("numpy")[LABEL][:], np.intp)
        rows = rows.cast_column(IMAGE, datasets.Image(decode=False))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DatasetError(f"{folder}: cannot read the data set: {error}") from error
    return ArrowImages(str(folder), labels, rows)


def _split(folder: Path) -> Path:
    """The folder of the split that is meant."""
    if not (folder / SPLITS).is_file():
        return folder
    splits = sorted(path.parent.name for path in folder.glob(f"*/{STATE}"))
    if LEARNT in splits or len(splits) == 1:
        return folder / (LEARNT if LEARNT in splits else splits[0])
    raise DatasetError(
        f"{folder}: expected a split {LEARNT}, got {', '.join(splits) or 'none'}",
        mend=f"name one of them: {folder / splits[0]}" if splits else "",
    )


def write_arrow(folder: Path, images: "Images", *, progress: Progress = iter) -> int:
    """Write images as a data set, their bytes as they are; how many there are.

    Raises OutputError where the folder is there already or cannot be written.
    """
    datasets = _datasets()
    from datasets.arrow_writer import ArrowWriter

    features = datasets.Features(
        {IMAGE: datasets.Image(decode=False), LABEL: datasets.Value("int64")}
    )

    names = [images.where(row) for row in range(len(images.labels))]
    with whole_folder(folder) as work:
        file = str(work.with_name("rows.arrow"))
        with ArrowWriter(path=file, features=features) as writer:
            for row, _ in enumerate(progress(names)):
                data = {"bytes": images.read(row), "path": None}
                writer.write({IMAGE: data, LABEL: int(images.labels[row])})
            writer.finalize()
        datasets.Dataset.from_file(file).save_to_disk(str(work))
    return len(images.labels)


def _datasets() -> Any:
    need("datasets", extras="train")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import datasets

    datasets.disable_progress_bars()
    return datasets
