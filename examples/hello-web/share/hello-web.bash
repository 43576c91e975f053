_hello_web() {
    local word=${COMP_WORDS[COMP_CWORD]}
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    --config | --access-log) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    --bind) COMPREPLY=() ;;
    *) mapfile -t COMPREPLY < <(compgen -W "--access-log --bind --config --help --version" -- "$word") ;;
    esac
}
complete -F _hello_web hello-web
