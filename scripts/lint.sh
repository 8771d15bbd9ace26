#!/bin/sh
# All of make lint: every check runs, so that one push mends all; fails if any did.
set -u
cd "$(dirname "$0")/.." || exit
failed=''
check() {
  name=$1
  shift
  if said=$("$@" 2>&1); then echo "ok    $name"; else
    echo "$said"
    echo "FAIL  $name"
    failed="$failed, $name"
  fi
}
shells=$(find scripts .ci -type f | while read -r file; do case $(head -n 1 "$file") in '#!/bin/sh' | '#!/usr/bin/env bash') echo "$file" ;; esac; done)
# A rebase that was not mended to its end.
unmerged() { ! git grep -nE '^(<{7}|>{7}) '; }
syntax() { for file in $shells; do "$(head -n 1 "$file" | sed 's|.*[/ ]||')" -n "$file" || return 1; done; }

check 'format and lint' biome check --error-on-warnings
check 'types' tsc -p .
check 'import walls' node scripts/walls.ts
check 'dead code' knip --no-progress --no-config-hints
check 'reference page' node scripts/reference.ts --check
check 'shell syntax' syntax
check 'no conflict left' unmerged
# shellcheck disable=SC2086 # words, each a file
if command -v shellcheck >/dev/null; then check 'shellcheck' shellcheck $shells; else echo 'skip  shellcheck (not installed)'; fi
[ -z "$failed" ] || { echo "lint failed:${failed#,}" >&2; exit 1; }
