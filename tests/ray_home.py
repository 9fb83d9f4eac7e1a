"""The environment of the Ray that tests start in this process.

Ray reads it when it is imported, and its workers inherit it. Any test file may import Ray while pytest
collects, so `tests/conftest.py` imports this before all of them.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from serve_apps.ray_environment import ray_environment

RAY_HOME = Path(tempfile.mkdtemp(prefix="raydio-serve-tests-"))
os.environ.update(ray_environment(RAY_HOME))
os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
