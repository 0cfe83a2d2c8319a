"""What the platform tells of limits and heat, from made-up `/proc` and `/sys`."""

from __future__ import annotations

import pytest

from edgeinfer.host import Thermal, processor_quota, thermal, usable_cpus


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V2 = "0::/app.slice/app.service\n"
V1 = "4:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n0::/\n"
CASES = [
    ({}, None),
    ({"proc/self/cgroup": V2}, None),
    ({"proc/self/cgroup": V2, "sys/fs/cgroup/app.slice/app.service/cpu.max": "max 100000\n"}, None),
    (
        {
            "proc/self/cgroup": V2,
            "sys/fs/cgroup/app.slice/app.service/cpu.max": "300000 100000\n",
            "sys/fs/cgroup/app.slice/cpu.max": "150000 100000\n",
        },
        1.5,
    ),
    # The group is mounted as the root of the container's hierarchy.
    ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5),
    (
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        2.0,
    ),
    (
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu/docker/ab/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu/docker/ab/cpu.cfs_period_us": "100000\n",
        },
        0.5,
    ),
    (
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu/docker/ab/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/docker/ab/cpu.cfs_period_us": "100000\n",
        },
        None,
    ),
    ({"proc/self/cgroup": "nonsense\n0::/../..\n", "sys/fs/cgroup/cpu.max": "1 0\n"}, None),
    ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "a b\n"}, None),
]


@pytest.mark.parametrize(("files", "cpus"), CASES)
def test_the_tightest_group_that_holds_the_process_counts(tmp_path, files, cpus):
    assert processor_quota(write(tmp_path, files)) == cpus


def test_this_machine_has_at_least_one_processor():
    assert usable_cpus() >= 1


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, Thermal(None, None)),
        (
            {
                "sys/class/thermal/thermal_zone0/temp": "41500\n",
                "sys/class/thermal/thermal_zone1/temp": "63250\n",
                "sys/class/thermal/thermal_zone2/temp": "broken\n",
            },
            Thermal(63.25, None),
        ),
        ({"sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "0\n"}, Thermal(None, False)),
        (
            {
                "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "0\n",
                "sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count": "3\n",
            },
            Thermal(None, True),
        ),
        # A Raspberry Pi that was throttled once (bit 18) and is not now; then one that is.
        ({"sys/devices/platform/soc/soc:firmware/get_throttled": "40000\n"}, Thermal(None, False)),
        ({"sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n"}, Thermal(None, True)),
    ],
)
def test_heat_is_read_where_the_platform_tells(tmp_path, files, expected):
    assert thermal(write(tmp_path, files)) == expected
