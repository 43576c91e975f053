"""What a build from source misses, read out of what it wrote, and the Debian package that has it."""

import re
from dataclasses import dataclass

# Names are those of Debian 12 and of Debian 13. A word is a header as #include has it (a folder of headers
# ends in a slash), a library for the linker (-lpng), a module for pkg-config (libpng.pc), a program, or what
# CMake and Meson call the thing.
OFFERS = {
    "build-essential": "cc gcc c++ g++ make ld as ar cc1plus stdlib.h stdio.h -lstdc++ -lm -lc",
    "cargo": "cargo rustc",
    "clang": "clang clang++",
    "cmake": "cmake",
    "cython3": "cython cython3",
    "default-jdk": "javac jni.h",
    "default-libmysqlclient-dev": "mysql.h mysql/ mysql_config mariadb_config mysqlclient.pc libmariadb.pc "
    "-lmysqlclient -lmariadb mysql",
    "flex": "flex",
    "bison": "bison",
    "freetds-dev": "sybdb.h sqlfront.h ctpublic.h -lsybdb",
    "gettext": "msgfmt gettext",
    "gfortran": "gfortran f951 f77 f90 -lgfortran fortran",
    "git": "git",
    "libgraphviz-dev": "graphviz/ cgraph.h -lcgraph libcgraph.pc",
    "libacl1-dev": "sys/acl.h -lacl",
    "libarchive-dev": "archive.h -larchive libarchive.pc",
    "libasound2-dev": "alsa/ -lasound alsa.pc",
    "libattr1-dev": "attr/ -lattr",
    "libaugeas-dev": "augeas.h -laugeas augeas.pc",
    "libavcodec-dev": "libavcodec/ libavcodec.pc -lavcodec",
    "libavdevice-dev": "libavdevice/ libavdevice.pc -lavdevice",
    "libavfilter-dev": "libavfilter/ libavfilter.pc -lavfilter",
    "libavformat-dev": "libavformat/ libavformat.pc -lavformat",
    "libavutil-dev": "libavutil/ libavutil.pc -lavutil",
    "libbluetooth-dev": "bluetooth/ -lbluetooth bluez.pc",
    "libboost-dev": "boost/ boost",
    "libboost-python-dev": "-lboost_python3",
    "libbrotli-dev": "brotli/ -lbrotlidec libbrotlidec.pc libbrotlienc.pc",
    "libbz2-dev": "bzlib.h -lbz2 bzip2",
    "libcairo2-dev": "cairo.h cairo/ cairo.pc -lcairo",
    "libcap-dev": "sys/capability.h -lcap libcap.pc",
    "libcups2-dev": "cups/ -lcups cups-config",
    "libcurl4-openssl-dev": "curl/ curl-config -lcurl libcurl.pc",
    "libdb-dev": "db.h -ldb",
    "libdbus-1-dev": "dbus/ dbus-1.pc -ldbus-1",
    "libeigen3-dev": "Eigen/ eigen3.pc",
    "libev-dev": "ev.h -lev",
    "libevent-dev": "event.h event2/ -levent libevent.pc",
    "libexpat1-dev": "expat.h -lexpat expat.pc",
    "libffi-dev": "ffi.h -lffi libffi.pc",
    "libfftw3-dev": "fftw3.h -lfftw3 -lfftw3f fftw3.pc fftw",
    "libfontconfig-dev": "fontconfig/ -lfontconfig fontconfig.pc",
    "libfreetype-dev": "ft2build.h freetype/ freetype2.pc -lfreetype",
    "libfribidi-dev": "fribidi.h fribidi/ -lfribidi fribidi.pc",
    "libfuse-dev": "fuse.h -lfuse fuse.pc",
    "libfuse3-dev": "fuse3/ -lfuse3 fuse3.pc",
    "libgdal-dev": "gdal.h gdal/ gdal-config -lgdal gdal.pc",
    "libgdbm-dev": "gdbm.h -lgdbm",
    "libgeos-dev": "geos_c.h geos/ geos-config -lgeos_c geos.pc",
    "libgirepository1.0-dev": "girepository.h gobject-introspection-1.0.pc -lgirepository-1.0",
    "libgit2-dev": "git2.h -lgit2 libgit2.pc",
    "libgl-dev": "GL/gl.h gl.pc -lGL opengl",
    "libglib2.0-dev": "glib.h glib-object.h gio/ glib-2.0.pc gobject-2.0.pc gio-2.0.pc -lglib-2.0",
    "libgmp-dev": "gmp.h gmpxx.h -lgmp gmp.pc",
    "libgpgme-dev": "gpgme.h gpgme.pc -lgpgme",
    "libgsl-dev": "gsl/ gsl-config gsl.pc -lgsl",
    "libgstreamer1.0-dev": "gst/ gstreamer-1.0.pc -lgstreamer-1.0",
    "libgtk-3-dev": "gtk/ gtk+-3.0.pc gdk-3.0.pc",
    "libharfbuzz-dev": "hb.h harfbuzz.pc -lharfbuzz",
    "libhdf5-dev": "hdf5.h hdf5.pc -lhdf5 h5cc",
    "libhidapi-dev": "hidapi.h hidapi/ hidapi-libusb.pc -lhidapi-libusb",
    "libicu-dev": "unicode/ icu-i18n.pc icu-uc.pc -licui18n -licuuc icu",
    "libjpeg-dev": "jpeglib.h libjpeg.pc -ljpeg",
    "libkrb5-dev": "krb5.h krb5/ gssapi.h gssapi/ krb5-config krb5.pc krb5-gssapi.pc -lkrb5 -lgssapi_krb5",
    "liblapack-dev": "-llapack lapack.pc",
    "liblapacke-dev": "lapacke.h -llapacke lapacke.pc",
    "liblcms2-dev": "lcms2.h lcms2.pc -llcms2",
    "libldap-dev": "lber.h ldap.h -llber -lldap -lldap_r ldap.pc",
    "libleveldb-dev": "leveldb/ -lleveldb",
    "liblmdb-dev": "lmdb.h -llmdb",
    "liblz4-dev": "lz4.h lz4frame.h liblz4.pc -llz4",
    "liblzma-dev": "lzma.h liblzma.pc -llzma",
    "liblzo2-dev": "lzo/ lzo2.pc -llzo2",
    "libmagic-dev": "magic.h -lmagic libmagic.pc",
    "libmagickwand-dev": "wand/ MagickWand.pc",
    "libmaxminddb-dev": "maxminddb.h libmaxminddb.pc -lmaxminddb",
    "libmemcached-dev": "libmemcached/ libmemcached.pc -lmemcached",
    "libmpc-dev": "mpc.h -lmpc",
    "libmpfr-dev": "mpfr.h -lmpfr mpfr.pc",
    "libncurses-dev": "ncurses.h curses.h ncurses.pc ncursesw.pc -lncurses -lncursesw -lcurses curses",
    "libnetcdf-dev": "netcdf.h netcdf.pc nc-config -lnetcdf",
    "libopenblas-dev": "cblas.h openblas_config.h openblas.pc blas.pc cblas.pc -lopenblas -lblas -lcblas",
    "libopencv-dev": "opencv2/ opencv4.pc opencv",
    "libopenjp2-7-dev": "openjpeg.h libopenjp2.pc -lopenjp2 openjpeg",
    "libopenmpi-dev": "mpi.h mpicc mpicxx ompi-c.pc -lmpi mpi mpi_c",
    "libpam0g-dev": "security/ -lpam pam.pc",
    "libpango1.0-dev": "pango/ pango.pc pangocairo.pc -lpango-1.0",
    "libpcap-dev": "pcap.h pcap/ pcap-config -lpcap libpcap.pc",
    "libpcre2-dev": "pcre2.h libpcre2-8.pc -lpcre2-8",
    "libpng-dev": "png.h libpng.pc libpng16.pc -lpng -lpng16",
    "libpoppler-cpp-dev": "poppler/ poppler-cpp.pc -lpoppler-cpp",
    "libpq-dev": "libpq-fe.h postgres_ext.h pg_config libpq.pc -lpq postgresql",
    "libproj-dev": "proj.h proj.pc -lproj",
    "libpulse-dev": "pulse/ libpulse.pc -lpulse",
    "libqhull-dev": "libqhull_r/ qhull_r.pc qhull -lqhull_r",
    "libqpdf-dev": "qpdf/ libqpdf.pc -lqpdf",
    "libraqm-dev": "raqm.h raqm.pc -lraqm",
    "librdkafka-dev": "librdkafka/ rdkafka.pc -lrdkafka",
    "libre2-dev": "re2/ re2.pc -lre2",
    "libreadline-dev": "readline/ readline.pc -lreadline",
    "librrd-dev": "rrd.h librrd.pc -lrrd",
    "libsasl2-dev": "sasl.h sasl/ libsasl2.pc -lsasl2",
    "libsdl2-dev": "SDL.h SDL2/ sdl2.pc sdl2-config -lSDL2",
    "libseccomp-dev": "seccomp.h libseccomp.pc -lseccomp",
    "libsecp256k1-dev": "secp256k1.h libsecp256k1.pc -lsecp256k1",
    "libsnappy-dev": "snappy.h snappy-c.h -lsnappy snappy",
    "libsndfile1-dev": "sndfile.h sndfile.pc -lsndfile",
    "libsnmp-dev": "net-snmp/ net-snmp-config -lnetsnmp",
    "libsodium-dev": "sodium.h sodium/ libsodium.pc -lsodium",
    "libspatialindex-dev": "spatialindex/ -lspatialindex",
    "libsqlite3-dev": "sqlite3.h sqlite3ext.h sqlite3.pc -lsqlite3",
    "libssh2-1-dev": "libssh2.h libssh2.pc -lssh2",
    "libssl-dev": "openssl/ openssl.pc libssl.pc libcrypto.pc -lssl -lcrypto",
    "libsystemd-dev": "systemd/ libsystemd.pc -lsystemd",
    "libtesseract-dev": "tesseract/ tesseract.pc -ltesseract",
    "libtiff-dev": "tiff.h tiffio.h libtiff-4.pc -ltiff",
    "libtool-bin": "libtool",
    "libudev-dev": "libudev.h libudev.pc -ludev",
    "libusb-1.0-0-dev": "libusb.h libusb-1.0/ libusb-1.0.pc -lusb-1.0",
    "libuv1-dev": "uv.h libuv.pc -luv",
    "libvirt-dev": "libvirt/ libvirt.pc -lvirt",
    "libwebp-dev": "webp/ libwebp.pc -lwebp",
    "libx11-dev": "X11/Xlib.h X11/Xutil.h x11.pc -lX11 x11",
    "libxcb1-dev": "xcb/ xcb.pc -lxcb",
    "libxml2-dev": "libxml/ xml2-config libxml-2.0.pc -lxml2",
    "libxmlsec1-dev": "xmlsec/ xmlsec1-config xmlsec1.pc xmlsec1-openssl.pc -lxmlsec1",
    "libxslt1-dev": "libxslt/ libexslt/ xslt-config libxslt.pc libexslt.pc -lxslt -lexslt",
    "libyaml-dev": "yaml.h yaml-0.1.pc -lyaml",
    "libzmq3-dev": "zmq.h libzmq.pc -lzmq zeromq",
    "libzstd-dev": "zstd.h libzstd.pc -lzstd",
    "llvm-dev": "llvm-config llvm",
    "meson": "meson",
    "ninja-build": "ninja",
    "patchelf": "patchelf",
    "pkgconf": "pkg-config pkgconf",
    "portaudio19-dev": "portaudio.h portaudio-2.0.pc -lportaudio",
    "protobuf-compiler": "protoc",
    "pybind11-dev": "pybind11/ pybind11.pc pybind11-config",
    "swig": "swig swig4.0 swig3.0",
    "tcl-dev": "tcl.h tcl.pc -ltcl",
    "tk-dev": "tk.h tk.pc -ltk",
    "unixodbc-dev": "sql.h sqlext.h odbc.pc -lodbc",
    "uuid-dev": "uuid/ uuid.pc -luuid",
    "zlib1g-dev": "zlib.h zconf.h zlib.pc -lz",
}
PACKAGES = {word: package for package, words in OFFERS.items() for word in words.split()}
PYTHON = "python3-dev"
"""Stands for the headers of the Python that is packaged."""

