#!/bin/sh
# See that the system has what a set-up needs: `system-packages.sh run PYTHON` or `system-packages.sh all PYTHON`.
#
# Each thing is looked for by what it does, not by its package, so that any distribution will do. What is missing is
# installed with apt-get where that is there and we are root; otherwise it is named, and the set-up stops.
set -eu

goal=$1
python=$2

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "AdaSpring needs Python 3.10 or newer as '$python'. Name another: make PYTHON=python3.11 ..." >&2
    exit 1
}

# Prints the Debian packages of whatever is missing.
missing_packages() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    [ "$goal" = all ] || return 0
    command -v gcc >/dev/null || echo gcc
    command -v pkg-config >/dev/null || echo pkg-config
    pkg-config --exists libsystemd 2>/dev/null || echo libsystemd-dev
    # The Debian package and the system test are made in a container, by root alone.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        command -v debootstrap >/dev/null || echo debootstrap
        command -v systemd-nspawn >/dev/null || echo systemd-container
    fi
    # The client in C under docs/examples, which the tests compile and run.
    pkg-config --exists libzmq 2>/dev/null || echo libzmq3-dev
    pkg-config --exists libcjson 2>/dev/null || echo libcjson-dev
    "$python" -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' 2>/dev/null || echo python3-dev
}

missing=$(missing_packages | tr '\n' ' ')
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing system packages: $missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q >/dev/null
    # The list is meant to be split into words.
    # shellcheck disable=SC2086
    apt-get install -q -y --no-install-recommends $missing >/dev/null
    missing=$(missing_packages | tr '\n' ' ')
    [ -n "$missing" ] || exit 0
    echo "Still missing for '$python' after the installation: $missing" >&2
    echo "These packages serve the distribution's own Python; name it (make PYTHON=/usr/bin/python3 ...)." >&2
else
    echo "This set-up needs system packages that are not there: $missing" >&2
    echo "On Debian, Ubuntu or Raspberry Pi OS: sudo apt-get install $missing" >&2
    echo "Elsewhere, install what your distribution calls them; then run make again." >&2
fi
exit 1
