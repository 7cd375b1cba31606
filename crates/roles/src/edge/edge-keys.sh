#!/bin/sh
# edge-keys signing|store check|apply: whether nginx goes by the key that the environment has now, or have it do so.
#
# The key that signed URLs until now is accepted for another day, since URLs that it signed are in the hands of players. So who
# learned a key can use it for a day after it was replaced; replaced twice, it is good for nothing at once.
set -eu

edge=/etc/nginx/edge
before_s=86400

usage() {
    echo "usage: edge-keys signing|store check|apply" >&2
    exit 2
}

# Each file has one thing a line, so that this program can read what it wrote.
current_signing() {
    printf '{"keys": [\n{"key": "%s"}\n' "$(base64 -w 0 "$given")"
}

# What signed URLs before; nothing, where nothing did.
previous_signing() {
    now=$(sed -n '2s/^{"key": "\([^"]*\)"}$/\1/p' "$keys" 2>/dev/null || true)
    if [ -n "$now" ] && [ "$now" != "$(base64 -w 0 "$given")" ]; then
        printf ',{"key": "%s", "until": %s}\n' "$now" "$(($(date +%s) + before_s))"
    else
        sed -n '3s/^,{"key": "[^"]*", "until": [0-9]*}$/&/p' "$keys" 2>/dev/null || true
    fi
}

# It comes as the file that clients of S3 read.
current_store() {
    id=$(of_store aws_access_key_id) || exit 1
    secret=$(of_store aws_secret_access_key) || exit 1
    printf '{\n"id": "%s", "secret": "%s"\n}\n' "$id" "$secret"
}

# Of its profile [default]; there may be others.
of_store() {
    value=$(sed -n "/^\[default\]/,/^\[[^d]/s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*\([A-Za-z0-9/+=_.-]*\)[[:space:]]*\$/\1/p" "$given" | head -n 1)
    [ -n "$value" ] || {
        echo "$given holds no $1" >&2
        exit 1
    }
    echo "$value"
}

# What nginx reads when it loads its configuration, in a file by itself.
whole() {
    "current_$kind"
    if [ "$kind" = signing ]; then
        previous_signing
        printf ']}\n'
    fi
}

is_current() {
    lines=$("current_$kind")
    [ "$(head -n "$(echo "$lines" | wc -l)" "$keys" 2>/dev/null)" = "$lines" ]
}

[ $# = 2 ] || usage
kind=$1
case $kind in
    signing | store) ;;
    *) usage ;;
esac
given=$edge/credentials/$kind
keys=$edge/$kind.json
# Of what nginx was last told to load: a run that was killed in between has to go on.
loaded=$edge/$kind.loaded

case $2 in
    check)
        is_current || {
            echo "nginx has another key than the environment, or none"
            exit 1
        }
        [ "$(sha256sum <"$keys")" = "$(cat "$loaded" 2>/dev/null)" ] || {
            echo "nginx was not told of the key"
            exit 1
        }
        ;;
    apply)
        umask 077
        is_current || {
            whole >"$keys.new"
            chown root:www-data "$keys.new"
            chmod 0640 "$keys.new"
            sync "$keys.new"
            mv "$keys.new" "$keys"
        }
        if systemctl --quiet is-active nginx && grep -q "$keys" /etc/nginx/nginx.conf; then
            systemctl reload nginx
        fi
        sha256sum <"$keys" >"$loaded"
        ;;
    *) usage ;;
esac
