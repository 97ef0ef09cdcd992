"""Files that are whole or not there at all."""

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from visavis.errors import OutputError


def write_whole(path: Path, *parts: bytes) -> None:
    """Write a file, or leave what was there: never half of one, whoever reads or writes it now.

    Raises OutputError where it cannot be written.
    """
    staging: Path | None = None
    try:
        with NamedTemporaryFile(dir=path.absolute().parent, delete=False) as file:
            staging = Path(file.name)
            file.writelines(parts)
        staging.chmod(0o644)  # a temporary file is its owner's alone
        os.replace(staging, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror or error}") from error
    finally:
        if staging is not None:
            staging.unlink(missing_ok=True)  # there still where writing failed or was interrupted
