"""What Linux tells of network and power, from made-up trees of its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.host import Surroundings, surroundings_now

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
DEFAULT = "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
NEAR = "wlan0\t0001A8C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0\n"
OWN = "lo\t0000007F\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n"
NOWHERE6, ZERO6 = "00000000000000000000000000000000 00", "00000000000000000000000000000000"
OWN6 = (
    f"00000000000000000000000000000001 80 {NOWHERE6} {ZERO6} 00000000 00000002 00000000 80200001       lo\n"
)
BANNED6 = f"{NOWHERE6} {NOWHERE6} {ZERO6} ffffffff 00000001 00000000 00200200       lo\n"
DEFAULT6 = (
    f"{NOWHERE6} {NOWHERE6} fe800000000000000000000000000001 00000400 00000001 00000000 00450003     eth0\n"
)


def tree(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def supply(name: str, **files: str) -> dict[str, str]:
    return {f"sys/class/power_supply/{name}/{file}": f"{content}\n" for file, content in files.items()}


def battery(name: str, capacity: object, status: str = "Discharging", **more: str) -> dict[str, str]:
    return supply(name, type="Battery", capacity=str(capacity), status=status, **more)


@pytest.mark.parametrize(
    ("four", "six", "network"),
    [
        (None, None, "unknown"),
        (HEAD + DEFAULT + NEAR, None, "unknown"),
        (HEAD + DEFAULT, OWN6 + BANNED6, "unknown"),
        (HEAD, OWN6 + BANNED6 + DEFAULT6, "unknown"),
        (None, DEFAULT6, "unknown"),
        (HEAD + NEAR, "", "unknown"),  # perhaps the server stands in that network
        (HEAD, None, "none"),
        (HEAD, "", "none"),
        ("", "", "none"),
        (HEAD, OWN6 + BANNED6, "none"),
        (HEAD + OWN, OWN6, "none"),
        (None, OWN6 + BANNED6, "none"),
        (HEAD + "\n\n", "\n", "none"),
        (HEAD + OWN + DEFAULT, "", "unknown"),
    ],
)
def test_there_is_no_network_where_no_route_leaves_the_machine_and_else_nobody_knows(
    tmp_path, four, six, network
):
    tables = {"proc/net/route": four, "proc/net/ipv6_route": six}
    tree(tmp_path, {name: content for name, content in tables.items() if content is not None})
    assert surroundings_now(tmp_path) == Surroundings(network, None, None)


def test_a_folder_in_a_table_s_place_is_no_table(tmp_path):
    (tmp_path / "proc/net/route").mkdir(parents=True)
    assert surroundings_now(tmp_path).network == "unknown"


@pytest.mark.parametrize(
    ("files", "charge", "charging"),
    [
        ({}, None, None),
        (supply("AC", type="Mains", online="1"), None, None),
        (battery("BAT0", 57), 0.57, False),
        (battery("BAT0", 57, "Charging"), 0.57, True),
        (battery("BAT0", 100, "Full"), 1.0, True),
        (battery("BAT0", 80, "Not charging"), 0.8, True),  # fed, and held at a limit
        (battery("BAT0", 0), 0.0, False),
        (battery("BAT0", 104), 1.0, False),
        (battery("BAT0", 90) | battery("BAT1", 20), 0.2, False),
        (battery("BAT0", 90, "Charging") | battery("BAT1", 20), 0.2, False),
        (battery("BAT0", 90, "Full") | battery("BAT1", 20, "Charging"), 0.2, True),
        (battery("BAT0", 57) | supply("AC", type="Mains", online="0"), 0.57, False),
        (battery("mouse", 5, scope="Device"), None, None),
        (battery("BAT0", 57, scope="System") | battery("hidpp_battery_0", 5, scope="Device"), 0.57, False),
        (battery("BAT0", 57, "Charging") | battery("hidpp_battery_0", 5, scope="Device"), 0.57, True),
        (battery("BAT0", ""), None, None),
        (battery("BAT0", "full"), None, None),
        (battery("BAT0", -1), None, None),
        (battery("BAT0", "5.5"), None, None),
        (battery("BAT0", "half") | battery("BAT1", 30), 0.3, False),
        (supply("BAT0", type="Battery", status="Discharging"), None, None),
        (supply("BAT0", capacity="50", status="Discharging"), None, None),
        (supply("UPS", type="UPS", capacity="50", status="Discharging"), None, None),
        (battery("BAT0", 57, "Unknown"), 0.57, None),
        (battery("BAT0", 57, "charging"), 0.57, None),
        (battery("BAT0", 90, "Charging") | battery("BAT1", 20, "Unknown"), 0.2, None),
        (battery("BAT0", 90, "Unknown") | battery("BAT1", 20, "Full"), 0.2, None),
        (battery("BAT0", 57, "Charging") | battery("mouse", 5, "Unknown", scope="Device"), 0.57, True),
        (battery("BAT0", "half", "Unknown") | battery("BAT1", 30, "Charging"), 0.3, True),
    ],
)
def test_the_weakest_battery_of_the_machine_counts(tmp_path, files, charge, charging):
    assert surroundings_now(tree(tmp_path, files)) == Surroundings("unknown", charge, charging)


@pytest.mark.parametrize("status", ["Unknown", "", None])
def test_a_battery_that_does_not_say_whether_it_charges_is_not_taken_to_be_fed(tmp_path, status):
    files = battery("BAT0", 4)
    if status is None:
        del files["sys/class/power_supply/BAT0/status"]
    else:
        files |= supply("BAT0", status=status)
    found = surroundings_now(tree(tmp_path, files))
    assert (found.battery, found.charging) == (0.04, None)


@pytest.mark.parametrize("garbage", [b"\xff\xfe\0\x01", b"\0", b"\xb2", b"9" * 50, b"\n\n\n"])
def test_garbage_is_no_battery_and_breaks_nothing(tmp_path, garbage):
    folder = "sys/class/power_supply/BAT0"
    named = dict.fromkeys(("proc/net/route", "proc/net/ipv6_route", f"{folder}/capacity"), garbage)
    found = surroundings_now(tree(tmp_path, named | {f"{folder}/type": "Battery\n"}))
    assert found.network in ("unknown", "none")
    assert found.battery in (None, 1.0)


def test_links_to_devices_are_followed_as_linux_lays_them_out(tmp_path):
    device = tmp_path / "sys/devices/LNXSYSTM:00/power_supply/BAT0"
    for name, content in {"type": "Battery", "capacity": "42", "status": "Discharging"}.items():
        tree(device, {name: content + "\n"})
    (tmp_path / "sys/class/power_supply").mkdir(parents=True)
    (tmp_path / "sys/class/power_supply/BAT0").symlink_to(device)
    assert surroundings_now(tmp_path) == Surroundings("unknown", 0.42, False)


def test_this_machine_tells_something_that_makes_sense():
    found = surroundings_now()
    assert found.network in ("none", "unknown")
    assert found.battery is None or 0 <= found.battery <= 1
    assert found.charging is None or found.battery is not None
