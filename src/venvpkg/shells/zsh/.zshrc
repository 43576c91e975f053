# What zsh reads for "venvpkg shell" in place of ~/.zshrc: that, and then the environment's activate.
if [[ -n ${VENVPKG_ZDOTDIR-} ]]; then ZDOTDIR=$VENVPKG_ZDOTDIR; else unset ZDOTDIR; fi
unset VENVPKG_ZDOTDIR VENVPKG_SHELLS
if [[ -r ${ZDOTDIR:-$HOME}/.zshrc ]]; then source "${ZDOTDIR:-$HOME}/.zshrc"; fi
source "$VENVPKG_ACTIVATE"
unset VENVPKG_ACTIVATE
