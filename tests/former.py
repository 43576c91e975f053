"""Source packages written for dh-virtualenv, after the shapes of well-known ones."""

from __future__ import annotations

from dataclasses import replace

from backend import pack
from projects import Project
from workbench import library, odd_wheel

TRIGGERS = (
    "# the interpreter\ninterest-noawait /usr/bin/python3.11\ninterest dh-virtualenv-interpreter-update\n"
)
PURE = [pack("lark", "1.0", {"lark/__init__.py": b"VERSION = 1\n"})]
OLDER = [pack("lark", "0.9", {"lark/__init__.py": b"VERSION = 0\n"})]
# It needs a library that the server may do without.
DATABASE = [
    pack(
        "psycopg2",
        "2.9",
        {"psycopg2/__init__.py": b"", "psycopg2/_psycopg.so": library("_psycopg.so", "libz.so.1")},
        tag="py3-none-manylinux_2_17_x86_64",
    )
]


def beside(*wheels: tuple[str, bytes]) -> dict[str, str | bytes | None]:
    """Files of a folder of wheels, which nothing but debian/rules names."""
    return {f"wheels/{name}": data for name, data in wheels}


TESTS = """\
import unittest

import demo


class Test(unittest.TestCase):
    def test_version(self):
        self.assertEqual(demo.__version__, "1.0")
"""
UNIT = "[Service]\nExecStart=/opt/venvs/{env}/bin/{program}\n\n[Install]\nWantedBy=multi-user.target\n"

# A script beside debian/rules does it all; the tests run with the staged interpreter, dpkg-shlibdeps by hand.
SYNAPSE_SCRIPT = """\
#!/bin/sh
# builds the virtualenv, and tests it
set -e
export DH_VIRTUALENV_INSTALL_ROOT=/opt/venvs

# make sure that the virtualenv links to the specific version of python
SNAKE=$(readlink -e /usr/bin/python3)

dh_virtualenv \\
    --install-suffix "demo" \\
    --builtin-venv \\
    --python "$SNAKE" \\
    --preinstall="lark" \\
    --extra-pip-arg="--no-index" \\
    --extra-pip-arg="--find-links=wheels" \\
    --extra-pip-arg="--no-cache-dir" \\
    --extra-pip-arg="--compile" \\
    --extras="all,test" \\
    --requirements="exported_requirements.txt"

PACKAGE_BUILD_DIR="$(pwd)/debian/demo"
VIRTUALENV_DIR="${PACKAGE_BUILD_DIR}${DH_VIRTUALENV_INSTALL_ROOT}/demo"
TARGET_PYTHON="${VIRTUALENV_DIR}/bin/python"
case "$DEB_BUILD_OPTIONS" in
*nocheck*) ;;
*)
    # the tests are put on the path without the project beside them
    tmpdir=$(mktemp -d)
    trap 'rm -r "$tmpdir"' EXIT
    cp -r tests "$tmpdir"
    PYTHONPATH="$tmpdir" "${TARGET_PYTHON}" -B -m unittest discover -s "$tmpdir/tests"
    ;;
esac

# build the config file
mkdir -p "${PACKAGE_BUILD_DIR}/etc/demo"
"${TARGET_PYTHON}" -B "${VIRTUALENV_DIR}/bin/demo" | sed 's/ .*//' >"${PACKAGE_BUILD_DIR}/etc/demo/demo.conf"

# add a dependency on the right version of python to substvars.
PYPKG=$(basename "$SNAKE")
echo "demo:pydepends=$PYPKG" >>debian/demo.substvars

# add a couple of triggers.
cat >>debian/.debhelper/generated/demo/triggers <<EOF
# triggers for dh-virtualenv
interest-noawait $SNAKE
interest dh-virtualenv-interpreter-update
EOF
"""
SYNAPSE = Project(
    addon="",
    build_depends=["dh-virtualenv (>= 1.1)", "python3-dev", "python3-venv"],
    depends="${misc:Depends}, ${shlibs:Depends}, ${demo:pydepends}",
    fields="Recommends: ${shlibs1:Recommends}\n",
    rules="""\
# assume we only have one package
PACKAGE_NAME := demo

# many libraries pulled from PyPI have allocatable sections after
# non-allocatable ones on which dwz errors out
override_dh_dwz:

# dh_strip breaks them
override_dh_strip:

override_dh_shlibdeps:
	# make the postgres package's dependencies a recommendation
	# rather than a hard dependency.
	find debian/$(PACKAGE_NAME)/ -path '*/site-packages/psycopg2/*.so' | \\
		xargs dpkg-shlibdeps -Tdebian/$(PACKAGE_NAME).substvars \\
		-pshlibs1 -dRecommends

	# all the other dependencies can be normal ones, except for those that are self-contained
	find debian/$(PACKAGE_NAME)/ -name '*.so' \\
		-a -not -path '*/psycopg2/*.so' \\
		-a -not -path '*/odd/*' | \\
		xargs -r dpkg-shlibdeps -Tdebian/$(PACKAGE_NAME).substvars

override_dh_virtualenv:
	./debian/build_virtualenv
""",
    files={
        **beside(*PURE, *DATABASE, odd_wheel()),
        "debian/build_virtualenv": SYNAPSE_SCRIPT,
        "exported_requirements.txt": "lark==1.0\npsycopg2==2.9\nodd==1.0\n",
        "tests/test_demo.py": TESTS,
    },
)

