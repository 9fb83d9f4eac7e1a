"""Serve without pandas: Serve imports it, where it is installed, to put data frames into JSON.

Gradio and Milvus' client bring pandas along, and the processes that use these import it themselves. In every
other process of a cluster, the controller's, the proxies' and most stages', it took 30 MB and 0.4 s.
"""

from __future__ import annotations

import importlib
import sys


def import_serve() -> None:
    """Import `ray.serve` as if pandas were not installed; afterwards it is again.

    Does nothing where either is there already.
    """
    if "ray.serve" in sys.modules or "pandas" in sys.modules:
        return
    sys.modules["pandas"] = None  # type: ignore[assignment]  # Python's own word for: cannot be imported
    try:
        importlib.import_module("ray.serve")
    finally:
        del sys.modules["pandas"]
