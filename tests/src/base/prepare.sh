# Before the first package: what dracut must find when it makes the initramfs.
mkdir -p "$1/usr/lib/ostree" "$1/usr/lib/dracut/dracut.conf.d"
cat >"$1/usr/lib/ostree/prepare-root.conf" <<'END'
# Debian 13 builds ostree without composefs.
[composefs]
enabled = no
END
cat >"$1/usr/lib/dracut/dracut.conf.d/90-ostree-image.conf" <<'END'
hostonly=no
reproducible=yes
add_dracutmodules+=" ostree systemd "
add_drivers+=" virtio_blk virtio_pci virtio_scsi virtiofs ext4 erofs overlay "
# Not dracut's own level, 15, which takes longer in each build that makes one.
compress="zstd -3"
END
