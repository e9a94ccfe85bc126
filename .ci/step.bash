# shellcheck shell=bash
# step <what is done> <what to do if it fails> <command...>: says in one line what is done; the command's own
# output is shown only if it fails, its last lines, and then what to do.
step() {
    local what=$1 advice=$2 log status=0
    shift 2
    log=$(mktemp --tmpdir socketserver-step.XXXXXX)
    printf 'dev: %s\n' "$what" >&2
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if ((status)); then
        tail -n 20 -- "$log" >&2
        printf 'dev: failed (%s) at: %s\ndev: %s\n' "$status" "$what" "$advice" >&2
    fi
    rm -f -- "$log"
    return "$status"
}
