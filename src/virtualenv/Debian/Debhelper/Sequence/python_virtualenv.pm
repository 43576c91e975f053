# debhelper sequence of dh-virtualenv, with venvpkg behind it: dh $@ --with python-virtualenv
package Debian::Debhelper::Sequence::python_virtualenv;

use strict;
use warnings;

use Debian::Debhelper::Dh_Lib qw(sourcepackage);
use Debian::Debhelper::Venvpkg ();

# dh loads this into its own package, where insert_before and its like are.
package Debian::Debhelper::DH::AddonAPI;

my @words = Debian::Debhelper::Venvpkg::command_line();

# Where dh-virtualenv's build system puts an environment, if nothing else is said.
if (grep { m/^--buildsystem=dh_virtualenv$/ } @words) {
	$ENV{DH_VIRTUALENV_INSTALL_ROOT} //= '/usr/share/python';
	$ENV{DH_VIRTUALENV_INSTALL_SUFFIX} ||= Debian::Debhelper::Dh_Lib::sourcepackage();
}

insert_before('dh_installinit', 'dh_virtualenv');
insert_before('dh_installdeb', 'dh_venvpkg_settle');
insert_before('dh_md5sums', 'dh_venvpkg_verify');

# They would run setup.py with the system's Python, and are not in the original's sequence either.
remove_command($_) for qw(dh_auto_test dh_auto_build dh_auto_install dh_auto_clean dh_python2 dh_pysupport);

# Targets of debian/rules look into the environment, so it stays where it is, and is left out instead.
my $root = $ENV{DH_VIRTUALENV_INSTALL_ROOT} // '/opt/venvs';
$root =~ s{^/*|/*$}{}g;
add_command_options($_, "-X$root/")
	for qw(dh_strip_nondeterminism dh_compress dh_dwz dh_strip dh_makeshlibs dh_shlibdeps);

# dh_link would make a link within /usr a relative one, which leads nowhere in the package build root. It
# compares the name of a link alone.
add_command_options('dh_link', '-Xpython');

Debian::Debhelper::Venvpkg::prepare_environment(@words);

1;
