# What the dh_venvpkg commands share: debhelper's side of the work, done by debhelper's own library.
package Debian::Debhelper::Venvpkg;

use strict;
use warnings;

use Cwd qw(abs_path getcwd);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use JSON::PP ();

use Debian::Debhelper::Dh_Lib;

# debhelper writes it beside what a tool adds to a maintainer script.
$main::VERSION = '0.1.0';

my $STATE = 'debian/.debhelper/venvpkg';

# The words of the venvpkg command: the one beside the running front, so that a front from a virtual
# environment or a checkout does not run another version's code.
sub program {
	my $beside = dirname(abs_path($0)) . '/venvpkg';
	return ($beside) if -x $beside;
	return ('/usr/bin/venvpkg') if -x '/usr/bin/venvpkg' and not $ENV{PYTHONPATH};
	return ('python3', '-m', 'venvpkg');
}

# The command line of this dh, as the kernel has it: the options that dh understood are gone from @ARGV.
sub command_line {
	open(my $fd, '<', '/proc/self/cmdline') or return @ARGV;
	local $/;
	return split(/\0/, <$fd>);
}

# Whether dh was asked for an add-on, on its command line, in Build-Depends or by DH_EXTRA_ADDONS.
sub uses_addon {
	my ($addon, @words) = @_;
	return 1 if exists(Debian::Debhelper::Dh_Lib::bd_dh_sequences()->{$addon});
	return 1 if grep { $_ eq $addon } split(/,/, $ENV{DH_EXTRA_ADDONS} // '');
	for my $i (0 .. $#words) {
		my $value = $words[$i] =~ m/^--with=(.*)/ ? $1 : $words[$i] eq '--with' ? $words[$i + 1] // '' : next;
		return 1 if grep { $_ eq $addon } split(/,/, $value);
	}
	return 0;
}

# Set what every command of this build inherits, those in override targets included.
sub prepare_environment {
	my (@words) = @_;
	if (would_use_distutils(@words)) {
		# dh_auto_clean would run setup.py and fail; with -O, commands without the option take no notice.
		$ENV{DH_OPTIONS} = join(' ', grep { length } $ENV{DH_OPTIONS} // '', '-O--buildsystem=none');
	}
	my ($sequence) = grep { m/^(?:build|install|binary)/ } @words[1 .. $#words];
	return if not defined($sequence) or $ENV{DH_NO_ACT} or grep { $_ eq '--no-act' } @words;
	my @lines = qx_program('dh', 'environment');
	for my $line (@lines) {
		chomp($line);
		my ($name, $value) = split(/=/, $line, 2);
		$ENV{$name} = $value;
	}
	return;
}

# Whether debhelper would take its setup.py build system, which nobody named: one that does not know PEP 517.
sub would_use_distutils {
	my (@words) = @_;
	return 0 if not -e 'setup.py';
	return 0 if grep { m/^(?:-O)?(?:--buildsystem|-S)/ } @words, split(' ', $ENV{DH_OPTIONS} // '');
	require Debian::Debhelper::Dh_Buildsystems;
	my $found = eval { Debian::Debhelper::Dh_Buildsystems::load_buildsystem(undef, 'build') };
	return defined($found) && $found->NAME() eq 'python_distutils';
}

# Run venvpkg and return its lines; its exit status is the front's own where it fails.
sub qx_program {
	my (@args) = @_;
	open(my $fd, '-|', program(), @args) or error('cannot run venvpkg: ' . join(' ', program()) . ": $!");
	my @lines = <$fd>;
	close($fd);
	exit($? >> 8 || 4) if $?;
	return @lines;
}

# The options of dh_venvpkg for Dh_Lib::init: one for every configuration key, and dh-virtualenv's.
sub key_options {
	my ($given) = @_;
	my %options;
	for my $declaration (qx_program('dh', 'options')) {
		chomp($declaration);
		my ($name, $kind) = $declaration =~ m/^([a-z-]+)(?:\|\w)?(.*)$/;
		$options{$declaration} = sub {
			my ($option, $value) = @_;
			$value = $value ? 'true' : 'false' if $kind eq '!';
			# A flag's is a number, and JSON tells one from a text.
			push(@{$given->{$name}}, "$value");
		};
	}
	return \%options;
}

# Run one step for the packages that debhelper acts on, and do what it answers.
sub run_step {
	my ($step, $given, $former) = @_;
	my %roots = map { $_ => tmpdir($_) } @{$dh{DOPACKAGES}};
	my $call = JSON::PP->new->canonical->encode({
		packages => $dh{DOPACKAGES},
		roots    => \%roots,
		options  => $given // {},
		cross    => is_cross_compiling() ? JSON::PP::true : JSON::PP::false,
		former   => $former ? JSON::PP::true : JSON::PP::false,
		scripts  => $dh{NOSCRIPTS} ? JSON::PP::false : JSON::PP::true,
	});
	return if $dh{NO_ACT};
	$ENV{DH_VERBOSE} = 1 if $dh{VERBOSE};
	Debian::Debhelper::Dh_Lib::set_buildflags() if $step eq 'build';
	my $answer = JSON::PP->new->decode(ask($step, $call));
	carry_out($_) for @{$answer->{actions}};
	return;
}

# Hand the call to venvpkg on its standard input.
sub ask {
	my ($step, $call) = @_;
	make_path('debian/.debhelper');
	my $file = "debian/.debhelper/venvpkg-call.$$.json";
	open(my $out, '>', $file) or error("cannot write ${file}: $!");
	print {$out} $call;
	close($out) or error("cannot write ${file}: $!");
	open(my $saved, '<&', \*STDIN) or error("cannot save standard input: $!");
	open(STDIN, '<', $file) or error("cannot read ${file}: $!");
	unlink($file);
	my @lines = qx_program('dh', 'step', $step);
	open(STDIN, '<&', $saved) or error("cannot restore standard input: $!");
	return join('', @lines);
}

# JSON has characters, and a file's name is bytes: perl would write the Latin-1 ones among them as such.
sub as_bytes {
	my @texts = @_;
	utf8::encode($_) for grep { defined } @texts;
	return wantarray ? @texts : $texts[0];
}

sub carry_out {
	my ($action) = @_;
	$action = { map { $_ => scalar(as_bytes($action->{$_})) } keys %{$action} };
	my $package = $action->{package};
	if ($action->{do} eq 'substvar') {
		addsubstvar($package, $action->{name}, $action->{value});
	} elsif ($action->{do} eq 'trigger') {
		autotrigger($package, $action->{type}, $action->{path});
	} elsif ($action->{do} eq 'autoscript') {
		local $ENV{DH_AUTOSCRIPTDIR} = $action->{folder};
		autoscript($package, $action->{script}, $action->{script}, {});
	} else {
		error("venvpkg asks for an unknown action: $action->{do}");
	}
	return;
}

# What dh_venvpkg left for the commands that hide: the prefix, and the ELF files that were compiled here.
sub hidden {
	my ($package) = @_;
	open(my $fd, '<', "$STATE/$package/hide.json") or return;
	local $/;
	my $about = JSON::PP->new->decode(<$fd>);
	close($fd);
	return as_bytes($about->{prefix}, @{$about->{built}});
}

# Set the environment of a package aside; what was compiled here stays for dh_dwz and dh_strip.
sub hide {
	my ($package) = @_;
	my ($prefix, @built) = hidden($package);
	return if not defined($prefix) or $dh{NO_ACT};
	my ($stage, $aside) = (tmpdir($package) . "/$prefix", "$STATE/$package/env");
	return if not -d $stage or -d $aside;
	rename_path($stage, $aside);
	move_files($aside, $stage, @built);
	return;
}

# Set the rest aside.
sub hide_built {
	my ($package) = @_;
	my ($prefix, @built) = hidden($package);
	return if not defined($prefix) or $dh{NO_ACT};
	my ($stage, $aside) = (tmpdir($package) . "/$prefix", "$STATE/$package/env");
	return if not -d $stage or not -d $aside;
	move_files($stage, $aside, @built);
	# Folders that are empty now; one in which something else was put in the meantime stays.
	for my $file (@built) {
		my $folder = dirname("$stage/$file");
		while (length($folder) >= length($stage) and rmdir($folder)) {
			$folder = dirname($folder);
		}
	}
	return;
}

sub move_files {
	my ($from, $to, @files) = @_;
	for my $file (grep { -f "$from/$_" } @files) {
		make_path(dirname("$to/$file"));
		rename_path("$from/$file", "$to/$file");
	}
	return;
}

1;
