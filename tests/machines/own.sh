# own_tmp FOLDER…: an empty /tmp for this mount namespace, in which the folders given are still there.
own_tmp() {
  mkdir -p /mnt/tmp
  mount --rbind /tmp /mnt/tmp
  mount -t tmpfs tmpfs /tmp
  for folder in "$@"; do
    case $folder in /tmp/*)
      mkdir -p "$folder"
      mount --rbind "/mnt/tmp/${folder#/tmp/}" "$folder" ;;
    esac
  done
  umount --lazy /mnt/tmp
}

# own_home FOLDER: has root live there.
own_home() {
  mkdir -p "$1"
  sed "s|^\(root:.*\):/[^:]*:[^:]*$|\1:$1:/bin/bash|" /etc/passwd > "$1/passwd"
  mount --bind "$1/passwd" /etc/passwd
}
