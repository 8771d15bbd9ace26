#!/bin/sh
# install.sh install|uninstall DESTDIR PREFIX: the program under PREFIX/lib/sallyport, its command as a link in PREFIX/bin.
# What was put there is listed in PREFIX/lib/sallyport/installed; uninstall takes away that list and nothing else.
set -eu
cd "$(dirname "$0")/.."
verb=$1
case $3 in /*) root=$2$3 ;; *) echo "PREFIX must begin with /, not \"$3\"." >&2; exit 2 ;; esac
list=$root/lib/sallyport/installed

refuse() { echo "$1" >&2; exit 2; }
near=$root
while [ ! -e "$near" ]; do near=$(dirname "$near"); done
if [ ! -w "$near" ] || { [ -e "$root/lib" ] && [ ! -w "$root/lib" ]; }; then
  refuse "$near is not yours to write: run sudo make $verb, or name a PREFIX of your own, such as PREFIX=\$HOME/.local."
fi

# Directories end in / in the list and go last, deepest first, if nothing of another's is in them.
uninstall() {
  [ -e "$list" ] || return 0
  grep -v '/$' "$list" | while read -r path; do rm -f "$root/$path"; done
  kept=$(grep '/$' "$list" | sort -r)
  rm -f "$list"
  echo "$kept" | while read -r path; do rmdir "$root/${path#./}" 2>/dev/null || true; done
}

if [ "$verb" = uninstall ]; then
  [ -e "$list" ] || refuse "Sallyport is not installed in $root."
  uninstall
  exit 0
fi

[ -e dist/sallyport.js ] || refuse 'Run make build first, as the owner of this checkout.'
[ ! -e "$root/bin/sallyport" ] || [ -e "$list" ] || refuse "$root/bin/sallyport is there already and was not put there by make install."
uninstall   # an older version's files do not stay beside the new

made=''
directory() {   # $1 is relative to root; each one that was not there is listed
  [ ! -d "$root/$1" ] || return 0
  case $1 in */*) directory "${1%/*}" ;; .) ;; *) directory . ;; esac
  if [ "$1" = . ]; then mkdir -p "$root"; else mkdir "$root/$1"; fi
  made="$made$1/
"
}
directory bin
directory lib/sallyport
files=$(find bin dist examples docs LICENSE README.md CHANGELOG.md package.json -type f 2>/dev/null | sort)
echo "$files" | {
  while read -r file; do
    directory "lib/sallyport/$(dirname "$file")"
    mode=644
    [ "$file" != bin/sallyport ] || mode=755
    cp "$file" "$root/lib/sallyport/$file"
    chmod $mode "$root/lib/sallyport/$file"
  done
  ln -s ../lib/sallyport/bin/sallyport "$root/bin/sallyport"
  { printf '%s' "$made"; echo "$files" | sed 's|^|lib/sallyport/|'; echo bin/sallyport; } > "$list"
}
echo "installed $root/bin/sallyport"
