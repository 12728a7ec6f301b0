#!/bin/sh
# Build dist/adaspring_VERSION_ARCH.deb: `build-deb.sh PYTHON [amd64|arm64]`. PYTHON has `build` and `setuptools`.
#
# Wheels come with hashes from deploy/debian/requirements.txt; the package is put together in a Debian without a
# network, for that release of it: Debian 12, or what $DEBIAN_SUITE names (bookworm, trixie).
# Root only (debootstrap, unshare). Ends with 75 (try again later) where something cannot be fetched.
set -eu
cd "$(dirname "$0")/.."

python=$1
arch=${2:-$(dpkg --print-architecture)}
case "$arch" in
    amd64) machine=x86_64 ;;
    arm64) machine=aarch64 ;;
    *)
        echo "build-deb.sh: no package is built for $arch; known are amd64 and arm64" >&2
        exit 1
        ;;
esac
case "${DEBIAN_SUITE:=bookworm}" in
    bookworm) release=3.11 minors= suffix= ;;
    trixie) release=3.13 minors="41 40 39 38 37" suffix=+deb13 ;;
    *)
        echo "build-deb.sh: no package is built for $DEBIAN_SUITE; known are bookworm and trixie" >&2
        exit 1
        ;;
esac
[ "$(id -u)" = 0 ] || {
    echo "build-deb.sh: making a Debian root needs root: sudo make deb" >&2
    exit 1
}

root=$(sh scripts/debian-root.sh "$arch")
work=.cache/system/deb-$DEBIAN_SUITE-$arch
wheels=$work/wheels
mkdir -p "$wheels" "$work/layer" dist
rm -rf "$work/in"
mkdir -p "$work/in"

# Every platform tag that the release's glibc runs; that of Debian 12 is 2.36.
platforms=
for minor in $minors 36 35 34 31 28 27 26 24 17; do
    platforms="$platforms --platform manylinux_2_${minor}_$machine"
done
# The list is meant to be split into words.
# shellcheck disable=SC2086
"$python" -m pip --disable-pip-version-check download --quiet --no-deps --no-build-isolation --require-hashes \
    --python-version $release --implementation cp --abi "cp$(echo $release | tr -d .)" --abi abi3 --abi none \
    $platforms --platform "manylinux2014_$machine" --platform "linux_$machine" \
    --requirement deploy/debian/requirements.txt --dest "$wheels" || {
    echo "build-deb.sh: what deploy/debian/requirements.txt names cannot be fetched; is there a network?" >&2
    exit 75
}

# From a copy, so that neither stale build folders nor local files reach the wheel.
mkdir "$work/in/source"
tar -c --exclude=__pycache__ --exclude='*.egg-info' \
    pyproject.toml setup.py MANIFEST.in README.md LICENSE CHANGELOG.md daemon models device_profiles deploy |
    tar -x -C "$work/in/source"
"$python" -m build --no-isolation --wheel --outdir "$work/in" "$work/in/source" >"$work/build.log" 2>&1 || {
    tail -n 20 "$work/build.log" >&2
    exit 1
}
PYTHONPATH=$work/in/source/daemon "$python" scripts/manual.py --output "$work/in/manual"
epoch=$(git log -1 --format=%ct 2>/dev/null || date +%s)
SOURCE_DATE_EPOCH=$epoch PYTHONPATH=$work/in/source/daemon "$python" scripts/sbom.py --output "$work/in/bill"
version=$("$python" -c 'import pathlib, sys; print(next(pathlib.Path(sys.argv[1]).glob("*.whl")).name.split("-")[1])' "$work/in")
version=$version$suffix
cp deploy/debian/requirements.txt deploy/debian/assemble.sh "$work/in"

# In namespaces of its own, over a layer that is gone afterwards. No container manager: it would leave control groups behind,
# and stumble over those that another has left.
# shellcheck disable=SC2016
unshare --mount --pid --net --ipc --uts --fork --kill-child \
    sh -eu -c '
        root=$1 in=$2 wheels=$3 out=$4 layer=$5
        shift 5
        mount -t tmpfs tmpfs "$layer"
        mkdir "$layer/upper" "$layer/work" "$layer/root"
        mount -t overlay overlay -o "lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" "$layer/root"
        cd "$layer/root"
        mkdir -p build/in build/wheels build/out
        mount --bind -o ro "$in" build/in
        mount --bind -o ro "$wheels" build/wheels
        mount --bind "$out" build/out
        mount --rbind /dev dev
        mount -t proc proc proc
        exec chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@" \
            /bin/sh /build/in/assemble.sh
    ' sh "$root" "$PWD/$work/in" "$PWD/$wheels" "$PWD/dist" "$PWD/$work/layer" \
    VERSION="$version" ARCH="$arch" PYTHON="python$release" \
    SOURCE_DATE_EPOCH="$epoch" \
    </dev/null >"$work/assemble.log" 2>&1 || {
    tail -n 30 "$work/assemble.log" >&2
    exit 1
}
echo "dist/adaspring_${version}_$arch.deb"
