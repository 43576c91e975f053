#!/bin/sh
# Sets up what the tests need, then runs all of them: static checks, and the layers unit, build and package.
set -eu

usage() {
    cat <<'END'
usage: sh tests/run.sh [--full] [--no-network] [--unit | --layer NAME]... [-- PYTEST-ARGUMENT...]

  --full         run the long campaigns too
  --no-network   leave out the tests that need a package index or a Debian mirror
  --layer NAME   only this layer: static, unit, build or package (may be repeated)
  --unit         the same as --layer unit
  --setup        install what the tests need, and stop

Installs Debian packages that are missing (with sudo where the user is not root), and keeps a Python
environment, clean roots and downloads in ${XDG_CACHE_HOME:-~/.cache}/venvpkg-tests.
END
}

layers='' marks='not full' network='' setup_only=
while [ $# -gt 0 ]; do
    case $1 in
    --full) marks="" ;;
    --no-network) network='not network' ;;
    --unit) layers="$layers unit" ;;
    --setup) setup_only=yes ;;
    --layer)
        case ${2-} in
        static | unit | build | package) layers="$layers $2" && shift ;;
        *) usage >&2 && exit 2 ;;
        esac
        ;;
    -h | --help) usage && exit 0 ;;
    --) shift && break ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift
done
layers=${layers:-static unit build package}
[ -n "$marks" ] && [ -n "$network" ] && marks="$marks and $network"
marks=${marks:-$network}

cd "$(dirname "$0")/.."
checkout=$(pwd)
HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
export HOME
cache=${XDG_CACHE_HOME:-$HOME/.cache}/venvpkg-tests
mkdir -p "$cache"
# A minimal system has no locale but this one, and tools say different things in different languages.
export LC_ALL=C.UTF-8

# --- Debian packages

sudo=
if [ "$(id -u)" -ne 0 ]; then
    sudo=$(command -v sudo || true)
fi

# apt-file and devscripts are not here: what they do is optional for venvpkg as well.
packages='build-essential ca-certificates debhelper debian-archive-keyring dh-python dpkg-dev fakeroot fish
lintian mmdebstrap perl python3 python3-dev python3-venv shellcheck tcsh zstd'

missing=
for package in $packages; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" -ne 0 ] && [ -z "$sudo" ]; then
        echo "tests/run.sh: neither root nor sudo is there to install:$missing" >&2
        exit 1
    fi
    echo "Installing:$missing"
    $sudo apt-get -qq update
    # shellcheck disable=SC2086 # a list of words
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 install \
        --no-install-recommends $missing >"$cache/apt.log" 2>&1 || {
        cat "$cache/apt.log" >&2
        exit 1
    }
fi

# --- The Python environment

# Debian's own Python, whatever comes first on PATH: it is the one that the Debian package runs with.
debian_python=/usr/bin/python3
venv=$cache/venv-$($debian_python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
python=$venv/bin/python3
wanted=$($debian_python - <<'END'
import pathlib, tomllib

project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
print(*project["dependencies"], *project["optional-dependencies"]["test"], sep="\n")
END
)
if [ "$wanted" != "$(cat "$venv/installed" 2>/dev/null)" ] || ! "$python" -c '' 2>/dev/null; then
    echo "Making $venv"
    rm -rf "$venv"
    $debian_python -m venv "$venv"
    echo "$wanted" >"$venv/wanted"
    "$python" -m pip --quiet --disable-pip-version-check install --requirement "$venv/wanted"
    mv "$venv/wanted" "$venv/installed"
fi
[ -z "$setup_only" ] || exit 0

# The checkout itself is used as it is, so that one environment serves every checkout.
PATH=$venv/bin:$checkout/src/perl/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
PYTHONPATH=$checkout/src
PERL5LIB=$checkout/src/perl
export PATH PYTHONPATH PERL5LIB
unset PYTHONHOME VIRTUAL_ENV

work=$(mktemp -d)
trap 'rm -rf "$work" 2>/dev/null || $sudo rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
COVERAGE_FILE=$work/coverage
export COVERAGE_FILE

# --- The layers

failed=
check() {
    name=$1
    shift
    echo "+ $name"
    "$@" || failed="$failed, $name"
}

check_static() {
    check 'ruff check' ruff check --quiet .
    check 'ruff format --check' ruff format --quiet --check .
    check 'mypy --strict' mypy --strict --no-error-summary
    # shellcheck disable=SC2046 # no path here has a space
    check 'shellcheck' shellcheck $(find tests examples .ci -name '*.sh' -o -path '.ci/run')
    # shellcheck disable=SC2046
    check 'podchecker' check_pod $(find docs src/perl/bin -type f -name '*.pod' -o -type f -path 'src/perl/bin/*')
}

check_pod() {
    podchecker -warnings "$@" >"$work/pod" 2>&1 || {
        cat "$work/pod"
        return 1
    }
}

# The package layer mounts and changes root, so a user runs it through sudo, which clears variables.
as_root() {
    if [ -z "$sudo" ]; then
        "$@"
        return
    fi
    for name in HOME PATH PYTHONPATH PERL5LIB LC_ALL COVERAGE_FILE XDG_CACHE_HOME SSL_CERT_FILE REQUESTS_CA_BUNDLE \
        http_proxy https_proxy no_proxy $(env | sed -n 's/^\(\(PIP\|UV\|COVERAGE\|HYPOTHESIS\)_[A-Z_]*\)=.*/\1/p'); do
        eval "value=\${$name-}"
        [ -z "$value" ] || set -- "$name=$value" "$@"
    done
    # Root's bytecode and caches would be in the user's way in the checkout.
    "$sudo" env PYTHONDONTWRITEBYTECODE=1 "$@"
}

run_layer() {
    layer=$1
    shift
    if [ -z "$(find "tests/$layer" -name 'test_*.py' 2>/dev/null)" ]; then
        echo "tests/$layer has no tests"
        return
    fi
    runner=
    [ "$layer" != package ] || runner=as_root
    status=0
    $runner "$python" -m coverage run -m pytest -m "$marks" --junit-xml="$work/$layer.xml" \
        -o cache_dir="$cache/pytest-$(id -u)-$layer" "tests/$layer" "$@" || status=$?
    # 5: every test of the layer was deselected.
    case $status in
    0 | 5) ;;
    *) failed="$failed, $layer" ;;
    esac
}

