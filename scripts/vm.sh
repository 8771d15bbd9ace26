#!/bin/sh
# vm.sh COMMAND...: runs it as root on a stock Debian kernel, in a virtual machine that has this machine's root read-only below a layer
# of its own in memory. Output and exit status are the command's. The kernel is unpacked below node_modules/.cache/, not installed.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin   # an ordinary user's PATH on Debian lacks them

# The kernel, locked: Debian 12's own (not the cloud flavour, which lacks 9p), the sums from the archive's signed Packages file. The
# archive drops old ones: of these the first that is still to be had serves, and no other.
locked='6.1.0-50-amd64 6.1.176-1 7b5597492a0a65aee61985a492e6bcc3f2cde830072a0e3b3d8c7e1b90279bd3
6.1.0-47-amd64 6.1.170-3 e0061f95dbe31f5646e5a29ba9a62293f6b625a70e81fc2b04344d8ab7589c34'
pool=http://deb.debian.org/debian/pool/main/l/linux-signed-amd64   # for who has another release's lists

# In the order in which they can be loaded: a bus to the host's files, the files, the layer above them.
boot_modules='virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci 9pnet 9pnet_virtio netfs fscache 9p overlay'
# VM_DISK=1: that layer is a disk, which a loss of power leaves as it is, and Debian's systemd is the first process: scripts/vm/boot.
[ -z "${VM_DISK:-}" ] || boot_modules="$boot_modules virtio_blk crc16 mbcache jbd2 crc32c_generic ext4"
limit=${VM_TIMEOUT:-60m}   # the whole run: what hangs must end

