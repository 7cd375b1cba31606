#!/bin/bash
# edge-mend: forgets the chunks of an object that was replaced while the edge had some of them.
#
# nginx never sends chunks of two objects as one: it ends the transfer in the middle, and says so. It would do that again for the
# next one, until all of the old chunks are too old. Without them the next one is answered with the new object.
set -euo pipefail

# What nginx itself says, and not what it repeats of a client.
said='^[^"]*\[error\] [0-9#]*: \*[0-9]* etag mismatch in slice response'

journalctl --unit nginx --follow --lines 0 --output cat |
    sed --unbuffered -n "s/$said.*, subrequest: \"\\(\/[^\"]*\\)\".*/\\1/p" |
    while read -r path; do
        # All who listen to it meet it within a moment, and to look for chunks takes a look at every file.
        paths=$path
        end=$((SECONDS + 2))
        while ((SECONDS < end)) && read -r -t 1 path; do
            paths+=$'\n'$path
        done
        sort --unique <<<"$paths" | while read -r path; do
            echo "$path was replaced: $(/usr/local/lib/bascule/edge-purge --only "$path") chunks forgotten"
        done
    done
