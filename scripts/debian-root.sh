#!/bin/sh
# Make a small Debian below .cache/system and print its folder: `debian-root.sh [amd64|arm64]`. It is Debian 12, or what
# $DEBIAN_SUITE names: bookworm or trixie (Debian 13).
#
# The package is built in it without a network, and the system test boots it. Made once (two to three minutes); root only.
# A foreign architecture runs under qemu-user, which binfmt_misc must know (Debian: qemu-user-static).
# Ends with 75 (try again later) where the mirror cannot be reached.
set -eu
cd "$(dirname "$0")/.."

arch=${1:-$(dpkg --print-architecture)}
suite=${DEBIAN_SUITE:-bookworm}
root=$PWD/.cache/system/$suite-$arch
# What systemd and the package need, and what compiles the one dependency that comes as source.
packages=systemd,systemd-sysv,dbus,python3,python3-pip,python3-venv,python3-setuptools,python3-wheel
packages=$packages,python3-dev,gcc,libc6-dev,pkg-config,libsystemd-dev

if [ ! -e "$root" ]; then
    command -v debootstrap >/dev/null || {
        echo "debian-root.sh: debootstrap is missing: apt-get install debootstrap" >&2
        exit 1
    }
    mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME)' | sed -n "s/ $suite\$//p" | head -n 1)
    mkdir -p "$root.part"
    rm -rf "$root.part"
    debootstrap --arch="$arch" --variant=minbase --include="$packages" "$suite" "$root.part" \
        "${mirror:-http://deb.debian.org/debian}" >"$root.log" 2>&1 || {
        echo "debian-root.sh: debootstrap failed ($(tail -n 1 "$root.log")); see $root.log" >&2
        # Of what can go wrong in it, a mirror that is out of reach mends itself.
        grep -q "Failed getting release file\|Couldn't download" "$root.log" && exit 75
        exit 1
    }
    rm -rf "$root.part"/var/cache/apt/archives/*.deb
    # Whole or not at all: an interrupted run leaves no root that looks complete.
    mv "$root.part" "$root"
fi
echo "$root"
