#!/bin/sh
# Write deploy/debian/requirements.txt anew: every version and hash that the Debian package may contain.
#
# Needs uv. The hashes are those of all files of a version, so that one file serves every architecture.
set -eu
cd "$(dirname "$0")/.."

exec "${UV:-uv}" pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-annotate \
    --extra http --extra metrics --extra update --extra systemd --custom-compile-command scripts/lock-deb.sh \
    --output-file deploy/debian/requirements.txt pyproject.toml
