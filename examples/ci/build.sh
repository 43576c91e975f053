#!/bin/sh
# The whole job of a CI run, in any Debian container: a project's packages, and an apt repository of them.

set -eu

usage() {
    cat <<'END'
Usage: build.sh [index]

Builds the packages of the project in the current folder with venvpkg, and makes
an apt repository of dist/*.deb. With "index", nothing is built: the indexes are
made anew for all packages below REPOSITORY/pool, such as several jobs made.

Variables, each with its default:
  VENVPKG        what pip installs: venvpkg, or a wheel's path or URL
  CACHE          .venvpkg-ci: the environment with venvpkg, and all caches
  REPOSITORY     repository: the folder of the apt repository
  SUITE          the container's release: bookworm, trixie
  ARCHITECTURES  amd64 arm64: the ones that the repository has indexes for
  KEY            unset: an OpenPGP secret key, or a file that has it; the
                 repository is signed with it, and gets the public one, key.asc
END
}

fail() {
    printf 'build.sh: %s\n' "$*" >&2
    exit 1
}

# need COMMAND PACKAGE: note the package where the command is missing.
need() {
    command -v "$1" >/dev/null || missing="$missing $2"
}

install_missing() {
    # Package lists are needed for the build dependencies, too.
    $sudo apt-get -qq update
    # shellcheck disable=SC2086 # a list of words
    [ -z "$missing" ] || $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 install \
        --no-install-recommends $missing >"$work/apt.log" 2>&1 || {
        cat "$work/apt.log" >&2
        fail "apt could not install:$missing"
    }
}

install_venvpkg() {
    # The cache folder is an environment itself, for that is what a build leaves out of its copy of the project.
    "$cache/bin/python" -c '' 2>/dev/null || {
        rm -rf "$cache"
        /usr/bin/python3 -m venv "$cache"
        echo '*' >"$cache/.gitignore"
    }
    set -- "$VENVPKG" uv
    # Another wheel of the same version would not be installed otherwise.
    [ ! -f "$VENVPKG" ] || set -- --force-reinstall "$@"
    "$cache/bin/python" -m pip --quiet --disable-pip-version-check install --upgrade "$@"
}

build() {
    # It would be a part of the project, and back ends look for modules in every folder.
    rm -rf "$repository"
    mkdir -p dist
    PATH=$cache/bin:$PATH venvpkg build --install-build-depends --json >dist/build.json
    mkdir -p "$repository/pool/$SUITE"
    cp dist/*.deb "$repository/pool/$SUITE/"
}

make_indexes() {
    rm -rf dists
    for pool in pool/*; do
        [ -d "$pool" ] || fail "there are no packages below $repository/pool"
        suite=${pool#pool/}
        for architecture in $ARCHITECTURES; do
            folder=dists/$suite/main/binary-$architecture
            mkdir -p "$folder"
            # Packages of the architecture "all" are in each of them.
            apt-ftparchive --arch "$architecture" packages "$pool" >"$folder/Packages"
            gzip -9 -n -k "$folder/Packages"
        done
        # Written elsewhere, or it would list itself half done.
        apt-ftparchive -o "APT::FTPArchive::Release::Suite=$suite" -o "APT::FTPArchive::Release::Codename=$suite" \
            -o "APT::FTPArchive::Release::Architectures=$ARCHITECTURES" \
            -o APT::FTPArchive::Release::Components=main release "dists/$suite" >"$work/Release"
        cp "$work/Release" "dists/$suite/Release"
    done
}

sign() {
    export GNUPGHOME="$work/gnupg"
    mkdir -m 700 "$GNUPGHOME"
    if [ -f "$key" ]; then cat "$key"; else printf '%s\n' "$key"; fi | gpg --batch --quiet --import
    gpg --batch --quiet --armor --export >key.asc
    for release in dists/*/Release; do
        gpg --batch --quiet --clearsign --output "${release%Release}InRelease" "$release"
        gpg --batch --quiet --armor --detach-sign --output "$release.gpg" "$release"
    done
    gpgconf --kill all
}

case ${1-} in
'' | index) ;;
-h | --help) usage && exit 0 ;;
*) usage >&2 && exit 2 ;;
esac

VENVPKG=${VENVPKG:-venvpkg}
SUITE=${SUITE:-$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)}
ARCHITECTURES=${ARCHITECTURES:-amd64 arm64}
repository=${REPOSITORY:-repository}
cache=${CACHE:-.venvpkg-ci}
case $repository in /*) ;; *) repository=$PWD/$repository ;; esac
case $cache in /*) ;; *) cache=$PWD/$cache ;; esac
# uv's, pip's and venvpkg's own, in one place.
export XDG_CACHE_HOME="$cache/cache"
# Not for what a build runs.
key=${KEY-}
unset KEY

sudo=
[ "$(id -u)" -eq 0 ] || sudo=sudo
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

missing=
need apt-ftparchive apt-utils
[ -z "$key" ] || need gpg gnupg
if [ "${1-}" = index ]; then
    [ -z "$missing" ] || install_missing
else
    # Debian has ensurepip in a package of its own.
    /usr/bin/python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
    install_missing
    install_venvpkg
    build
fi
cd "$repository"
make_indexes
[ -z "$key" ] || sign
find "$repository" -type f
