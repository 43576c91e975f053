# What zsh reads first for "venvpkg shell", whose ZDOTDIR is this folder: the user's own, which may set ZDOTDIR.
VENVPKG_SHELLS=$ZDOTDIR
if [[ -n ${VENVPKG_ZDOTDIR-} ]]; then ZDOTDIR=$VENVPKG_ZDOTDIR; else unset ZDOTDIR; fi
if [[ -r ${ZDOTDIR:-$HOME}/.zshenv ]]; then source "${ZDOTDIR:-$HOME}/.zshenv"; fi
VENVPKG_ZDOTDIR=${ZDOTDIR-}
export ZDOTDIR=$VENVPKG_SHELLS
