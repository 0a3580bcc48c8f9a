# The laptop, first process of its own namespaces: lends a network to the machines, each in namespaces of its own.
# $1: the folder that all of them see as /mnt; $2: the last bytes of their addresses; $3…: folders that stay in /tmp.
set -eu
mount --bind "$1" /mnt
. /mnt/own.sh
numbers=$2
shift 2
own_tmp "$@"
own_home /mnt/laptop
ip link set lo up
ip link add bridge type bridge
ip addr add 10.77.0.1/24 dev bridge
ip link set bridge up
for number in $numbers; do
  unshare --pid --fork --kill-child --net --mount --mount-proc bash /mnt/machine.sh "$number" "$@" &
  until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.05; done
  ip link add "port$number" type veth peer name "card$number" netns $!
  ip link set "port$number" master bridge up
done
touch /mnt/network
sleep infinity
