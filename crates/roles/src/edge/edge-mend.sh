#!/bin/sh
# edge-mend: forgets the chunks of an object that was replaced while the edge had some of them.
#
# nginx never sends chunks of two objects as one: it ends the transfer in the middle, and says so. It would do that again for the
# next one, until all of the old chunks are too old. Without them the next one is answered with the new object.
set -eu

journalctl --unit nginx --follow --lines 0 --output cat |
    sed --unbuffered -n 's/.*etag mismatch in slice response.*, subrequest: "\(\/[^"]*\)".*/\1/p' |
    while read -r path; do
        echo "$path was replaced: $(/usr/local/lib/bascule/edge-purge --only "$path") chunks forgotten"
    done
