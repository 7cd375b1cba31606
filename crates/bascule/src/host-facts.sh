# What has to be known of a host before planning, one KEY=VALUE a line.
. /etc/os-release
echo "id=$ID"
echo "version=${VERSION_ID%%.*}"
if systemd-detect-virt --quiet --container; then echo container=yes; fi
echo "operator=${SSH_CONNECTION%% *}"
card=$(ip -4 route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
if [ -n "$card" ]; then echo "mtu=$(cat "/sys/class/net/$card/mtu")"; fi
echo "kernel=$(uname -r)"
archive=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null |
    sed -n 's,^\(https*://.*/debian\)/*$,\1,p' | head -n 1)
echo "archive=${archive:-http://deb.debian.org/debian}"
