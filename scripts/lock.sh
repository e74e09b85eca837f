#!/usr/bin/env bash
# Work out the exact version of every package, for one Python: scripts/lock.sh PYTHON FILE. Writes no index address.
set -euo pipefail
CUSTOM_COMPILE_COMMAND="make lock" "$1" -m piptools compile --quiet --strip-extras --allow-unsafe --extra dev \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file "$2" pyproject.toml