# Runs a layer and notes how long it took and whether it failed.
time_layer() {
    echo "== $1"
    start=$(date +%s) failed=
    if [ "$1" = static ]; then
        check_static
    else
        run_layer "$@"
    fi
    echo "$1 $(($(date +%s) - start))" >>"$work/times"
    echo "$failed" >"$work/$1.failed"
}

# The package layer waits for apt and dpkg half of the time: the build layer runs beside it, and is shown after it.
for layer in $layers; do
    case "$layer $layers" in
    build\ *package*) time_layer build "$@" >"$work/build.log" 2>&1 & ;;
    *) time_layer "$layer" "$@" ;;
    esac
done
wait
[ ! -f "$work/build.log" ] || cat "$work/build.log"
failed=$(cat "$work"/*.failed | tr -d '\n')

# --- What came of it

if ls "$work"/coverage.* >/dev/null 2>&1; then
    echo "== coverage"
    if [ -n "$sudo" ]; then
        "$sudo" chown -R "$(id -u):$(id -g)" "$work"
    fi
    "$python" -m coverage combine --quiet || true
    "$python" -m coverage report || true
    "$python" -m coverage json --quiet -o "$work/coverage.json" || true
fi

"$python" - "$work" <<'END'
import json
import pathlib
import sys
import xml.etree.ElementTree as xml

work = pathlib.Path(sys.argv[1])
sums = {"passed": 0, "failed": 0, "skipped": 0}
print("== summary")
print(f"{'layer':10}{'tests':>7}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
for line in (work / "times").read_text().splitlines():
    layer, seconds = line.split()
    file = work / f"{layer}.xml"
    if not file.exists():
        print(f"{layer:10}{'-':>7}{'-':>8}{'-':>8}{'-':>9}{seconds:>9}")
        continue
    suites = list(xml.parse(file).getroot().iter("testsuite"))
    count = {key: sum(int(suite.get(key, 0)) for suite in suites) for key in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    # A test that passes and then fails to clean up is counted by pytest as two.
    passed = max(0, count["tests"] - failed - count["skipped"])
    print(f"{layer:10}{count['tests']:7}{passed:8}{failed:8}{count['skipped']:9}{seconds:>9}")
    for key, value in (("passed", passed), ("failed", failed), ("skipped", count["skipped"])):
        sums[key] += value
report = work / "coverage.json"
if report.exists():
    totals = json.loads(report.read_text())["totals"]
    for name, have, of in (("lines", "covered_lines", "num_statements"), ("branches", "covered_branches", "num_branches")):
        if totals.get(of):
            print(f"coverage of {name}: {100 * totals[have] / totals[of]:.1f} % of {totals[of]}")
print(f"{sums['passed']} passed, {sums['failed']} failed, {sums['skipped']} skipped")
END

if [ -n "$failed" ]; then
    echo "failed: ${failed#, }" >&2
    exit 1
fi
