#!/bin/sh
# archive STANZA SEGMENTS_MAX PATH: what Postgres gives a piece of its log to, which is kept until this ends with 0.
#
# Where the repository is away and more pieces wait than may, the oldest is dropped, so that the volume does not fill. pgBackRest
# has a bound of its own, but looks only when an attempt has ended, which may have thousands of pieces to fail with.
set -eu
stanza=$1 most=$2 path=$3

# Histories are small, and nobody finds the way past a promotion without them.
case $path in
*.history) ;;
*)
    set -- pg_wal/archive_status/*.ready
    if [ $# -gt "$most" ]; then
        echo "more than $most pieces of the log wait for the repository: $path is dropped, and a new backup closes the gap" >&2
        exit 0
    fi
    ;;
esac
exec pgbackrest --stanza="$stanza" archive-push "$path"
