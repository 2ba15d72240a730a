"""On which file system a path lies, by the kernel's own list."""

from __future__ import annotations

import pytest

from sync_profiles.state.place import filesystem_at

MOUNTS = """\
overlay / overlay rw,relatime 0 0
proc /proc proc rw 0 0
/dev/sda1 /var ext4 rw 0 0
server:/export /var/lib nfs4 rw 0 0
//server/share /mnt/with\\040space cifs rw 0 0
tmpfs /var/lib/fast tmpfs rw 0 0
/dev/sdb1 /var/lib/fast xfs rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "overlay"),
        ("/home/x", "overlay"),
        ("/var", "ext4"),
        ("/variable", "overlay"),
        ("/var/lib/app", "nfs4"),
        ("/var/library", "ext4"),
        ("/mnt/with space/state", "cifs"),
    ],
)
def test_the_innermost_mount_decides(path, kind):
    assert filesystem_at(path, MOUNTS) == kind


def test_of_two_mounts_in_one_place_the_later_lies_on_top():
    assert filesystem_at("/var/lib/fast/x", MOUNTS) == "xfs"


def test_without_a_list_nothing_is_said():
    assert filesystem_at("/var", "") is None
