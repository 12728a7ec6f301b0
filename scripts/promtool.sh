#!/bin/sh
# Print the path of promtool, which checks what is written for Prometheus: the system's, or one taken out of the Debian
# package (20 MB) into .cache. The package itself would install a server, so it is not installed.
set -eu
cd "$(dirname "$0")/.."

command -v promtool && exit 0
folder=$PWD/.cache/prometheus
if [ ! -x "$folder/promtool" ]; then
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
        echo "promtool.sh: there is no promtool, and no apt-get to fetch it with" >&2
        exit 1
    }
    mkdir -p "$folder"
    (cd "$folder" && apt-get download -q prometheus >&2)
    dpkg-deb --fsys-tarfile "$folder"/prometheus_*.deb | tar -x -C "$folder" --strip-components=3 ./usr/bin/promtool
    rm "$folder"/prometheus_*.deb
fi
echo "$folder/promtool"
