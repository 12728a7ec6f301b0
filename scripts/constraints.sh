#!/bin/sh
# Print the file in deploy/constraints that pins versions for this machine; that folder's README says why each exists.
set -eu

folder=deploy/constraints
board=$({ tr -d '\0' </proc/device-tree/model; } 2>/dev/null || true)

case "$board" in
    *Jetson*) name=jetpack6 ;;
    *"Raspberry Pi 3"* | *"Raspberry Pi 4"* | *"Compute Module 3"* | *"Compute Module 4"* | *"Zero 2"*) name=raspberry-pi-4 ;;
    *) name=$(uname -m) ;;
esac

if [ -e "$folder/$name.txt" ]; then
    echo "$folder/$name.txt"
else
    echo "No versions are pinned for $name: the newest will be taken." >&2
    echo /dev/null
fi
