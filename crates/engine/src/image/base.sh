# shellcheck shell=sh
# Makes the Debian 13 base image as the two files of a split Incus image.
#
#   sh -s OUT_DIR [MIRROR] < base.sh     (root, with debootstrap and zstd)
#
# Leaves OUT_DIR/rootfs.tar.zst and OUT_DIR/meta.tar; each is written beside its place and renamed, meta.tar last, so
# that meta.tar stands for a whole image. Nothing in here belongs to a role: the image is a machine that boots, gets
# its address by DHCP, resolves names and can install packages.
set -eu

out=${1:?usage: sh -s OUT_DIR [MIRROR]}
suite=trixie
umask 022
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

main() {
    for tool in debootstrap zstd tar wget; do
        command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install debootstrap zstd tar wget"
    done
    [ "$(id -u)" = 0 ] || fail "debootstrap needs root"
    mkdir -p "$out"
    # A run that was killed leaves its folder; an hour is far more than one takes.
    find "$out" -maxdepth 1 -name '.base.*' -mmin +60 -exec rm -rf --one-file-system {} +
    work=$(mktemp -d "$out/.base.XXXXXX")
    trap 'rm -rf --one-file-system "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    root=$work/rootfs
    mirror=$(echo "${2:-$(apt_site debian)}" | sed 's,/*$,,')
    mirror=${mirror:-http://deb.debian.org/debian}
    security=$(security_mirror)

    say "installing Debian $suite from $mirror"
    bootstrap
    say "configuring"
    write_files
    choose_units
    forget_the_build
    say "packing"
    pack_rootfs
    pack_metadata
    say "done"
}

# Progress and errors are lines on standard error; the last one of a run that failed says why.
say() { echo "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# Where this machine itself gets the archive of that name from, so that a machine behind a mirror needs no setting.
apt_site() {
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null |
        sed -n "s,^\\(https*://.*/$1\\)/*\$,\\1,p" | head -n 1
}

# Mirrors carry security updates beside the archive, elsewhere, or not at all.
security_mirror() {
    for candidate in "$mirror-security" "$(apt_site debian-security)" http://deb.debian.org/debian-security; do
        [ -n "$candidate" ] || continue
        if wget -q --tries=2 --timeout=20 --spider "$candidate/dists/$suite-security/InRelease"; then
            echo "$candidate"
            return
        fi
    done
    fail "no mirror with security updates for $suite was reached beside $mirror"
}

bootstrap() {
    # minbase leaves these out: udev, without which networkd waits for ever for the link to be "initialised"; resolved,
    # dbus and the tools that the agent and a person at a prompt expect.
    packages=systemd,systemd-sysv,systemd-resolved,udev,dbus,ca-certificates,iproute2,iputils-ping,curl,netbase,procps,nftables
    # The exclusion has to be in place before the first package is unpacked.
    mkdir -p "$root/etc/dpkg/dpkg.cfg.d"
    cat >"$root/etc/dpkg/dpkg.cfg.d/bascule" <<'X'
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
# A container is made from its image again when it is lost: syncing every file of every package buys nothing.
force-unsafe-io
X
    # In a mount namespace of its own, so that what it mounts is gone with it, however it ends.
    if ! unshare --mount debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror" >"$work/debootstrap.log" 2>&1; then
        tail -q -n 20 "$root/debootstrap/debootstrap.log" "$work/debootstrap.log" >&2 2>/dev/null || true
        fail "debootstrap failed: $(sed -n 's/^E: //p' "$work/debootstrap.log" | head -n 1)"
    fi
    # debootstrap itself unpacks packages without dpkg's exclusions. Copyright files stay: licences ask for them.
    find "$root/usr/share/doc" -type f ! -name copyright -delete
    find "$root/usr/share/doc" -mindepth 1 -type d -empty -delete
    rm -rf "$root"/usr/share/man/* "$root"/usr/share/locale/*
}

write_files() {
    cat >"$root/etc/apt/sources.list" <<X
deb $mirror $suite main
deb $mirror $suite-updates main
deb $security $suite-security main
X
    # Known by its MAC, which Incus keeps for an instance; the name is the one Incus wrote; the bridge has no IPv6.
    cat >"$root/etc/systemd/network/10-eth0.network" <<'X'
[Match]
Name=eth0

[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no

[DHCPv4]
ClientIdentifier=mac
UseDomains=yes
UseHostname=no
X
    mkdir -p "$root/etc/systemd/resolved.conf.d"
    printf '[Resolve]\nLLMNR=no\nMulticastDNS=no\n' >"$root/etc/systemd/resolved.conf.d/bascule.conf"
    ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
}

choose_units() {
    in_root systemctl enable systemd-networkd.service systemd-resolved.service
    # What a container may not do (it would fail and leave the system "degraded") or has no use for.
    in_root systemctl mask \
        systemd-modules-load.service modprobe@configfs.service modprobe@drm.service modprobe@efi_pstore.service \
        modprobe@fuse.service systemd-udev-settle.service systemd-networkd-wait-online.service \
        systemd-journal-catalog-update.service console-getty.service getty.target \
        tmp.mount run-lock.mount dev-mqueue.mount dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount
    for timer in dpkg-db-backup fstrim e2scrub_all; do
        in_root systemctl disable "$timer.timer" || true
    done
    # Run at each boot and each `daemon-reload`, and take half of its time: for disks, consoles, TPMs and virtual machines.
    mkdir -p "$root/etc/systemd/system-generators"
    for generator in debug getty gpt-auto hibernate-resume run ssh system-update sysv tpm2; do
        ln -s /dev/null "$root/etc/systemd/system-generators/systemd-$generator-generator"
    done
}

# Removes what is of the build and not of the image, and does now what each first boot would do again.
forget_the_build() {
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/* \
        "$root"/var/log/bootstrap.log "$root"/var/log/dpkg.log "$root"/var/log/apt "$root"/var/log/alternatives.log
    rm -f "$root/etc/hostname" "$root/var/lib/dbus/machine-id"
    : >"$root/etc/machine-id"
    in_root ldconfig
    in_root journalctl --update-catalog || true
    in_root systemd-sysusers || true
    in_root /usr/lib/systemd/systemd-update-done || true
}

# Runs a command in the new root, quietly unless it fails.
in_root() {
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_OFFLINE=1 "$@" >"$work/in-root.log" 2>&1 && return
    status=$?
    cat "$work/in-root.log" >&2
    return "$status"
}

# Compressed lightly: measured on 2 cores, import and first launch take 0.3 s + 1.2 s, uncompressed 0.9 s + 1.2 s.
pack_rootfs() {
    tar -C "$root" --numeric-owner --xattrs --xattrs-include='*' -I "zstd -q -3 -T0" -cf "$work/rootfs.tar.zst" .
    mv -f "$work/rootfs.tar.zst" "$out/rootfs.tar.zst"
}

pack_metadata() {
    case $(uname -m) in
        x86_64 | aarch64) architecture=$(uname -m) ;;
        *) fail "unknown architecture $(uname -m)" ;;
    esac
    mkdir -p "$work/meta/templates"
    cat >"$work/meta/metadata.yaml" <<X
architecture: $architecture
creation_date: $(date +%s)
properties:
  os: Debian
  release: $suite
  description: Debian 13 ($suite) with systemd, made by Bascule
templates:
  /etc/hostname:
    when: [create, copy]
    template: hostname.tpl
  /etc/hosts:
    when: [create, copy]
    template: hosts.tpl
X
    echo '{{ container.name }}' >"$work/meta/templates/hostname.tpl"
    cat >"$work/meta/templates/hosts.tpl" <<'X'
127.0.0.1 localhost
127.0.1.1 {{ container.name }}
::1 localhost ip6-localhost ip6-loopback
X
    tar -C "$work/meta" --owner=0 --group=0 --numeric-owner -cf "$work/meta.tar" .
    mv -f "$work/meta.tar" "$out/meta.tar"
}

# The shell has read the whole script by now; what it runs must not read from where that came.
main "$@" </dev/null
