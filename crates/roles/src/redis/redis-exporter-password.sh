#!/bin/sh
# redis-exporter-password OWN FILE: writes the password of the user `member` as the exporter reads it: it has no place among
# arguments.
set -eu

umask 077
printf '{"rediss://member@%s:6379": "%s"}\n' "$1" "$(cat "$CREDENTIALS_DIRECTORY/member")" >"$2"
