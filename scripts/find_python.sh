#!/bin/sh
# Print the first Python that StreamCDP runs on; nothing if there is none.
for name in python3.11 python3.12 python3 python; do
    path=$(command -v "$name") || continue
    if "$path" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1; then
        echo "$path"
        exit 0
    fi
done
