# What csh and tcsh read for "venvpkg shell", whose HOME is this folder until here.
setenv HOME "$VENVPKG_HOME"
set home = "$VENVPKG_HOME"
unsetenv VENVPKG_HOME
if ( $?tcsh && -r "$home/.tcshrc" ) then
	source "$home/.tcshrc"
else if ( -r "$home/.cshrc" ) then
	source "$home/.cshrc"
endif
source "$VENVPKG_ACTIVATE"
unsetenv VENVPKG_ACTIVATE
