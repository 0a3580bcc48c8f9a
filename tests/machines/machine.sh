# A machine, first process of its own namespaces: own /tmp, home, network and processes, and an sshd.
# $1: the last byte of its address; $2…: folders that stay in /tmp.
set -eu
. /mnt/own.sh
number=$1
shift
own_tmp "$@"
own_home "/mnt/machine$number"
mount -t tmpfs tmpfs /run
mkdir /run/sshd
until ip link set "card$number" up 2>/dev/null; do sleep 0.05; done
ip link set lo up
ip addr add "10.77.0.$number/24" dev "card$number"
ip route add default via 10.77.0.1 # never used; Ray looks for its own address by way of it
exec /usr/sbin/sshd -D -E "/mnt/machine$number/sshd.log" -f /mnt/sshd_config
