# Written by Bascule. What a person makes is not for everybody to read, leaves no core dump, and a shell that was left
# alone closes itself.
umask 027
ulimit -c 0
TMOUT=900
readonly TMOUT
export TMOUT
