#!/bin/sh
# Run the daemon as 64-bit Arm code, on a machine that is none: `emulate-aarch64.sh FOLDER [CPU]`.
#
# Builds an arm64 root of Debian with debootstrap below FOLDER, installs the wheels that a Raspberry Pi would get (with
# the pins of deploy/constraints/raspberry-pi-4.txt), starts adaspringd under qemu-user as CPU (default cortex-a72), and
# asks it to classify the sample windows of the HAR bundle from this side of the socket. Needs root (debootstrap),
# qemu-user-static and a Python with AdaSpring installed ($PYTHON, default .venv/bin/python).
#
# The root is not entered with chroot: programs run with qemu's prefix for libraries, so no binfmt_misc is needed.
# What an emulator takes for a frame says nothing about a board.
set -eu

folder=$(mkdir -p "$1" && cd "$1" && pwd)
cpu=${2:-cortex-a72}
suite=bookworm
mirror=${MIRROR:-http://deb.debian.org/debian}
top=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$top/.venv/bin/python}
root=$folder/root
site=$folder/site

for needed in debootstrap qemu-aarch64-static dpkg-deb "$python"; do
    command -v "$needed" >/dev/null || {
        echo "$needed is not there; on Debian: apt-get install debootstrap qemu-user-static" >&2
        exit 1
    }
done

if [ ! -e "$root/.done" ]; then
    echo "== Debian $suite for arm64 in $root"
    debootstrap --foreign --variant=minbase --arch=arm64 --include=python3,libstdc++6 "$suite" "$root" "$mirror" >"$folder/debootstrap.log"
    # The second stage would configure the packages; to run programs it is enough to unpack them.
    for package in "$root"/var/cache/apt/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$root"
    done
    touch "$root/.done"
fi

version=$(basename "$root"/usr/bin/python3.?? | sed 's/python//')
if [ ! -e "$site/.done" ]; then
    echo "== wheels for Python $version on aarch64"
    "$python" -m pip wheel --quiet --no-deps --wheel-dir "$folder/wheel" "$top"
    "$python" -m pip install --quiet --target "$site" --constraint "$top/deploy/constraints/raspberry-pi-4.txt" \
        --only-binary :all: --python-version "$version" --implementation cp --abi "cp$(echo "$version" | tr -d .)" --abi abi3 --abi none \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
        "$folder"/wheel/adaspring-*.whl
    touch "$site/.done"
fi

libraries=$root/lib/aarch64-linux-gnu:$root/usr/lib/aarch64-linux-gnu
# Takes the place of the shell that calls it, so that what is started in the background can be ended by its number.
emulate() {
    exec env QEMU_CPU="$cpu" QEMU_LD_PREFIX="$root" qemu-aarch64-static \
        -E LD_LIBRARY_PATH="$libraries" -E PYTHONHOME="$root/usr" -E PYTHONPATH="$site" -E PYTHONDONTWRITEBYTECODE=1 \
        "$root/usr/bin/python$version" "$@"
}

(emulate -c 'import platform, numpy, onnxruntime, zmq
print("==", platform.machine(), platform.python_version(), "numpy", numpy.__version__,
      "onnxruntime", onnxruntime.__version__, "zmq", zmq.zmq_version())')

run=$(mktemp -d)
trap 'kill "$daemon" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$run"' EXIT
cat >"$run/adaspringd.toml" <<TOML
[paths]
runtime = "$run/run"
state = "$run/state"
[device]
profile = "raspberry-pi-4b"
background_profiling = false
TOML
emulate -m adaspring.cli.adaspringd --config "$run/adaspringd.toml" >"$folder/daemon.log" 2>&1 &
daemon=$!

echo "== adaspringd as $cpu (its log: $folder/daemon.log)"
"$python" "$top/scripts/emulate_aarch64_client.py" "$run/run" || {
    tail -20 "$folder/daemon.log" >&2
    exit 1
}