# Options in a variable, and by hand out of the tree what is not wanted.
WLANPI = Project(
    addon="",
    build_depends=["dh-virtualenv (>= 1.2)", "python3-venv", "python3-virtualenv"],
    depends="${misc:Depends}, ${python3:Depends}, python3 (>= 3.9), python3-distutils",
    rules="""\
export DH_VIRTUALENV_INSTALL_ROOT=/opt

PACKAGE=$(shell dh_listpackages)

DH_VENV_ARGS=--setuptools --builtin-venv --python python3 \\
	--extra-pip-arg=--no-index --extra-pip-arg=--find-links=wheels \\
	--extra-pip-arg "--no-build-isolation"
DH_VENV_DIR=debian/$(PACKAGE)$(DH_VIRTUALENV_INSTALL_ROOT)/$(PACKAGE)

override_dh_virtualenv:
	dh_virtualenv $(DH_VENV_ARGS)
	@# the MAGIC
	rm -rf $(DH_VENV_DIR)/lib/python*/site-packages/pip*
	rm -rf $(DH_VENV_DIR)/lib/python*/site-packages/setuptools*
	rm -rf $(DH_VENV_DIR)/lib/python*/site-packages/wheel*
	find $(DH_VENV_DIR) -name "*.pyc" -delete
	rm -rf $(DH_VENV_DIR)/lib/python*/site-packages/*.dist-info
	cp settings.ini $(DH_VENV_DIR)/

override_dh_strip:
	dh_strip --exclude=cffi

override_dh_shlibdeps:
	dh_shlibdeps -X/x86/ -X/numpy/.libs -X/scipy/.libs -X/matplotlib/.libs
""",
    files={
        **beside(*PURE),
        "debian/demo.triggers": TRIGGERS,
        "requirements.txt": "lark==1.0\n",
        "settings.ini": "[settings]\n",
    },
)

# No index, all wheels beside the source.
STACKSTORM = Project(
    addon="",
    build_depends=["dh-virtualenv (>= 1.0)", "python3-venv"],
    depends="${misc:Depends}, ${python3:Depends}, ${shlibs:Depends}",
    rules="""\
export DH_VIRTUALENV_INSTALL_ROOT := /opt/stackstorm
WHEELDIR ?= wheels

override_dh_virtualenv:
	dh_virtualenv --no-test --builtin-venv --python python3 --install-suffix st2 \\
		--extra-pip-arg "--find-links=$(WHEELDIR)" --extra-pip-arg "--no-index" \\
		--requirements fixed-requirements.txt
	mkdir -p debian/demo/usr/bin
	ln -s /opt/stackstorm/st2/bin/demo debian/demo/usr/bin/demo

override_dh_auto_test:
	python3 -m nothing_of_the_kind

override_dh_strip:
	:
""",
    files={
        **beside(*PURE),
        "debian/demo.triggers": TRIGGERS,
        "fixed-requirements.txt": "lark==1.0\n",
    },
)

# Three binary packages; the worker is a service in the first one's environment.
FLEET = Project(
    name="fleet",
    addon="",
    build_depends=["dh-virtualenv", "python3-venv"],
    depends="${misc:Depends}, ${python3:Depends}",
    packages="""\
Package: fleet-worker
Architecture: all
Depends: fleet (>= ${source:Version}), ${misc:Depends}
Description: worker of fleet
 A service in the environment of fleet.

Package: fleet-agent
Architecture: any
Depends: ${misc:Depends}, ${python3:Depends}
Description: agent of fleet
 It needs an older library than fleet.
""",
    rules="""\
pip = --extra-pip-arg=--no-index --extra-pip-arg=--find-links=wheels

override_dh_virtualenv:
	dh_virtualenv -pfleet --builtin-venv --python python3 $(pip)
	dh_virtualenv -pfleet-agent --builtin-venv --python python3 --skip-install \\
		--requirements requirements-agent.txt $(pip)
""",
    files={
        **beside(*PURE, *OLDER),
        "debian/fleet.service": UNIT.format(env="fleet", program="fleet"),
        "debian/fleet-worker.service": UNIT.format(env="fleet", program="fleet"),
        "debian/fleet.triggers": TRIGGERS,
        "requirements.txt": "lark==1.0\n",
        "requirements-agent.txt": "lark==0.9\n",
    },
)


def with_rules(project: Project) -> Project:
    """The project with debian/rules as dh-virtualenv's users have them: the add-on is named there."""
    text = f"#!/usr/bin/make -f\n\n%:\n\tdh $@ --with python-virtualenv\n\n{project.rules}"
    return replace(project, files={**project.files, "debian/rules": text})


PROJECTS = {
    "synapse": with_rules(SYNAPSE),
    "wlanpi": with_rules(WLANPI),
    "stackstorm": with_rules(STACKSTORM),
    "fleet": with_rules(FLEET),
}
