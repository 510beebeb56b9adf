#!/bin/sh
# Makes the packed modules of the tests: as a kernel's package packs them, and with the check that xz has by itself.
set -eu
cd "$(dirname "$0")"
module() {
    printf '\177ELF'
    seq 60000
    printf '\0license=GPL\0vermagic=6.12.0-1.x86_64 SMP preempt mod_unload \0name=acme\0'
    seq 1000
}
module | xz --check=crc32 --lzma2=dict=1MiB >crc32.ko.xz
module | xz --check=crc64 >crc64.ko.xz
