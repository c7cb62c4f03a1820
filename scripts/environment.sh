#!/bin/sh
# Makes the project's virtual environment: environment.sh PYTHON VENV
# Installs missing system packages with apt-get when run as root, and says what to install otherwise.
set -eu
python=$1
venv=$2

need() { # need TEST-COMMAND PACKAGES: install the Debian packages when the test fails
    if sh -c "$1" >/dev/null 2>&1; then
        return
    fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "installing $2 with apt-get"
        # shellcheck disable=SC2086 # several packages in one word
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $2; } >/dev/null
    else
        echo "error: missing system packages; install them and run make again: $2" >&2
        exit 1
    fi
}

need "command -v $python" "python3 python3-venv python3-dev"
need "command -v cc" "gcc libc6-dev"
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "error: Python 3.11 or newer is needed, $python is $("$python" -V); try: make PYTHON=python3.12 ..." >&2
    exit 1
fi
need "$python -c 'import ensurepip'" "python3-venv"
need "printf '#include <Python.h>\n' | cc -fsyntax-only -x c \$($python -c 'import sysconfig; print(\"-I\" + sysconfig.get_path(\"include\"))') -" \
    "python3-dev"

test -x "$venv/bin/python" || "$python" -m venv "$venv"
echo "installing the pinned Python packages into $venv (a few minutes the first time)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
