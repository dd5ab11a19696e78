#!/bin/sh
# Makes a virtual environment with histoscribe in it, in the versions that are tested. `make` and the Dockerfile use it.
#
#   docker/install.sh VENV WHAT...      WHAT as pip takes it: --editable '.[test]', or a wheel with its extras
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
venv=$1
shift
constraints=$here/constraints.txt
[ -f "$constraints" ] || constraints=$here/../constraints.txt
[ -x "$venv/bin/pip" ] || "${PYTHON:-python3}" -m venv "$venv"
# torch by itself and first: an index of builds for the processor alone (PIP_EXTRA_INDEX_URL) then decides for all
"$venv/bin/pip" install --quiet --disable-pip-version-check --constraint "$constraints" torch
"$venv/bin/pip" install --quiet --disable-pip-version-check --constraint "$constraints" "$@"
