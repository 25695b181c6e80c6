#!/bin/sh
# Make examples/demo.ova: a small but real Debian 12 machine - MBR, GRUB 2, ext4, Debian's cloud kernel,
# an initramfs with the EC2 drivers, busybox, Dropbear - that boots under any hypervisor. Two thirds of it are the kernel.
#
# Needs a Debian 12 with: apt-get, mke2fs, sfdisk, grub-pc-bin, cpio, zstd, qemu-utils. No root, no mounts.
set -eu
out=${1:-$(dirname "$0")/demo.ova}
out=$(realpath -m "$out")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ {print $2; exit}')
apt-get -o APT::Sandbox::User=root download -qq "$kernel" busybox-static base-files dropbear-bin libc6 libcrypt1 \
    libtomcrypt1 libtommath1 libgmp10 zlib1g
for deb in *.deb; do
    mkdir -p "x/${deb%%_*}"
    dpkg-deb -x "$deb" "x/${deb%%_*}"
done
version=${kernel#linux-image-}
modules=x/$kernel/lib/modules/$version

# --- root file system -------------------------------------------------------------------------------
mkdir -p root/boot/grub/i386-pc root/etc/network root/etc/dropbear root/bin root/sbin root/usr/sbin root/usr/lib \
    root/lib/x86_64-linux-gnu root/lib64 root/proc root/sys root/dev root/run root/tmp root/var/lib root/root
cp "x/$kernel/boot/vmlinuz-$version" "x/$kernel/boot/config-$version" root/boot/
cp x/base-files/usr/lib/os-release root/usr/lib/os-release
ln -s ../usr/lib/os-release root/etc/os-release
cp x/base-files/etc/debian_version root/etc/
cp x/busybox-static/bin/busybox root/bin/busybox
for applet in sh mount umount ls cat ip udhcpc ifup ifdown run-parts login getty hostname ps; do ln -s busybox "root/bin/$applet"; done
ln -s ../bin/busybox root/sbin/init
cp x/dropbear-bin/usr/sbin/dropbear root/usr/sbin/dropbear
find x -path '*x86_64-linux-gnu/*' -name '*.so.*' -exec cp -a {} root/lib/x86_64-linux-gnu/ \;
# The C library is a dozen files, of which these are needed.
find x/libc6 -name '*.so.*' -printf '%f\n' | while read -r name; do rm -f "root/lib/x86_64-linux-gnu/$name"; done
cp -a x/libc6/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 root/lib64/
cp -aL x/libc6/lib/x86_64-linux-gnu/libc.so.6 root/lib/x86_64-linux-gnu/
mkdir -p "root/lib/modules/$version"
cp "$modules"/modules.builtin "$modules"/modules.order root/lib/modules/"$version"/ 2>/dev/null || true

uuid=6f2ad9b0-5c5b-4b34-9e57-d2c1a7b3f001
echo demo > root/etc/hostname
printf 'UUID=%s / ext4 defaults 0 1\n' $uuid > root/etc/fstab
printf 'auto lo eth0\niface lo inet loopback\niface eth0 inet dhcp\n' > root/etc/network/interfaces
printf 'root:x:0:0:root:/root:/bin/sh\nadmin:x:1000:1000:admin:/home/admin:/bin/sh\n' \
    > root/etc/passwd
printf 'root:x:0:\nadmin:x:1000:\nnogroup:x:65534:\n' > root/etc/group
printf 'root:*:19700:0:99999:7:::\nadmin:*:19700:0:99999:7:::\n' > root/etc/shadow
# A key whose private half was thrown away: replace it to log in.
ssh-keygen -q -t ed25519 -N '' -C demo -f demo-key
install -D -m 600 demo-key.pub root/home/admin/.ssh/authorized_keys
mkdir -p root/etc/rc2.d root/etc/init.d root/var/empty root/usr/share/udhcpc
for when in if-pre-up if-up if-down if-post-down; do mkdir -p root/etc/network/$when.d; done
ln -s ../run root/var/run
cat > root/etc/init.d/ssh <<'INIT'
#!/bin/sh
# -R makes host keys at the first connection, -s and -w: no passwords, and not root
/usr/sbin/dropbear -R -s -w
INIT
chmod +x root/etc/init.d/ssh
ln -s ../init.d/ssh root/etc/rc2.d/S01ssh
ln -s ../bin/busybox root/sbin/udhcpc
cat > root/etc/inittab <<'INIT'
::sysinit:/bin/mount -o remount,rw /
::sysinit:/bin/hostname -F /etc/hostname
::sysinit:/bin/ifup -a
::sysinit:/etc/rc2.d/S01ssh
ttyS0::respawn:/bin/getty -L ttyS0 115200 vt100
INIT

# --- initramfs: the drivers that EC2's machines need --------------------------------------------------
mkdir -p init/bin init/lib/modules/"$version" init/proc init/sys init/dev init/newroot
cp x/busybox-static/bin/busybox init/bin/
for name in nvme nvme-core ena xen-blkfront xen-netfront ata_piix libata scsi_mod sd_mod crc16 \
    crc32c_generic crc-t10dif crct10dif_common t10-pi scsi_common; do
    found=$(find "$modules" -name "$name.ko" | head -1)
    [ -n "$found" ] && mkdir -p "init/${found#x/"$kernel"/}" && rmdir "init/${found#x/"$kernel"/}" &&
        cp "$found" "init/${found#x/"$kernel"/}"
done
depmod -b init "$version" 2>/dev/null || true
cat > init/init <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in nvme ena xen-blkfront xen-netfront ata_piix sd_mod; do /bin/busybox modprobe $module; done
/bin/busybox sleep 1
/bin/busybox mount -t ext4 "$(/bin/busybox findfs UUID=6f2ad9b0-5c5b-4b34-9e57-d2c1a7b3f001)" /newroot
for dir in proc sys dev; do /bin/busybox mount --move /$dir /newroot/$dir; done
exec /bin/busybox switch_root /newroot /sbin/init
INIT
chmod +x init/init
(cd init && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 | zstd -q -19) > "root/boot/initrd.img-$version"

cat > root/boot/grub/grub.cfg <<CFG
set default="0"
set timeout=1
insmod part_msdos
insmod ext2
search --no-floppy --fs-uuid --set=root $uuid
menuentry 'Debian GNU/Linux' {
    linux /boot/vmlinuz-$version root=UUID=$uuid ro console=ttyS0 net.ifnames=0
    initrd /boot/initrd.img-$version
}
CFG

# --- disk: MBR, GRUB in the gap, one bootable partition -------------------------------------------------
truncate -s 512M root.img
mke2fs -q -t ext4 -U $uuid -L root -E root_owner=0:0 -d root root.img
truncate -s 513M disk.raw
printf 'label: dos\nlabel-id: 0x76d61e01\nstart=2048, type=83, bootable\n' | sfdisk -q disk.raw
dd if=root.img of=disk.raw bs=1M seek=1 conv=notrunc,sparse status=none
grub=/usr/lib/grub/i386-pc
printf 'search.fs_uuid %s root\nset prefix=($root)/boot/grub\nnormal\n' $uuid > early.cfg
grub-mkimage -O i386-pc -o core.img -c early.cfg -p /boot/grub biosdisk part_msdos ext2 search search_fs_uuid normal linux
# boot.img's code before the partition table; core.img after the MBR, where boot.img looks for it (sector 1).
dd if=$grub/boot.img of=disk.raw bs=1 count=440 conv=notrunc status=none
dd if=core.img of=disk.raw bs=512 seek=1 conv=notrunc status=none
# core.img's first sector lists where the rest of it is: sector 2, as many as it has, to be loaded at 0x820.
sectors=$(( ($(stat -c %s core.img) + 511) / 512 - 1 ))
printf '\002\000\000\000\000\000\000\000' | dd of=disk.raw bs=1 seek=$((512 + 500)) conv=notrunc status=none
printf "\\$(printf %o $((sectors % 256)))\\$(printf %o $((sectors / 256)))\\040\\010" |
    dd of=disk.raw bs=1 seek=$((512 + 508)) conv=notrunc status=none

# --- OVA ------------------------------------------------------------------------------------------------
qemu-img convert -q -O vmdk -o subformat=streamOptimized disk.raw demo-disk1.vmdk
bytes=$(stat -c %s demo-disk1.vmdk)
cat > demo.ovf <<OVF
<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
 xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References><File ovf:href="demo-disk1.vmdk" ovf:id="file1" ovf:size="$bytes"/></References>
  <DiskSection><Info>Disks</Info>
    <Disk ovf:capacity="513" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="vmdisk1" ovf:fileRef="file1"
     ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
  <NetworkSection><Info>Networks</Info><Network ovf:name="VM Network"/></NetworkSection>
  <VirtualSystem ovf:id="demo"><Info>A small Debian</Info><Name>demo</Name>
    <OperatingSystemSection ovf:id="96"><Info>The guest</Info><Description>Debian GNU/Linux 12 (64-bit)</Description></OperatingSystemSection>
    <VirtualHardwareSection><Info>Hardware</Info>
      <System><vssd:ElementName>Virtual Hardware Family</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>demo</vssd:VirtualSystemIdentifier><vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType></System>
      <Item><rasd:ElementName>1 CPU</rasd:ElementName><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>1</rasd:VirtualQuantity></Item>
      <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ElementName>512 MB</rasd:ElementName><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>512</rasd:VirtualQuantity></Item>
      <Item><rasd:Address>0</rasd:Address><rasd:ElementName>SCSI Controller 0</rasd:ElementName><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>lsilogic</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:ElementName>Hard disk 1</rasd:ElementName><rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>7</rasd:AddressOnParent><rasd:Connection>VM Network</rasd:Connection><rasd:ElementName>Network adapter 1</rasd:ElementName><rasd:InstanceID>5</rasd:InstanceID><rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
OVF
{ for file in demo.ovf demo-disk1.vmdk; do printf 'SHA256(%s)= %s\n' $file "$(sha256sum $file | cut -d' ' -f1)"; done; } > demo.mf
tar --format=ustar --owner=0 --group=0 --mtime=@1700000000 -cf "$out" demo.ovf demo.mf demo-disk1.vmdk
ls -l "$out"
for deb in *.deb; do dpkg-deb -f "$deb" Package Version Source; echo; done
