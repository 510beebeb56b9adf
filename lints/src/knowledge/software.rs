//! Where well-known programs keep what matters to an image.

use super::{NOVEMBER, Source, read};

/// Each container engine's directory of layers, relative to the root. What is directly in it is one.
pub const STORAGE: [(&str, Source); 6] = [
    (
        "var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots",
        read("containerd, docs/ops.md", NOVEMBER),
    ),
    (
        "var/lib/containers/storage/overlay",
        read("containers-storage.conf(5), graphroot", NOVEMBER),
    ),
    (
        "var/lib/containers/storage/vfs/dir",
        read("containers-storage.conf(5), graphroot", NOVEMBER),
    ),
    (
        "var/lib/docker/overlay2",
        read("dockerd(8), data-root", NOVEMBER),
    ),
    (
        "var/lib/docker/rootfs/overlayfs",
        read("a build by Docker 28.5, containerd image store", NOVEMBER),
    ),
    (
        "var/lib/docker/vfs/dir",
        read("dockerd(8), data-root", NOVEMBER),
    ),
];
