#!/bin/sh
# Install the Debian packages that tests and benchmarks use as oracles and image makers.
# Without root or apt the tests that need them are skipped, counted and named (failed, when CI is set).
set -eu
missing=""
while read -r program package; do
    command -v "$program" >/dev/null 2>&1 || [ -x "/sbin/$program" ] || [ -x "/usr/sbin/$program" ] || missing="$missing $package"
done <<'LIST'
qemu-img qemu-utils
qemu-system-x86_64 qemu-system-x86
swtpm swtpm
mke2fs e2fsprogs
debugfs e2fsprogs
mkfs.xfs xfsprogs
mkfs.btrfs btrfs-progs
mkfs.jfs jfsutils
mkntfs ntfs-3g
mkfs.fat dosfstools
mcopy mtools
sfdisk fdisk
sgdisk gdisk
vgcreate lvm2
mdadm mdadm
cryptsetup cryptsetup-bin
hivexsh libhivex-bin
mmdebstrap mmdebstrap
zstd zstd
xz xz-utils
cpio cpio
pg_createcluster postgresql
chromium chromium
xmllint libxml2-utils
grub-mkimage grub-common
npm npm
tmux tmux
mandoc mandoc
LIST
# firmware and GRUB's modules for UEFI, which no program stands for
[ -e /usr/share/OVMF/OVMF_VARS_4M.fd ] || missing="$missing ovmf"
[ -d /usr/lib/grub/x86_64-efi ] || missing="$missing grub-efi-amd64-bin"
if [ -z "$missing" ]; then
    :
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing:$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "not installed, tests that need them are skipped:$missing"
fi
# axe-core, which judges pages: the version and the hash that the lock names, from npm.
lock=tests/browser/package-lock.json
if command -v npm >/dev/null 2>&1 && ! cmp -s "$lock" .tools/axe/locked; then
    mkdir -p .tools/axe
    cp tests/browser/package.json "$lock" .tools/axe
    (cd .tools/axe && npm ci --ignore-scripts --no-audit --no-fund --silent) && cp "$lock" .tools/axe/locked
fi
