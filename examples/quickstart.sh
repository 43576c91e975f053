#!/bin/sh
# Build dh-venvpkg, package an example with it, install the package and run the program: on a bare Debian 12 or 13.

set -eu

usage() {
    cat <<'END'
Usage: quickstart.sh [NAME]

Build dh-venvpkg from this checkout, package examples/NAME with it (skyplot by
default, or hello-web), install both packages and run the program. Packages,
logs and the picture are left in dist/. Needs Debian 12 or 13, and root or sudo.
END
}

fail() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

apt() {
    # sudo resets the environment; the rest of it is for pip, which does not run as root.
    $sudo env DEBIAN_FRONTEND=noninteractive ${http_proxy:+"http_proxy=$http_proxy"} \
        ${https_proxy:+"https_proxy=$https_proxy"} apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" && keep_bundle
}

# A certificate bundle that no package put there is the administrator's, and installing ca-certificates (pip needs it)
# replaces it: then nothing behind the certificates that were added by hand can be reached any more.
save_bundle() {
    if [ -f "$bundle" ] && ! dpkg-query -W -f '${db:Status-Abbrev}' ca-certificates 2>/dev/null | grep -q '^ii'; then
        cat "$bundle" >"$work/bundle.crt"
    fi
}

keep_bundle() {
    [ ! -f "$work/bundle.crt" ] || cmp -s "$work/bundle.crt" "$bundle" ||
        $sudo cp "$work/bundle.crt" "$bundle"
}

# step TITLE LOG COMMAND...: one line for each step; the command's words go to the log.
# "set -e" does nothing inside the command, so the functions that are steps chain theirs with &&.
step() {
    title=$1 log=$2
    shift 2
    printf '%-52s' "$title"
    begin=$(date +%s)
    if "$@" >>"$log" 2>&1 </dev/null; then
        printf '%5d s\n' "$(($(date +%s) - begin))"
    else
        printf ' failed\n'
        tail -n 30 "$log" >&2
        fail "failed: $title; the whole log is $log"
    fi
}

install_compiler() {
    # Without recommended packages: one of them could bring ca-certificates, or a Python that a build must not need.
    if [ -e "$bundle" ]; then
        apt install --no-install-recommends build-essential dpkg-dev
    else
        apt install --no-install-recommends build-essential dpkg-dev ca-certificates
    fi
}

# "apt-get build-dep" wants source indexes, which a bare system has not; "apt-get satisfy" does without.
install_build_depends() {
    depends=$(
        perl -MDpkg::Control::Info -MDpkg::Deps -e '
            my $source = Dpkg::Control::Info->new("$ARGV[0]/debian/control")->get_source();
            print join ", ", grep { length } map {
                defined $source->{$_} ? deps_parse($source->{$_}, build_dep => 1, reduce_restrictions => 1)->output() : ""
            } qw(Build-Depends Build-Depends-Arch Build-Depends-Indep);' "$1"
    ) && apt satisfy --no-install-recommends "$depends"
}

copy_source() {
    mkdir -p "$2" && (
        cd "$1" && tar --exclude=./.git --exclude=./dist --exclude=./.venv --exclude=./.vagrant -cf - .
    ) | tar -C "$2" --no-same-owner -xf -
}

# build FOLDER PACKAGE: the packages appear beside the folder; the one that is asked for moves to dist.
build() {
    (cd "$1" && dpkg-buildpackage -us -uc -b) &&
        rm -f "$dist/$2"_*.deb &&
        cp "$(dirname "$1")/$2"_*.deb "$dist/"
}

# The tests of dh-venvpkg are for those who change it; those of the example, its smoke run, are left on.
build_tool() {
    (export DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS:+$DEB_BUILD_OPTIONS }nocheck" && build "$1" dh-venvpkg)
}

install_package() {
    # The same version may be there from an earlier run, with other contents.
    (cd "$dist" && apt install --no-install-recommends --reinstall --allow-downgrades ./"$1"_*.deb)
}

run_skyplot() {
    /opt/venvs/skyplot/bin/skyplot --output "$dist/sky.png" >"$work/result"
}

run_hello_web() {
    python=/opt/venvs/hello-web/bin/python
    port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])') ||
        return 1
    /opt/venvs/hello-web/bin/hello-web --bind "127.0.0.1:$port" &
    server=$!
    "$python" - "http://127.0.0.1:$port/" >"$work/result" <<'END' && fetched=0 || fetched=1
import sys, time, urllib.error, urllib.request

# Past any proxy: the server is on this machine.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for attempt in range(100):
    try:
        print(opener.open(sys.argv[1], timeout=10).read().decode())
        break
    except urllib.error.URLError:
        time.sleep(0.1)
else:
    sys.exit("no answer from " + sys.argv[1])
END
    kill "$server" 2>/dev/null || fetched=1
    wait "$server" || :
    server=
    return "$fetched"
}

case ${1-} in
-h | --help)
    usage
    exit 0
    ;;
-*)
    usage >&2
    exit 2
    ;;
esac
name=${1-skyplot}
checkout=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
[ -f "$checkout/examples/$name/debian/control" ] || fail "there is no example called $name"
command -v apt-get >/dev/null || fail "this needs Debian or Ubuntu: there is no apt-get"
if [ "$(id -u)" -eq 0 ]; then
    sudo=
else
    command -v sudo >/dev/null || fail "run this as root, or install sudo"
    sudo=sudo
    # Ask for the password now, not inside a step whose words go to a log. Not "sudo -v": that one asks even a user
    # who needs no password, where another rule of sudoers for the same user wants one.
    sudo true
fi
bundle=/etc/ssl/certs/ca-certificates.crt
dist=$checkout/dist
server=
work=$(mktemp -d)
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$dist"
apt_log=$dist/$name.apt.log tool_log=$dist/dh-venvpkg.build.log build_log=$dist/$name.build.log run_log=$dist/$name.run.log
: >"$apt_log" && : >"$tool_log" && : >"$build_log" && : >"$run_log"
start=$(date +%s)

save_bundle
step "Update the package lists" "$apt_log" apt update
step "Install a compiler" "$apt_log" install_compiler
step "Install what building dh-venvpkg needs" "$apt_log" install_build_depends "$checkout"
step "Copy the source of dh-venvpkg" "$tool_log" copy_source "$checkout" "$work/tool/venvpkg"
step "Build dh-venvpkg" "$tool_log" build_tool "$work/tool/venvpkg"
step "Install dh-venvpkg" "$apt_log" install_package dh-venvpkg
step "Copy the source of $name" "$build_log" copy_source "$checkout/examples/$name" "$work/example/$name"
step "Install what building $name needs" "$apt_log" install_build_depends "$work/example/$name"
step "Build $name" "$build_log" build "$work/example/$name" "$name"
step "Install $name" "$apt_log" install_package "$name"
case $name in
skyplot) step "Draw the sky" "$run_log" run_skyplot ;;
hello-web) step "Fetch the page" "$run_log" run_hello_web ;;
*) : >"$work/result" ;;
esac
printf '%-52s%5d s\n\n' "Everything" "$(($(date +%s) - start))"
cat "$work/result"
(cd "$dist" && ls -l ./dh-venvpkg_*.deb "./$name"_*.deb)
