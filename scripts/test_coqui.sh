#!/bin/sh
# Proves the coqui engine on tiny random models, in a virtual environment of its own: .venv-coqui.
# Used by `make test-coqui`. Arguments are passed to pytest.
set -eu
cd "$(dirname "$0")/.."
venv=.venv-coqui

if [ ! -e "$venv/complete" ]; then
    ${PYTHON:-python3} -m venv "$venv"
    "$venv/bin/pip" install --quiet torch==2.13.0
    # coqui-tts imports torchaudio, and PyPI's is linked to CUDA: without its binary part the rest is plain Python
    # and does what coqui-tts needs. torchcodec 0.13.0 is the newest release on PyPI that is built for the CPU.
    "$venv/bin/pip" install --quiet --no-deps torchaudio==2.11.0 torchcodec==0.13.0
    rm -f "$venv"/lib/python3*/site-packages/torchaudio/lib/*.so
    "$venv/bin/pip" install --quiet 'coqui-tts>=0.28,<0.29' six -e '.[test]'
    touch "$venv/complete"
fi
exec "$venv/bin/python" -m pytest tests/test_coqui.py "$@"
