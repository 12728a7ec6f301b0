#!/bin/sh
# See that the unit's memory limits hold, under a kernel of its own: `memory-guest.sh PYTHON`. PYTHON is as for build-deb.sh.
#
# Containers in which the tests run often enforce no memory limits. This boots Debian's cloud kernel with qemu (by software
# emulation, which needs nothing of the machine), with Debian 12 and the package in memory, lets something grow inside the unit
# until the kernel ends it, and prints what happened as one JSON object. Ends with 1 unless the limit held and the daemon served
# again.
# Occasional, root only. Needs qemu-system-x86, cpio, and what build-deb.sh needs.
set -eu
cd "$(dirname "$0")/.."

python=$1
for needed in qemu-system-x86_64 cpio debootstrap unshare; do
    command -v "$needed" >/dev/null || {
        echo "memory-guest.sh: $needed is missing: apt-get install qemu-system-x86 cpio debootstrap" >&2
        exit 1
    }
done
root=$(sh scripts/debian-root.sh amd64)
package=$(sh scripts/build-deb.sh "$python" amd64)
work=$PWD/.cache/system/guest
mkdir -p "$work/layer"

if [ ! -e "$work/vmlinuz" ]; then
    kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: //p')
    (cd "$work" && apt-get download -q "$kernel" >&2)
    dpkg-deb --fsys-tarfile "$work/$kernel"_*.deb | tar -x -C "$work" --wildcards --strip-components=2 './boot/vmlinuz-*'
    mv "$work"/vmlinuz-* "$work/vmlinuz"
    rm "$work/$kernel"_*.deb
fi

cat >"$work/watch.sh" <<'WATCH'
#!/bin/sh
# Runs in the guest once all is started; a line "told NAME VALUE" goes to the host.
group=/sys/fs/cgroup/system.slice/adaspringd.service
tell() { echo "told $1 $2"; }
event() { sed -n "s/^$1 //p" "$group/memory.events"; }
main() { systemctl show --property=MainPID --value adaspringd; }
ask() { /opt/adaspring/bin/python /root/ask.py && echo 1 || echo 0; }

tell memory_max "$(cat $group/memory.max)"
tell memory_high "$(cat $group/memory.high)"
tell served_before "$(ask)"
tell memory_peak "$(cat $group/memory.peak)"
before=$(main)
# Above MemoryHigh growth is slowed down, and what grows this fast would take minutes to get to MemoryMax.
systemctl set-property --runtime adaspringd MemoryHigh=infinity
sh -c "echo \$\$ >$group/cgroup.procs; exec /opt/adaspring/bin/python -c 'bytearray(1 << 30)'"
tell grown_ended_with $?
tell oom_kills "$(journalctl --dmesg --grep='Memory cgroup out of memory: Killed' --quiet --output=cat | wc -l)"
until [ "$(systemctl is-active adaspringd)" = active ] && [ "$(main)" != "$before" ]; do sleep 0.2; done
tell restarts "$(systemctl show --property=NRestarts --value adaspringd)"
tell result "$(journalctl --unit=adaspringd --grep="Failed with result" --quiet --output=cat | sed "s/.*result '\(.*\)'.*/\1/" | tail -n 1)"
tell served_after "$(ask)"
systemctl poweroff --force
WATCH
cat >"$work/ask.py" <<'ASK'
import numpy as np
from adaspring.client import Client

with Client("ipc:///run/adaspring/infer.sock", timeout_s=60, retries=30) as client:
    shape = client.meta().inputs[0].shape[1:]
    assert len(client.infer(np.zeros((1, *shape), np.float32)).outputs) == 1
ASK
cat >"$work/watch.service" <<'WATCH'
[Unit]
After=adaspringd.service
[Service]
Type=oneshot
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
ExecStart=/bin/sh /root/watch.sh
WATCH

# Root with the package, and without what only building needs, as what the kernel unpacks into memory.
# shellcheck disable=SC2016
unshare --mount --pid --net --ipc --uts --fork --kill-child sh -eu -c '
    root=$1 package=$2 work=$3
    mount -t tmpfs tmpfs "$work/layer"
    mkdir "$work/layer/upper" "$work/layer/work" "$work/layer/root"
    mount -t overlay overlay -o "lowerdir=$root,upperdir=$work/layer/upper,workdir=$work/layer/work" "$work/layer/root"
    cd "$work/layer/root"
    cp "$package" adaspring.deb
    chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin dpkg --install adaspring.deb
    rm adaspring.deb
    cp "$work/watch.sh" "$work/ask.py" root/
    cp "$work/watch.service" etc/systemd/system/
    for unit in adaspringd watch; do
        ln -sf "$(ls -d lib/systemd/system/$unit.service etc/systemd/system/$unit.service 2>/dev/null | sed s,^,/, | head -n 1)" \
            "etc/systemd/system/multi-user.target.wants/$unit.service"
    done
    ln -sf lib/systemd/systemd init
    find . -xdev \( -path ./usr/lib/gcc -o -path ./usr/include -o -path ./usr/share/doc -o -path ./usr/share/man \
        -o -path ./usr/share/locale -o -path ./var/lib/apt -o -path ./var/cache -o -name "*.a" \) -prune -o -print |
        cpio --quiet --create --format=newc >"$work/initrd"
' sh "$root" "$PWD/$package" "$work" >"$work/prepare.log" 2>&1 || {
    tail -n 20 "$work/prepare.log" >&2
    exit 1
}

timeout "${GUEST_SECONDS:-600}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 2G -nic none -no-reboot \
    -display none -serial stdio -kernel "$work/vmlinuz" -initrd "$work/initrd" \
    -append "console=ttyS0 panic=-1 quiet systemd.show_status=false rdinit=/init" \
    </dev/null >"$work/console.log" 2>"$work/qemu.log" || true

"$python" - "$work/console.log" <<'JUDGE'
import json
import re
import sys

text = open(sys.argv[1], encoding="utf-8", errors="replace").read()
told = {name: int(value) if value.isdigit() else value for name, value in re.findall(r"told (\w+) (\S*)", text)}
print(json.dumps(told))
held = told.get("oom_kills", 0) >= 1 and told.get("served_before") == told.get("served_after") == 1
if not held:
    print(f"the limit did not hold, or the daemon did not come back; see {sys.argv[1]}", file=sys.stderr)
sys.exit(not held)
JUDGE
