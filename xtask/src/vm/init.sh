#!/bin/busybox sh
# PID 1 of the guest: mounts what a host has; a script follows, and the end.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing
mount -t securityfs securityfs /sys/kernel/security
mount -t tmpfs run /run
ip link set lo up
echo "guest: kernel $(uname -r)"
