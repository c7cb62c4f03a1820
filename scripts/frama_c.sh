#!/bin/sh
# Installs Frama-C (some 800 MB), for `make eva`. As root with apt-get; else says what to install.
set -eu
if command -v frama-c >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing frama-c-base with apt-get"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends frama-c-base; } >/dev/null
else
    echo "error: install with your system's packages, as root: frama-c-base (or with opam: frama-c)" >&2
    exit 2
fi
