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
END
# Not dracut's own level, 15, which takes ten seconds longer in each build that makes one. Where dracut packs by 3cpio
# (from 109 on), the level alone counts.
cat >"$1/usr/lib/dracut/dracut.conf.d/10-quick.conf" <<'END'
compress="zstd -3"
compress_level_zstd=3
END
