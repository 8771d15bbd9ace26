/** A repository of Debian packages without a network: made anew from what is installed, with the packages' own scripts. */
import type { Runner } from '../../lab/index.ts';

/**
 * FOLDER PACKAGE…: FOLDER becomes a repository of the packages as they are installed here, apt knows of no other one, and of this one nothing
 * yet, as on a new server; then the packages are
 * taken away, their settings stay.
 */
const MAKE = `
folder=$1; shift
mkdir -p "$folder"
for p; do
  t=$(mktemp -d)
  mkdir "$t/DEBIAN"
  dpkg -L "$p" | while read -r f; do [ -d "$f" ] || [ ! -e "$f" ] || echo "\${f#/}"; done >"$t/list"
  tar -C / -cf - -T "$t/list" | tar -C "$t" -xf -
  rm "$t/list"
  dpkg -s "$p" | awk '/^Conffiles:/ { skip = 1; next } /^[^ ]/ { skip = 0 } !skip && !/^Status:/' >"$t/DEBIAN/control"
  for i in preinst postinst prerm postrm conffiles triggers; do
    f=/var/lib/dpkg/info/$p.$i
    [ ! -e "$f" ] || cp -p "$f" "$t/DEBIAN/$i"
  done
  chmod 755 "$t" "$t/DEBIAN"
  dpkg-deb -Znone --root-owner-group --build "$t" "$folder/$p.deb" >/dev/null
  { cat "$t/DEBIAN/control"; echo "Filename: ./$p.deb"; echo "Size: $(stat -c %s "$folder/$p.deb")"; echo "SHA256: $(sha256sum <"$folder/$p.deb" | cut -d' ' -f1)"; echo; } >>"$folder/Packages"
  rm -rf "$t"
done
rm -rf /etc/apt/sources.list.d /var/lib/apt/lists /var/cache/apt/archives
echo "deb [trusted=yes] file:$folder ./" >/etc/apt/sources.list
dpkg --remove --force-depends "$@"`;

/** The machine has the packages no more, and apt can install them. */
export const takeAway = (machine: Runner, folder: string, packages: readonly string[]) =>
  machine.run(['sh', '-ec', MAKE, 'sh', folder, ...packages], { timeoutMs: 60_000 });
