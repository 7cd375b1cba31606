#!/bin/sh
# apt-lists: reads the archive's lists. Another apt that is at work (the daily timer's, or one that outlived its agent) is
# waited for, which apt does by itself for its other lock only.
set -eu

until said=$(apt-get --quiet update 2>&1); do
    case $said in
        *'Could not get lock'*) sleep 1 ;;
        *)
            echo "$said" >&2
            exit 1
            ;;
    esac
done
