# packages: sourced by the commands that need what tests need: installs what is missing; with --no-install only says what is.
# `$ops` is the folder ops/, `$@` the command's arguments.
wanted=(--test)
case " $* " in
*" --no-install "*) wanted+=(--no-install) ;;
*" --help "* | *" -h "* | *" --list "*) wanted+=(--no-install) ;; # who only asks gets nothing installed
esac
"$ops/install" "${wanted[@]}" --quiet || {
    echo "$(basename "$0"): its packages are not all there, so nothing was run; what to do is said above" >&2
    exit 1
}
