#!/bin/sh
# What a container starts: JupyterLab for `lab`, and the command line for everything else.
#
#   docker/start.sh lab [OPTIONS]       on port 8888; asks for the token that it prints, unless JUPYTER_TOKEN sets one
#   docker/start.sh check path/to/outs  as `histoscribe check path/to/outs`
set -eu
bin=${HISTOSCRIBE_VENV:-/opt/venv}/bin
if [ "${1:-}" = lab ]; then
    shift
    exec "$bin/jupyter-lab" --no-browser --ip "${HISTOSCRIBE_LAB_IP:-127.0.0.1}" "$@"
fi
exec "$bin/histoscribe" "$@"
