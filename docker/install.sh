#!/bin/sh
# Installs the locked environment into a virtual environment: install.sh PYTHON_OF_THE_VENV LOCK [PIP INSTALL OPTIONS]
# torch comes first and by itself: pip prefers an index's CUDA build over a CPU wheel without a hash in its link, and
# the CUDA build's libraries are not in the lock. TORCH_INDEX names an index of CPU wheels where one is needed.
# A lock without torch (the bench image's) is installed as it is.
set -eu
python=$1
lock=$2
shift 2
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
pip="$python -m pip --disable-pip-version-check"
torch=$(sed -n 's/^\(torch==[0-9.]*\).*/\1/p' "$lock")
if [ -n "$torch" ]; then
    $pip download --quiet --no-deps --dest "$wheels" ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} "$torch"
    wheel=$(ls "$wheels"/torch-*.whl)
    digest=$(sha256sum "$wheel" | cut -d' ' -f1)
    if ! grep -q "sha256:$digest" "$lock"; then
        echo "error: $(basename "$wheel") has sha256 $digest, which $lock does not list" >&2
        exit 2
    fi
    # By name, not by path: pip writes a path into the installation, and this one is a new one each time.
    $pip install --quiet --no-deps --no-index --find-links "$wheels" "$@" "$torch"
fi
# --no-deps: onnx2tf pins ai-edge-litert 2.1.0 and the GPU accelerator is in 2.3.0; the lock is complete by itself.
$pip install --quiet --no-deps --require-hashes "$@" -r "$lock"
if [ -n "$torch" ] && ! "$python" -c 'import torch' 2>/dev/null; then
    echo "error: $(basename "$wheel") does not import: it is the CUDA build, whose libraries the lock leaves out" >&2
    echo "  hint: name PyTorch's index of CPU wheels: make env TORCH_INDEX=https://download.pytorch.org/whl/cpu" >&2
    exit 2
fi
