#!/bin/sh
# Installs the locked environment into a virtual environment: install.sh PYTHON_OF_THE_VENV LOCK
# torch comes first and by itself: pip prefers an index's CUDA build over a CPU wheel without a hash in its link, and
# the CUDA build's libraries are not in the lock. TORCH_INDEX names an index of CPU wheels where one is needed.
set -eu
python=$1
lock=$2
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
pip="$python -m pip --disable-pip-version-check"
torch=$(sed -n 's/^\(torch==[0-9.]*\).*/\1/p' "$lock")
$pip download --quiet --no-deps --dest "$wheels" ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} "$torch"
wheel=$(ls "$wheels"/torch-*.whl)
digest=$(sha256sum "$wheel" | cut -d' ' -f1)
if ! grep -q "sha256:$digest" "$lock"; then
    echo "error: $(basename "$wheel") has sha256 $digest, which $lock does not list" >&2
    exit 2
fi
$pip install --quiet --no-deps --no-index "$wheel"
# --no-deps: onnx2tf pins ai-edge-litert 2.1.0 and the GPU accelerator is in 2.3.0; the lock is complete by itself.
$pip install --quiet --no-deps --require-hashes -r "$lock"
if ! "$python" -c 'import torch' 2>/dev/null; then
    echo "error: $(basename "$wheel") does not import: it is the CUDA build, whose libraries the lock leaves out" >&2
    echo "  hint: name PyTorch's index of CPU wheels: make env TORCH_INDEX=https://download.pytorch.org/whl/cpu" >&2
    exit 2
fi
