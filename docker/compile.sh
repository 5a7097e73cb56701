#!/bin/sh
# Compiles a virtual environment's modules: compile.sh PYTHON FOLDER
# The compiled files carry a hash of their source that is never looked at again, where pip's carry the source's time.
# One process, sorted names, a fixed hash seed: the same bytes each time. Files that are not Python 3 (templates that
# some packages ship) do not compile and are left out, as pip leaves them out; anything they break shows on import.
set -eu
# What pip's own runs left behind carries times and would be taken for up to date; nor may this run add such a file.
find "$2" -name __pycache__ -prune -exec rm -rf {} +
PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 "$1" -W ignore -m compileall -qq -f -j 1 --invalidation-mode unchecked-hash "$2" || test $? -eq 1
