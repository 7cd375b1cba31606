#!/bin/sh
# prune-releases check|apply FOLDER COUNT: whether FOLDER/releases holds no more than COUNT releases beside the current
# one, or remove the oldest until it does not.
set -eu

folder=$2
count=$3
current=$(readlink "$folder/current" 2>/dev/null || echo none)

# By the time they were put in place (ctime): a release's own times are those of its build. Names are commits.
surplus() {
    # shellcheck disable=SC2012
    ls -1tc "$folder/releases" | grep -E '^[0-9a-f]{40}$' | grep -vx "${current##*/}" | tail -n "+$((count + 1))" || true
}

case $1 in
    check)
        [ -z "$(surplus)" ]
        ;;
    apply)
        surplus | while read -r release; do
            rm -rf "${folder:?}/releases/$release"
        done
        ;;
    *)
        echo "usage: prune-releases check|apply FOLDER COUNT" >&2
        exit 2
        ;;
esac
