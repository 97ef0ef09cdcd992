"""Run notebooks from top to bottom, and keep what each cell shows: text, and small pictures.

python notebooks/run.py notebooks/verify.ipynb notebooks/people.ipynb notebooks/train.ipynb
"""

import ast
import base64
import io
import json
import sys
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

from PIL import Image

MOST = 480  # pixels a kept picture is wide or high


def run(path: Path) -> dict[str, Any]:
    """The notebook, with the outputs of this run."""
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    with chdir(path.parent):
        for number, cell in enumerate(code, start=1):
            title = f"{path.name}, code cell {number}"
            cell["outputs"] = shown("".join(cell["source"]), title, names, number)
            cell["execution_count"] = number
    return notebook


def shown(code: str, title: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """What a cell prints, and the value of its last expression, as a notebook keeps them."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(tree, title, "exec"), names)
        value = eval(compile(ast.Expression(last.value), title, "eval"), names) if last else None
    lines = printed.getvalue().splitlines(keepends=True)
    outputs = [{"name": "stdout", "output_type": "stream", "text": lines}] if lines else []
    if value is None:
        return outputs
    result = {"execution_count": number, "metadata": {}, "output_type": "execute_result"}
    return [*outputs, {**result, "data": of_value(value)}]


def of_value(value: Any) -> dict[str, Any]:
    """A picture as a small JPEG, anything else as its text."""
    if not isinstance(value, Image.Image):
        return {"text/plain": [repr(value)]}
    small = value.copy()
    small.thumbnail((MOST, MOST))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=85)
    words = f"<a picture of {value.width} x {value.height} pixels>"
    picture = base64.b64encode(file.getvalue()).decode()
    return {"image/jpeg": picture, "text/plain": [words]}


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        made = json.dumps(run(file), indent=1, ensure_ascii=False)
        file.write_text(f"{made}\n", encoding="utf-8")
