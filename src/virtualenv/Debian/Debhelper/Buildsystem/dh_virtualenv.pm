# The build system of dh-virtualenv, with venvpkg behind it: dh $@ --buildsystem=dh_virtualenv
package Debian::Debhelper::Buildsystem::dh_virtualenv;

use strict;
use warnings;

use parent 'Debian::Debhelper::Buildsystem';

use Debian::Debhelper::Dh_Lib qw(basename doit getpackages sourcepackage warning);

sub DESCRIPTION {
	return 'venvpkg, in the place of dh-virtualenv';
}

# Only where it is named.
sub check_auto_buildable {
	return 0;
}

sub configure { return }
sub build     { return }
sub test      { return }
sub clean     { return }

# With the add-on this is not called: the sequence has commands of its own for it.
sub install {
	my ($this, $destdir) = @_;
	my ($package) = grep { $_ eq basename($destdir) } getpackages();
	$package //= (getpackages())[0];
	$ENV{DH_VIRTUALENV_INSTALL_ROOT} //= '/usr/share/python';
	$ENV{DH_VIRTUALENV_INSTALL_SUFFIX} ||= sourcepackage();
	warning('the commands that follow will look into the environment, and dh_strip may break what is in it: '
		. 'say --with venvpkg in the place of --buildsystem=dh_virtualenv');
	doit('dh_virtualenv', "-p$package");
	doit('dh_venvpkg_settle', "-p$package");
	return;
}

1;
