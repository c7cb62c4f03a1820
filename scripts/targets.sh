#!/bin/sh
# Installs the optional tools for boards: cross compilers and emulators. As root with apt-get; else says what to install.
set -eu
missing=""
need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need arm-none-eabi-gcc gcc-arm-none-eabi
need qemu-system-arm qemu-system-arm
need riscv64-unknown-elf-gcc gcc-riscv64-unknown-elf
need qemu-system-riscv32 qemu-system-misc
need avr-gcc gcc-avr
if [ -z "$missing" ]; then
    echo "compilers and emulators are there"
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing with apt-get:$missing"
    # shellcheck disable=SC2086 # several packages in one word
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >/dev/null
else
    echo "error: install with your system's packages, as root:$missing (without the compilers: pip install '.[target]')" >&2
    exit 2
fi
