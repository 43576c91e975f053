#!/bin/sh
# Builds one project with venvpkg, dh-virtualenv, pex and shiv in a clean Debian root, and compares what that takes.
set -eu

usage() {
    cat <<'END'
usage: sh tests/benchmarks/run.sh [--quick] [--rounds N] [--only NAME]... [--json FILE] [--plot FILE.png]

  --quick       one round, with warm caches only
  --rounds N    how often everything is built, 3 unless told
  --only NAME   this row alone, and no start-up (may be repeated): venvpkg-first, venvpkg, venvpkg-rebuild,
                venvpkg-pip, venvpkg-xz, dh-virtualenv, pex, shiv or floor
  --json FILE   write the figures there
  --plot FILE   draw the steps of each build there

Installs Debian packages that are missing, as tests/run.sh does. docs/performance.md says what is measured.
END
}

for word; do
    case $word in
    -h | --help) usage && exit 0 ;;
    esac
done
here=$(cd "$(dirname "$0")" && pwd)
sh "$here/../run.sh" --setup

# As in tests/run.sh: Debian's own Python, in the tests' environment.
HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
export HOME
cache=${XDG_CACHE_HOME:-$HOME/.cache}/venvpkg-tests
version=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
set -- "$cache/venv-$version/bin/python3" -m benchmarks.bench "$@"

# A root is made with chroot and mount. sudo clears variables, and root's bytecode would be in the user's way.
export PYTHONPATH="$here/.." LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
[ "$(id -u)" -ne 0 ] || exec "$@"
for name in HOME PYTHONPATH LC_ALL PYTHONDONTWRITEBYTECODE XDG_CACHE_HOME SSL_CERT_FILE http_proxy https_proxy no_proxy \
    $(env | sed -n 's/^\(\(PIP\|UV\)_[A-Z_]*\)=.*/\1/p'); do
    eval "value=\${$name-}"
    [ -z "$value" ] || set -- "$name=$value" "$@"
done
exec sudo env "$@"