refuse() { echo "$1" >&2; exit 2; }
[ $# -gt 0 ] || refuse 'vm.sh COMMAND...'
[ "$(uname -m)" = x86_64 ] || refuse "The kernel in the VM is an amd64 one and shares this machine's programs; this is $(uname -m)."
case $PWD/ in
  /run/* | /tmp/*) refuse "The VM has a /run and a /tmp of its own: $PWD is not seen in it. Use a checkout elsewhere." ;;
esac

# What is missing is installed as root or by sudo, and said, as packages.sh does for the tests.
missing=''
while read -r command package why; do
  if command -v "$command" >/dev/null; then continue; fi
  case " $missing " in *" $package "*) continue ;; esac
  missing="$missing $package"
  echo "installing $package ($why)" >&2
done <<'END'
qemu-system-x86_64 qemu-system-x86 the virtual machine
busybox busybox-static the first program in it
cpio cpio packs what it starts from
depmod kmod finds and loads the kernel's modules
END
if [ -n "$missing" ]; then
  if [ "$(id -u)" = 0 ]; then sudo=''; else sudo='sudo'; fi
  command -v ${sudo:-apt-get} apt-get >/dev/null || refuse "Install$missing first, or become root."
  # shellcheck disable=SC2086 # words, each a package
  install() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing 2>&1; }
  # Lists that are missing or too old show as a failed install: only then are they fetched.
  said=$(install) || { $sudo apt-get -qq update >&2 && said=$(install); } || { echo "$said" >&2; exit 1; }
fi

# Unpacked once; the sum file is written last, so that one cut short is done again.
unpacked() { [ "$(cat "$cache/sha256" 2>/dev/null)" = "$sha256" ]; }
from_apt() { (cd "$cache" && apt-get -qq download "$package=$version"); }
from_pool() { curl -fsS --max-time 600 -o "$cache/${package}_${version}_amd64.deb" "$pool/${package}_${version}_amd64.deb"; }
fetch() {
  echo "fetching $package $version (the stock kernel of the VM, 70 MB) into $cache/" >&2
  rm -rf "$cache"
  mkdir -p "$cache"
  said=$("$1" 2>&1) || { echo "$said" >&2; return 1; }
  deb=$(echo "$cache/$package"_*.deb)
  [ "$(sha256sum <"$deb")" = "$sha256  -" ] || refuse "$deb is not the $package $version locked in scripts/vm.sh: another sha256."
  dpkg-deb -x "$deb" "$cache"
  depmod -b "$cache" "$release"
  rm "$deb"
  echo "$sha256" >"$cache/sha256"
}
refresh() { [ "$(id -u)" != 0 ] || apt-get -qq update >/dev/null 2>&1 || true; false; }
choose() {
  while read -r release version sha256; do
    cache=node_modules/.cache/kernel-$version
    package=linux-image-$release
    if "$@"; then return; fi
  done <<END
$locked
END
  return 1
}
choose unpacked || choose fetch from_apt || refresh || choose fetch from_apt || choose fetch from_pool || refuse "\
None of the kernels locked in scripts/vm.sh is to be had any more: lock newer ones (apt-cache show linux-image-amd64 names the package)."
modules=$cache/lib/modules/$release

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir "$work/root" "$work/root/bin" "$work/root/modules"
cp "$(command -v busybox)" "$work/root/bin/busybox"
cp scripts/vm/init.sh "$work/root/init"
chmod 755 "$work/root/init"
number=10
for module in $boot_modules; do
  cp "$(find "$modules" -name "$module.ko")" "$work/root/modules/$number-$module.ko"
  number=$((number + 1))
done
# What the guest's script is told: the checkout, the modules and the path, a line each; and the command, its words ended by NUL.
printf '%s\n' "$PWD" "$PWD/$modules" "$PATH" >"$work/root/job"
printf '%s\0' "$@" >"$work/root/command"
# A disk for the host, one for what the command must know of the boot before; and a power that comes back.
set_disks='' reboot=-no-reboot
if [ -n "${VM_DISK:-}" ]; then
  for disk in host notes; do
    truncate -s 1G "$work/$disk"
    mkfs.ext4 -q "$work/$disk"
    set_disks="$set_disks -drive file=$work/$disk,if=virtio,format=raw,cache=unsafe"
  done
  reboot=''
fi
(cd "$work/root" && find . | cpio --quiet -o -H newc) >"$work/initramfs"

# Without KVM, which may be there, answer, and still hang a stock kernel where this machine is itself a guest.
# What makes emulation quick, measured with sixty starts of a process each: programs always at one address, so that code once translated
# serves again (norandmaps, nokaslr: 58 ms to 25), no detours against attacks (mitigations=off: to 19), and a processor that has none of
# the wide instructions which libraries choose and emulation makes slow (Nehalem for max: to 9 with what guest.sh keeps in memory).
# no_timer_check: on a busy machine the VM's timer ticks too late for the kernel's test of it, which panics.
# The serial line is the only way out: all output, and last the status. It ends its lines in \r\n.
: >"$work/serial"   # there before tail looks for it
set +e
# shellcheck disable=SC2086 # words
timeout --foreground "$limit" qemu-system-x86_64 -accel tcg,thread=multi -cpu Nehalem -smp 2 -m "${VM_MEMORY:-3G}" -nodefaults $reboot $set_disks \
  -display none -serial stdio -nic none \
  -kernel "$cache/boot/vmlinuz-$release" -initrd "$work/initramfs" -append "console=ttyS0 quiet panic=-1 no_timer_check norandmaps nokaslr mitigations=off ${VM_APPEND:-}" \
  -fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=root,mount_tag=root \
  </dev/null >"$work/serial" 2>&1 &
qemu=$!
trap 'kill $qemu 2>/dev/null; rm -rf "$work"' EXIT
tail --pid=$qemu -s 0.3 -n +1 -f "$work/serial" | sed -u -e 's/\r$//' -e '/^the VM ends: /,$d'
wait $qemu
ended=$?
status=$(sed -n 's/^the VM ends: \([0-9]*\)\r*$/\1/p' "$work/serial")
[ "$ended" != 124 ] || refuse "The VM was not done within $limit (VM_TIMEOUT)."
[ -n "$status" ] || refuse "The VM ended without a result (qemu: $ended); what it said is above."
exit "$status"
