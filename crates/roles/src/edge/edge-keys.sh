#!/bin/sh
# edge-keys check|apply: whether nginx has the keys that the environment has now, or write them for it.
#
# The key that signed URLs until now is accepted for another day, since URLs that it signed are in the hands of players. So who
# learned a key can use it for a day after it was replaced; replaced twice, it is good for nothing at once.
set -eu

signing=/etc/nginx/edge/credentials/signing
store=/etc/nginx/edge/credentials/store
# One thing a line: this program reads what it wrote.
keys=/etc/nginx/edge/keys.json
before_s=86400

# The store's key comes as the file that its clients read.
of_store() {
    value=$(sed -n "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*\([A-Za-z0-9/+=_.-]*\)[[:space:]]*\$/\1/p" "$store")
    [ -n "$value" ] || {
        echo "$store holds no $1" >&2
        exit 1
    }
    echo "$value"
}

current() {
    printf '"store": {"id": "%s", "secret": "%s"},\n' "$(of_store aws_access_key_id)" "$(of_store aws_secret_access_key)"
    printf '"signing": [\n'
    printf '{"key": "%s"}\n' "$(base64 -w 0 "$signing")"
}

# The same lines of the file as it is.
written() {
    sed -n '2,4p' "$keys" 2>/dev/null || true
}

# What signs URLs now comes first; what did so before it, with its end.
previous() {
    now=$(sed -n '4s/^{"key": "\([^"]*\)"}$/\1/p' "$keys" 2>/dev/null || true)
    if [ -n "$now" ] && [ "$now" != "$(base64 -w 0 "$signing")" ]; then
        printf ',{"key": "%s", "until": %s}\n' "$now" "$(($(date +%s) + before_s))"
    else
        sed -n '5s/^,{"key": "[^"]*", "until": [0-9]*}$/&/p' "$keys" 2>/dev/null || true
    fi
}

case ${1-} in
    check)
        [ "$(current)" = "$(written)" ] || {
            echo "nginx has other keys than the environment, or none"
            exit 1
        }
        ;;
    apply)
        umask 077
        {
            echo '{'
            current
            previous
            printf ']\n}\n'
        } >"$keys.new"
        chown root:www-data "$keys.new"
        chmod 0640 "$keys.new"
        sync "$keys.new"
        mv "$keys.new" "$keys"
        ;;
    *)
        echo "usage: edge-keys check|apply" >&2
        exit 2
        ;;
esac
