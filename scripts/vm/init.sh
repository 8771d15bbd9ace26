#!/bin/busybox sh
# The first process of the VM, in its initramfs: the host's files by 9p, read-only, a layer in memory above them, and over to guest.sh.
set -e
b=/bin/busybox
$b mkdir -p /proc /sys /dev /host /layer /root
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
for module in /modules/*.ko; do $b insmod "$module"; done
$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 root /host
if [ -e /dev/vda ]; then $b mount -t ext4 /dev/vda /layer; else $b mount -t tmpfs -o size=1g tmpfs /layer; fi
$b mkdir -p /layer/upper /layer/work
$b mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work overlay /root
for at in proc sys dev; do $b mount -o move /$at /root/$at; done
for at in run tmp; do $b mount -t tmpfs tmpfs /root/$at; done
$b cp /job /command /root/run
checkout=$($b head -n 1 /job)
[ ! -e /root/dev/vda ] || exec $b sh "/root$checkout/scripts/vm/boot/start.sh"
exec $b switch_root /root /bin/sh "$checkout/scripts/vm/guest.sh"
