"""The commands of ``venvpkg``, by what they are for."""
