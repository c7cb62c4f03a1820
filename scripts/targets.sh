#!/bin/sh
# Installs the optional tools for boards: cross compiler and emulators. As root with apt-get; else says what to install.
set -eu
packages="gcc-arm-none-eabi qemu-system-arm"
if command -v arm-none-eabi-gcc >/dev/null 2>&1 && command -v qemu-system-arm >/dev/null 2>&1; then
    echo "compiler and emulator are there"
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing $packages with apt-get"
    # shellcheck disable=SC2086 # several packages in one word
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages; } >/dev/null
else
    echo "error: install with your system's packages, as root: $packages (without the compiler: pip install '.[target]')" >&2
    exit 2
fi
