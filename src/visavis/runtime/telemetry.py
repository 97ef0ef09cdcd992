"""What libraries would send to their vendors, switched off. Loads none of them."""

import os
import sys


def silence() -> None:
    """Keep openvino, onnxruntime and nncf from reporting; call it before any of them is imported.

    openvino reports while it is imported, nncf through openvino's telemetry, onnxruntime since
    1.29 by itself.
    """
    # A module that is None cannot be imported: openvino and nncf then go on without it.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
