# debhelper sequence: dh $@ --with venvpkg
package Debian::Debhelper::Sequence::venvpkg;

use strict;
use warnings;

use Debian::Debhelper::Venvpkg ();

# dh loads this into its own package, where insert_before and insert_after are.
package Debian::Debhelper::DH::AddonAPI;

my @words = Debian::Debhelper::Venvpkg::command_line();

insert_after('dh_install', 'dh_venvpkg');

# The environment steps aside before the first command that would mangle it. dh runs a command once, at its
# first place; which that is depends on the compat level and on what else is loaded. dh_link makes an absolute
# link within /usr a relative one, and bin/python would then lead nowhere in the package build root.
insert_before($_, 'dh_venvpkg_hide') for qw(dh_link dh_strip_nondeterminism dh_dwz dh_strip);
insert_after('dh_missing', 'dh_venvpkg_hide');

# dh_python3 takes a prefix in /usr/lib or /usr/share for its own. Loaded before this add-on it is in the
# sequence already; loaded after it, it will stand right before dh_installinit.
if (Debian::Debhelper::Venvpkg::uses_addon('python3', @words)) {
	insert_before('dh_python3', 'dh_venvpkg_hide')
		or insert_before('dh_installinit', 'dh_venvpkg_hide');
}

# What was compiled here follows the rest, before anything looks for shared libraries to offer to others.
insert_before('dh_makeshlibs', 'dh_venvpkg_hide_built');
insert_before('dh_installdeb', 'dh_venvpkg_settle');
insert_before('dh_md5sums', 'dh_venvpkg_verify');

Debian::Debhelper::Venvpkg::prepare_environment(@words);

1;
