#!/bin/sh
# Puts what `toolkit inspect FILE --delegate xnnpack --execute` needs into a folder: arm_root.sh PYTHON DIRECTORY
# A Python for 64-bit ARM from Debian's archive, LiteRT and numpy for it at the lock's versions and hashes, and qemu's
# user emulation where the system has none. Needs Debian's apt-get and dpkg, no root, and installs nothing.
set -eu
python=$1
root=$2
here=$(cd "$(dirname "$0")" && pwd)
if [ -e "$root" ]; then
    echo "error: $root is there already" >&2
    echo "  hint: remove it, or name another folder" >&2
    exit 2
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
    echo "error: $python is no Python 3.11, which the wheels are for" >&2
    exit 2
fi
mkdir -p "$(dirname "$root")"
root=$(cd "$(dirname "$root")" && pwd)/$(basename "$root")
python=$(command -v "$python")
case $python in /*) ;; *) python=$PWD/$python ;; esac
work=$(mktemp -d "$(dirname "$root")/.arm-root.XXXXXX")  # beside it, so that it appears whole or not at all
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/apt/state/lists/partial" "$work/apt/cache/archives/partial" "$work/debs" "$work/root/bin" "$work/root/opt/litert"
cat > "$work/apt/apt.conf" <<CONF
Dir::State "$work/apt/state";
Dir::Cache "$work/apt/cache";
Dir::State::status "$work/apt/status";
APT::Architecture "arm64";
APT::Architectures {"arm64";};
APT::Sandbox::User "$(id -un)";
CONF
: > "$work/apt/status"
cd "$work/debs"
APT_CONFIG="$work/apt/apt.conf" apt-get -qq update
APT_CONFIG="$work/apt/apt.conf" apt-get -qq download python3.11-minimal libpython3.11-minimal libpython3.11-stdlib \
    libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libffi8 libbz2-1.0 liblzma5
for package in *.deb; do dpkg -x "$package" "$work/root"; done
rm -- *.deb
if ! command -v qemu-aarch64-static > /dev/null && ! command -v qemu-aarch64 > /dev/null; then
    apt-get -qq download qemu-user-static
    dpkg -x qemu-user-static*.deb "$work/qemu"
    mv "$work/qemu/usr/bin/qemu-aarch64-static" "$work/root/bin/"
fi
printf 'ai-edge-litert\nnumpy\n' > "$work/names"
"$python" "$here/lock_subset.py" "$here/../requirements.lock" "$work/names" "$work/pins"
"$python" -m pip --disable-pip-version-check download --quiet --no-deps --require-hashes --only-binary=:all: \
    --python-version 3.11 --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
    --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 --dest "$work/wheels" -r "$work/pins"
for wheel in "$work"/wheels/*.whl; do "$python" -m zipfile -e "$wheel" "$work/root/opt/litert"; done
# Compiled here, where it takes a moment: under emulation it takes longer than everything else.
"$python" -m compileall -q "$work/root/opt/litert/numpy" "$work/root/opt/litert/ai_edge_litert" "$work/root/usr/lib/python3.11"
mv "$work/root" "$root"
echo "$root"