QUOTE = "[`'\"‘’“”]?"
HEADER = re.compile(
    r"fatal error: (\S+): No such file|fatal error: '(\S+)' file not found"
    r"|ERROR: .*header ['\"<](\S+?)['\">] not (?:found|usable)|rror: cannot find (\S+\.h)\b"
)
LIBRARY = re.compile(r"cannot find -l([^\s:]+)|library ['\"](\S+)['\"] not found")
# Meson looks with CMake's names too, so what it misses is not a module for certain.
MODULE = re.compile(
    rf"Dependency (?:lookup for )?{QUOTE}([\w.+-]+){QUOTE} "
    r"(?:not found|with method .* failed|is required but)"
    rf"|No package {QUOTE}([\w.+-]+){QUOTE}(?:, required by .*)? found"
    rf"|Package {QUOTE}([\w.+-]+?){QUOTE}(?:,? required by {QUOTE}\S+{QUOTE},)? (?:was )?not found"
    rf"|Perhaps you should add the directory containing {QUOTE}([\w.+-]+)\.pc"
    r"|None of the required '([\w.+-]+)"
    r"|(?m:^(?!\s*--).*Could NOT find ([\w.+-]+))"
    r"|configuration file provided by \"([\w.+-]+)\""
)
PROGRAM = re.compile(
    rf"{QUOTE}(?<![\w./-])([\w.+-]+){QUOTE} (?:executable )?not found(?! \(tried)(?: or not executable)?"
    r"|(?:^|\s)([\w.+-]+): (?:command )?not found"
    r"|command '([\w.+-]+)' failed: No such file|unable to execute '([\w.+-]+)'"
    r"|No such file or directory: '([\w.+-]+)'|make(?:\[\d+\])?: ([\w.+-]+): No such file"
    r"|cannot execute [‘'`]([\w.+-]+)|linker `([\w.+-]+)` not found"
    r"|unable to find a build program corresponding to \"([\w.+-]+)\""
    r"|Program\(?s?\)? \[?'([\w.+-]+)'"
)
# Debian's Python compiles with x86_64-linux-gnu-gcc.
TRIPLET = re.compile(r"^\w+-linux-gnu\w*-")
# What is said in words of its own.
SAYINGS = {
    r"Can not find valid pkg-config name": ("a client library of MySQL", "default-libmysqlclient-dev"),
    r"libxml2 and libxslt development packages": ("libxml2", "libxml2-dev"),
    r"libxslt development packages": ("libxslt", "libxslt1-dev"),
    r"RequiredDependencyException: jpeg|could not be found for jpeg": ("libjpeg", "libjpeg-dev"),
    # It looks for both, and names the first.
    r"RequiredDependencyException: (jpeg|zlib)|not be found for (jpeg|zlib)": ("zlib", "zlib1g-dev"),
    r"Pkg-config for machine .* not found|pkg-config (is required|.*(is not|probably not) installed)": (
        "pkg-config",
        "pkgconf",
    ),
    r"[Uu]nknown compiler\(s\): \[\['(cc|c\+\+|gcc|g\+\+)'|No CMAKE_C(XX)?_COMPILER could be found": (
        "a compiler",
        "build-essential",
    ),
    r"[Uu]nknown compiler\(s\): \[\['gfortran'|No CMAKE_Fortran_COMPILER|[Nn]o Fortran compiler": (
        "a Fortran compiler",
        "gfortran",
    ),
    r"can't find Rust compiler|Cargo, the Rust package manager, is not installed": ("Rust", "cargo"),
    r"CMake must be installed|CMake executable is cmake|Problem with the CMake installation": (
        "CMake",
        "cmake",
    ),
    r"Could not detect Ninja": ("Ninja", "ninja-build"),
    r"Could NOT find Python3? .*(INCLUDE_DIR|Development)": ("Python.h", PYTHON),
    # Without its downloads, matplotlib takes both from the system.
    r"could not get \S+/(freetype|qhull)-": ("FreeType", "libfreetype-dev"),
    r"could not get \S+/(qhull|freetype)-": ("Qhull", "libqhull-dev"),
}
DOWNLOADS = re.compile(r"could not get (\S+); is the internet available")
# Meson has a fallback for a dependency, its own download, and a setting that forbids that.
SETTINGS = {"freetype": "system-freetype", "qhull": "system-qhull"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A thing that a build looked for in vain."""

    name: str
    """As the build has it: ``png.h``, ``-lpng``, ``cairo``, ``swig``."""
    package: str
    """The Debian package that has it, or empty where it is not known."""
    pattern: str = ""
    """For ``apt-file search --regexp``, where the package is not known."""


def find_missing_things(text: str, python: str = PYTHON) -> tuple[Missing, ...]:
    """Return what a build misses, each Debian package once, in the order of certainty.

    Args:
        text: what the build wrote.
        python: the Debian package with the headers of the Python that is packaged.
    """
    found = [Missing(name=name, package=package) for name, package in _said(text)]
    found += [_header(name) for name in _all(HEADER, text)]
    found += [_library(name) for name in _all(LIBRARY, text)]
    modules = [_module(name) for name in _all(MODULE, text)]
    if (modules or DOWNLOADS.search(text)) and "Found pkg-config: NO" in text:
        found.append(Missing(name="pkg-config", package="pkgconf"))
    found += [m for m in modules if m.name.casefold() not in ("python", "python3")]
    programs = [(name, TRIPLET.sub("", name.casefold())) for name in _all(PROGRAM, text)]
    found += [Missing(name=name, package=PACKAGES[key]) for name, key in programs if key in PACKAGES]
    unique: dict[str, Missing] = {}
    for thing in found:
        unique.setdefault(thing.package or thing.name, thing)
    return tuple(Missing(name=m.name, package=python) if m.package == PYTHON else m for m in unique.values())


def _said(text: str) -> list[tuple[str, str]]:
    return [what for saying, what in SAYINGS.items() if re.search(saying, text)]


def _all(pattern: re.Pattern[str], text: str) -> list[str]:
    return [next(filter(None, match.groups())) for match in pattern.finditer(text) if any(match.groups())]


def _header(name: str) -> Missing:
    if name in ("Python.h", "pyconfig.h"):
        return Missing(name=name, package=PYTHON)
    folder = name.partition("/")[0] + "/" if "/" in name else name
    package = PACKAGES.get(name) or PACKAGES.get(folder, "")
    return Missing(name=name, package=package, pattern=f"/{re.escape(name)}$")


def _library(name: str) -> Missing:
    if re.fullmatch(r"python3(\.\d+)?", name):
        return Missing(name=f"-l{name}", package=PYTHON)
    package = PACKAGES.get(f"-l{name}", "")
    return Missing(name=f"-l{name}", package=package, pattern=rf"/lib{re.escape(name)}\.(so|a)$")


def _module(name: str) -> Missing:
    low = name.casefold()
    keys = (f"{name}.pc", f"{low}.pc", f"lib{low}.pc", f"-l{low}", f"-l{low.removeprefix('lib')}", low)
    package = next((PACKAGES[key] for key in keys if key in PACKAGES), "")
    return Missing(name=name, package=package, pattern=rf"/{re.escape(name)}\.pc$")
