"""Flips one bit on this node's disk, within its part of an object. Arguments: the OSD's number, the end of the object's name."""

import json
import subprocess
import sys

number, name = sys.argv[1:]
folder = f"/var/lib/ceph/osd/ceph-{number}"


def tool(*argv):
    return subprocess.run(["ceph-objectstore-tool", "--data-path", folder, *argv], capture_output=True, text=True).stdout


subprocess.run(["systemctl", "stop", f"ceph-osd@{number}"], check=True)
try:
    for line in tool("--op", "list").splitlines():
        if json.loads(line)[1]["oid"].endswith(name):
            extents = json.loads(tool(line, "dump"))["onode"]["extents"]
            if extents:
                at = extents[0]["blob"]["extents"][0]["offset"] + 1000
                with open(f"{folder}/block", "r+b") as disk:
                    disk.seek(at)
                    was = disk.read(1)[0]
                    disk.seek(at)
                    disk.write(bytes([was ^ 0x10]))
                print(f"flipped a bit of byte {at}")
                break
    else:
        sys.exit(f"there is no part of {name}")
finally:
    subprocess.run(["systemctl", "start", f"ceph-osd@{number}"], check=True)
