#!/bin/sh
# incus-pool check POOL | make POOL btrfs|zfs size SIZE|source SOURCE: whether Incus has the storage pool, or make it on a
# server that nobody has set up yet.
set -eu

verb=$1
pool=$2

has() { incus storage list --format csv | cut -d, -f1 | grep -Fqx -- "$pool"; }

case $verb in
    check)
        has || {
            echo "there is no storage pool $pool"
            exit 1
        }
        ;;
    make)
        others=$(incus storage list --format csv | cut -d, -f1 | paste -sd ' ')
        if [ -n "$others" ]; then
            echo "Incus was set up by somebody else, with the storage pools: $others. Name one of them in [incus] pool" >&2
            exit 1
        fi
        case $3:$4=$5 in
            zfs:*)
                [ -d /sys/module/zfs ] || modprobe zfs 2>/dev/null || {
                    echo "the kernel $(uname -r) has no zfs. Its module is built for kernels whose headers are" \
                        "installed: if this one is not Debian's newest, reboot into that; \`dkms status\` tells more." \
                        "In a container it is the machine below that has to load it" >&2
                    exit 1
                }
                incus storage create "$pool" zfs "$4=$5"
                ;;
            # The pool's own folder, on a file system that is btrfs already: its mount is the machine's.
            btrfs:source=/var/lib/incus/*)
                mkdir -p "${5%/*}"
                incus storage create "$pool" btrfs source="$5"
                ;;
            # A nested Incus needs to remove its own subvolumes.
            *)
                incus storage create "$pool" btrfs "$4=$5" \
                    btrfs.mount_options=user_subvol_rm_allowed,noatime,discard=async
                ;;
        esac
        ;;
esac
