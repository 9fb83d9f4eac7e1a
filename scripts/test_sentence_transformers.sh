#!/bin/sh
# Test the sentence-transformers engine in a virtual environment of its own: torch is too large for the default one.
set -eu
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-python3}"
VENV="${RAYDIO_VENV_ST:-.venv-st}"
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
# On Linux the newest torch on the index may need CUDA libraries of several GB; this release has a processor-only wheel.
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "torch==2.13.0" -e ".[sentence-transformers,test]"
exec "$VENV/bin/python" -m pytest tests/test_sentence_transformers.py -rs "$@"
