#!/usr/bin/env bash
# See to it that Java 17, Maven and redis-server are there: install what is missing where that is allowed, or else say how.
# With `for-tests`: Node, npm and Chromium, by which SDKs are tried, and a Java compiler for the probe of ClickHouse's driver. Without
# them those tests skip, so that missing ones are no error.
set -euo pipefail

purpose=${1:-}
give_up() {
    [ "$purpose" != for-tests ] || { echo "Tests that need them will be skipped." >&2; exit 0; }
    exit 1
}

java_version() {
    java -version 2>&1 | sed -n 's/.*version "\(1\.\)\{0,1\}\([0-9]*\).*/\2/p' | head -n 1
}

missing=()
if [ "$purpose" = for-tests ]; then
    command -v node >/dev/null || missing+=(nodejs)
    command -v npm >/dev/null || missing+=(npm)
    command -v javac >/dev/null || missing+=(openjdk-17-jdk-headless)
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
else
    found=$(command -v java >/dev/null && java_version || true)
    [ "${found:-0}" -ge 17 ] || missing+=(openjdk-17-jre-headless)
    command -v mvn >/dev/null || missing+=(maven)
    command -v redis-server >/dev/null || missing+=(redis-server)
    [ -n "$(scripts/find_python.sh)" ] || [ -x "${VENV:-.venv}/bin/python" ] || missing+=(python3 python3-venv)
fi
[ ${#missing[@]} -gt 0 ] || exit 0

install="apt-get install -y --no-install-recommends ${missing[*]}"
if ! command -v apt-get >/dev/null; then
    echo "Missing: ${missing[*]} (the names of Debian's packages). Install them with your system's package manager." >&2
    give_up
fi
if [ "$(id -u)" -eq 0 ]; then
    sudo=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo=(sudo -n)
else
    echo "Missing: ${missing[*]}. Install them, then run make again: sudo $install" >&2
    give_up
fi

echo "Installing ${missing[*]}"
# Debian would start a redis-server of its own at once; ours runs from the data folder.
policy=/usr/sbin/policy-rc.d
guard=no
if [[ " ${missing[*]} " == *" redis-server "* ]] && [ ! -e "$policy" ]; then
    guard=yes
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
    "${sudo[@]}" chmod +x "$policy"
fi
trap '[ "$guard" = no ] || "${sudo[@]}" rm -f "$policy"' EXIT
log=$(mktemp)
if ! { "${sudo[@]}" apt-get update && "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive $install; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    echo "Installing failed. Do it by hand, then run make again: sudo $install" >&2
    give_up
fi
