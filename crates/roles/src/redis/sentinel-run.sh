#!/bin/sh
# sentinel-run QUORUM OWN: runs Sentinel with the platform's settings and what it knows itself: who the master is, since which
# decision, and who else is there. That it writes into its file as it learns it.
set -eu

quorum=$1
own=$2

folder=/var/lib/redis/sentinel
file=$folder/sentinel.conf
umask 077
mkdir -p "$folder"

known() {
    grep -E "^sentinel ($1)( |\$)" "$file" 2>/dev/null || true
}

users=/run/sentinel/users.acl
{
    echo "user default off resetpass -@all"
    for secret in "$CREDENTIALS_DIRECTORY"/*; do
        user=${secret##*/}
        case $user in
            member) may="&* +@all" ;;
            *) may="&* +auth +hello +ping +client +subscribe +psubscribe +unsubscribe +punsubscribe +role +sentinel|get-master-addr-by-name +sentinel|master +sentinel|masters +sentinel|replicas +sentinel|slaves +sentinel|sentinels" ;;
        esac
        echo "user $user on >$(cat "$secret") allchannels $may"
    done
} >"$users"

member=$(cat "$CREDENTIALS_DIRECTORY/member")
{
    cat /etc/redis/sentinel-bascule.conf
    echo "aclfile $users"
    echo "dir $folder"
    echo "sentinel sentinel-user member"
    echo "sentinel sentinel-pass $member"
    echo "sentinel announce-ip $own"
    known myid
    master=$(known monitor | awk '$3 == "main" { print $4; exit }')
    [ -z "$master" ] || {
        echo "sentinel monitor main $master 6379 $quorum"
        cat /etc/redis/sentinel-main.conf
        echo "sentinel auth-user main member"
        echo "sentinel auth-pass main $member"
        known 'config-epoch|leader-epoch|known-replica|known-sentinel'
    }
    known current-epoch
} >"$file.new"
sync "$file.new"
mv "$file.new" "$file"

exec redis-sentinel "$file"
