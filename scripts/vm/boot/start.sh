#!/bin/busybox sh
# In the initramfs of a VM that has disks: Debian's own systemd becomes process 1 of the files below /root. The job's words are a script and
# its argument, which run once the network is there; /notes is theirs. What a first start makes anew, what looks for devices and what else
# is installed on this machine is left out: emulated, that takes minutes.
set -e
b=/bin/busybox
{ read -r checkout && read -r modules && read -r path; } </job
units=/root/etc/systemd/system
$b mkdir -p /root/notes
$b mount -t ext4 /root/dev/vdb /root/notes
# A kernel that panics begins again, for ever.
starts=$(($($b cat /root/notes/starts 2>/dev/null || echo 0) + 1))
echo "$starts" >/root/notes/starts
if [ "$starts" -gt 9 ]; then
  echo 'the VM ends: 1' >/root/dev/console
  echo o >/root/proc/sysrq-trigger
  $b sleep 60
fi
$b rm -f /root/etc/resolv.conf
: >/root/etc/resolv.conf
: >/root/etc/fstab
release=$($b uname -r)
$b mkdir -p "/root/lib/modules/$release"
$b mount -o bind "/root$modules" "/root/lib/modules/$release"
# WireGuard must be this kernel's.
$b rm -rf /root/usr/bin/wireguard-go /root/usr/local/bin/wireguard-go $units/*.wants
for unit in hwdb-update journal-catalog-update update-done sysusers firstboot udevd udev-trigger binfmt random-seed tmpfiles-setup tmpfiles-setup-dev \
  machine-id-commit modules-load timesyncd pstore repart pcrphase pcrphase-sysinit update-utmp remount-fs journal-flush; do
  $b ln -sf /dev/null "$units/systemd-$unit.service"
done
for unit in systemd-udevd-control.socket systemd-udevd-kernel.socket ldconfig.service kmod-static-nodes.service cryptsetup.target integritysetup.target veritysetup.target proc-sys-fs-binfmt_misc.automount \
  sys-fs-fuse-connections.mount dev-hugepages.mount dev-mqueue.mount systemd-ask-password-console.path; do
  $b ln -sf /dev/null "$units/$unit"
done
$b mkdir -p /root/etc/systemd/system-generators
for generator in /root/lib/systemd/system-generators/*; do
  $b ln -sf /dev/null "/root/etc/systemd/system-generators/${generator##*/}"
done
$b cat >$units/vm.target <<'END'
[Unit]
Requires=basic.target
Wants=vm-network.service vm-job.service
END
# As whoever sets up the network of a host does.
$b cat >$units/vm-network.service <<END
[Unit]
DefaultDependencies=no
After=network-pre.target
Before=network.target network-online.target
Wants=network.target
[Service]
Type=forking
ExecStart=/bin/sh $checkout/scripts/vm/boot/network.sh
END
$b cat >$units/vm-job.service <<END
[Unit]
After=basic.target vm-network.service network-online.target sallyport-online.service
[Service]
Type=exec
WorkingDirectory=$checkout
Environment=PATH=$checkout/.toolchain/node_modules/.bin:$path HOME=/tmp NO_COLOR=1 LC_ALL=C.UTF-8
ExecStart=/usr/bin/xargs -0 -a /run/command sh -c '"\$\$@"' sh
StandardInput=null
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
# It ends the VM itself, unless it could not.
ExecStopPost=/bin/sh -c 'echo "the VM ends: 1"; echo o >/proc/sysrq-trigger'
END
exec $b switch_root /root /lib/systemd/systemd --unit=vm.target --log-color=false --show-status=false --log-level=warning --log-target=console
