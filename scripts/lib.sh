# What the scripts share. Sourced, never run.
# shellcheck shell=bash

# Locks, logs, and what is dear to make and may be thrown away.
readonly CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/bascule

say() { printf '%s: %s\n' "${0##*/}" "$*"; }

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

need_root() { [ "$(id -u)" = 0 ] || fail "$1 needs root: run this with sudo"; }

# Waits until no other run holds the lock NAME; it is held until this process ends. A child that is to outlive us has
# to close descriptor 9.
one_at_a_time() {
    mkdir -p "$CACHE"
    exec 9>"$CACHE/$1.lock"
    flock --nonblock 9 && return
    say "waiting for another run of it"
    flock --timeout 900 9 || fail "another run has held $CACHE/$1.lock for 15 minutes"
}

codename() { (. /etc/os-release && echo "${VERSION_CODENAME:-}"); }

# Debian's mirror as apt on this machine knows it.
debian_mirror() {
    local mirror
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m 1 '/debian/*$') ||
        fail "apt knows no Debian mirror on this machine; add one to /etc/apt/sources.list"
    echo "$mirror"
}

# Debian 12 has Incus, and a Go that is new enough, in backports only. They come from the mirror the machine already uses.
add_backports() {
    local mirror
    mirror=$(debian_mirror)
    say "adding bookworm-backports from $mirror"
    write_file /etc/apt/sources.list.d/bascule-backports.sources <<X
Types: deb
URIs: $mirror
Suites: bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
X
    apt_update
}

apt_update() { apt_retry update; }

# Installs what is missing of the named packages; options of apt-get may come first.
apt_install() {
    local options=() missing=() package
    while [[ ${1:-} == -* ]]; do
        options+=("$1" "$2")
        shift 2
    done
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    need_root "installing packages"
    say "installing ${missing[*]}"
    apt-cache show "${missing[@]}" >/dev/null 2>&1 || apt_update
    apt_retry install -y --no-install-recommends "${options[@]}" "${missing[@]}"
}

# Tried again because another apt may hold the lists or, on machines that clean up after themselves, may delete the
# archives that this one has just fetched.
apt_retry() {
    local log=$CACHE/apt.log try
    mkdir -p "$CACHE"
    for try in 1 2 3 4 5; do
        if DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" </dev/null >"$log" 2>&1; then
            return
        fi
        [ "$try" -lt 5 ] || break
        sleep "$((try * 2))"
        [ "$1" = update ] || apt-get -q update </dev/null >>"$log" 2>&1 || true
    done
    tail -n 20 "$log" >&2
    fail "apt-get $1 failed five times (the whole output: $log)"
}

# Standard input becomes the file, whole or not at all.
write_file() {
    cat >"$1.new"
    mv -f "$1.new" "$1"
}
