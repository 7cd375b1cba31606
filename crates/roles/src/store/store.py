#!/usr/bin/python3
"""store VERB: what a member of the object store does to be one, and what it knows of the others.

The cluster's own records say what there is; nothing of that is kept elsewhere. Every verb may be cut off anywhere and be
called again. `check` changes nothing: it exits with 0 when there is nothing to do, and otherwise says what there is.
"""

import base64
import concurrent.futures
import hashlib
import hmac
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
import uuid

HOME = "/var/lib/ceph"
ETC = "/etc/ceph"
SETTINGS = f"{ETC}/bascule.json"
SECRET = f"{ETC}/bascule/cluster"
# The digest of what the OSD runs with.
STARTED = f"{HOME}/bascule-started"
# How objects are cut, which was settled when the first was.
SHAPE = f"{HOME}/bascule-shape"
DATA_POOL = "default.rgw.buckets.data"
INDEX_POOL = "default.rgw.buckets.index"
SMALL_POOLS = [
    ".rgw.root",
    "default.rgw.log",
    "default.rgw.control",
    "default.rgw.meta",
    "default.rgw.buckets.non-ec",
]


class Refused(Exception):
    """What a person has to know: the place, the reason."""


def settings():
    with open(SETTINGS) as file:
        return json.load(file)


# --- keys ---------------------------------------------------------------------------------------------------------------

CAPS = {
    "mon": {"mon": "allow *"},
    "admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
    "osd": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"},
    "mgr": {"mon": "allow profile mgr", "osd": "allow *"},
    "rgw": {"mon": "allow rw", "osd": "allow rwx", "mgr": "allow rw"},
}


def secret():
    with open(SECRET) as file:
        return file.read().strip().encode()


def derived(purpose):
    return hmac.new(secret(), purpose.encode(), hashlib.sha256)


def keyring(entity, kind):
    """An entity's part of a keyring. Its key follows from the store's secret: struct CryptoKey of Ceph, AES."""
    key = struct.pack("<HIIH", 1, 0, 0, 16) + derived(entity).digest()[:16]
    caps = "".join(f'\tcaps {of} = "{may}"\n' for of, may in CAPS[kind].items())
    return f"[{entity}]\n\tkey = {base64.b64encode(key).decode()}\n{caps}"


def put(path, text, mode=0o600, owner="ceph"):
    beside = f"{path}.new"
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    shutil.chown(beside, owner, owner)
    os.rename(beside, path)


def has(path, text):
    try:
        with open(path) as file:
            return file.read() == text
    except FileNotFoundError:
        return False


def shape(of):
    return f"{len(of['nodes'])} nodes of which {of['parity']} may be lost"


def keys(apply):
    of = settings()
    if os.path.exists(SHAPE) and not has(SHAPE, shape(of)):
        with open(SHAPE) as file:
            raise Refused(f"the store was made of {file.read()}, and cannot become one of {shape(of)}")
    for path, text in [
        (f"{ETC}/ceph.client.admin.keyring", keyring("client.admin", "admin")),
        (f"{ETC}/ceph.mon.keyring", keyring("mon.", "mon") + keyring("client.admin", "admin")),
    ]:
        if not has(path, text):
            if not apply:
                return f"{path} is not what follows from the store's secret"
            put(path, text)


def run(*argv):
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise Refused(f"{argv[0]} is not installed") from error
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1]
        raise Refused(f"{os.path.basename(argv[0])}: {last}")
    return done.stdout


def as_ceph(*argv):
    run(*argv, "--setuser", "ceph", "--setgroup", "ceph")


def on_volume():
    if not os.path.ismount(HOME):
        raise Refused(f"{HOME} is not the instance's volume: nothing is made beside it")


def made_whole(final, make):
    """A folder that is whole or not there: `make` fills one beside it."""
    on_volume()
    beside = os.path.join(os.path.dirname(final), "new")
    shutil.rmtree(beside, ignore_errors=True)
    os.makedirs(beside, mode=0o750)
    shutil.chown(beside, "ceph", "ceph")
    make(beside)
    os.rename(beside, final)


# --- what the monitors know ---------------------------------------------------------------------------------------------


class Cluster:
    """A conversation with the monitors."""

    ended = []

    def __init__(self, seconds=5):
        import rados

        self.rados = rados.Rados(
            conffile=f"{ETC}/ceph.conf",
            rados_id="admin",
            conf={"rados_mon_op_timeout": str(seconds), "client_mount_timeout": str(seconds)},
        )
        try:
            self.rados.connect(timeout=seconds)
        except rados.Error as error:
            raise Refused("no majority of the store's monitors answers") from error
        finally:
            # Its threads must have ended before the process does: they encrypt, and would find nothing to do it with.
            Cluster.ended.append(self.rados.shutdown)

    def raw(self, prefix, inbuf=b"", **arguments):
        command = json.dumps({"prefix": prefix, "format": "json", **arguments})
        code, out, why = self.rados.mon_command(command, inbuf)
        if code != 0:
            raise Refused(f"{prefix}: {why or os.strerror(-code)}")
        return out

    def ask(self, prefix, **arguments):
        return json.loads(self.raw(prefix, **arguments))

    def all_at_once(self, *commands):
        """Changes that come together are agreed on together: one after the other, each takes a second."""
        with concurrent.futures.ThreadPoolExecutor(len(commands)) as threads:
            for change in [threads.submit(self.raw, prefix, **arguments) for prefix, arguments in commands]:
                change.result()

    def know(self, entity, kind):
        self.raw("auth import", inbuf=keyring(entity, kind).encode())


def quorum():
    own = settings()["own"]
    names = Cluster().ask("quorum_status")["quorum_names"]
    if own not in names:
        return f"the monitor of {own} is not among the majority: {', '.join(names)}"


def voice():
    """Whether the monitor takes part again, or so many are not there yet that none of them does."""
    of = settings()
    with concurrent.futures.ThreadPoolExecutor(len(of["members"])) as threads:
        listening = sum(threads.map(listens, of["members"].values()))
    if listening > len(of["members"]) // 2:
        return quorum()


def listens(address, port=3300):
    try:
        socket.create_connection((address, port), timeout=0.5).close()
    except OSError:
        return False
    return True


def mon(apply):
    of = settings()
    final = f"{HOME}/mon/ceph-{of['own']}"
    if os.path.exists(f"{final}/kv_backend"):
        return None
    if not apply:
        return "there is no monitor yet"
    on_volume()
    put(SHAPE, shape(of))

    def make(folder):
        monmap = "/run/ceph/monmap"
        os.makedirs("/run/ceph", exist_ok=True)
        members = [word for name, at in of["members"].items() for word in ("--addv", name, f"[v2:{at}:3300]")]
        run("monmaptool", "--create", "--clobber", "--fsid", of["fsid"], *members, monmap)
        shutil.copy(f"{ETC}/ceph.mon.keyring", "/run/ceph/mon.keyring")
        for path in (monmap, "/run/ceph/mon.keyring"):
            shutil.chown(path, "ceph", "ceph")
        try:
            as_ceph(
                "ceph-mon", "--mkfs", "-i", of["own"], "--mon-data", folder,
                "--monmap", monmap, "--keyring", "/run/ceph/mon.keyring",
            )  # fmt: skip
        finally:
            os.remove("/run/ceph/mon.keyring")

    made_whole(final, make)


# --- data ---------------------------------------------------------------------------------------------------------------


def number(of):
    return of["nodes"].index(of["own"])


def osd_folder(of):
    return f"{HOME}/osd/ceph-{number(of)}"


def osd(apply):
    of = settings()
    final = osd_folder(of)
    if os.path.exists(f"{final}/ready"):
        return None
    if not apply:
        return "the node keeps no data yet"
    on_volume()
    cluster, own = Cluster(), number(of)
    known = {one["osd"]: one for one in cluster.ask("osd dump")["osds"]}
    if own in known:
        # Another disk had this number, which is empty or gone.
        cluster.raw("osd down", ids=[str(own)])
        cluster.raw("osd destroy-actual", id=own, yes_i_really_mean_it=True)
    entity, identity = f"osd.{own}", str(uuid.uuid4())
    cluster.raw("osd new", uuid=identity, id=own)
    cluster.know(entity, "osd")

    def make(folder):
        # BlueStore has digests of its own; a file system that copies on write would scatter the file.
        subprocess.run(["chattr", "+C", folder], stderr=subprocess.DEVNULL, check=False)
        put(f"{folder}/keyring", keyring(entity, "osd"))
        as_ceph(
            "ceph-osd", "--mkfs", "-i", str(own), "--osd-data", folder, "--osd-uuid", identity,
            "--osd-objectstore", "bluestore", "--no-mon-config",
        )  # fmt: skip

    made_whole(final, make)


def grow():
    """Before an OSD starts: gives it the room that its volume has by now."""
    of = settings()
    block = f"{osd_folder(of)}/block"
    # By what BlueStore knows of it: the file may have grown in a start that was cut off.
    label = json.loads(run("ceph-bluestore-tool", "show-label", "--dev", block))[block]
    if label["size"] < of["data_bytes"]:
        os.truncate(block, max(os.path.getsize(block), of["data_bytes"]))
        as_ceph("ceph-bluestore-tool", "bluefs-bdev-expand", "--path", osd_folder(of))


def may_stop():
    """Whether the OSD may be restarted, where it has to be: only while no object lacks a part."""
    of = settings()
    if state_of(number(of)) is None or has(STARTED, read_at_start()):
        return None
    return unclean(Cluster(), of)


def read_at_start():
    """The digest of what an OSD reads when it starts."""
    digest = hashlib.sha256()
    for path in (f"{ETC}/ceph.conf", "/etc/systemd/system/ceph-osd@.service.d/bascule.conf"):
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def started(apply):
    """Notes what the OSD runs with, once it was seen to run: a restart of its own accord does not count."""
    if has(STARTED, read_at_start()):
        return None
    if not apply:
        return "it is not noted what it runs with"
    put(STARTED, read_at_start())


def unclean(cluster, of):
    """Why not all placement groups are active+clean; the word HEALTH_OK may be said before they are known."""
    osds = {one["osd"]: one for one in cluster.ask("osd dump")["osds"]}
    up = sum(one["up"] for one in osds.values())
    if up < len(of["nodes"]):
        return f"{up} of {len(of['nodes'])} nodes keep data"
    groups = cluster.ask("pg dump", dumpcontents=["pgs"])["pg_stats"]
    clean = sum(is_clean(group, osds) for group in groups)
    if not groups or clean < len(groups):
        return f"{clean} of {len(groups)} placement groups are active+clean"


def is_clean(group, osds):
    """By a word from after the last start of each of its OSDs: what is told of it may be some seconds old."""
    states = set(group["state"].split("+"))
    theirs = [osds[one]["up_from"] for one in group["up"] if one in osds]
    heard = len(theirs) == len(group["up"]) and int(group["reported_epoch"]) >= max(theirs)
    return heard and {"active", "clean"} <= states and not {"stale", "inconsistent"} & states


def up():
    """Whether the node keeps data, by its own word: that of the monitors may be from before a restart."""
    state = state_of(number(settings()))
    return None if state == "active" else f"it is {state}" if state else "it does not answer"


def state_of(own):
    """What an OSD of this machine says that it is; nothing, where it does not run."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(2)
            line.connect(f"/run/ceph/ceph-osd.{own}.asok")
            line.sendall(b'{"prefix": "status"}\0')
            with line.makefile("rb") as answer:
                state = json.loads(answer.read(int.from_bytes(answer.read(4))))["state"]
    except OSError:
        return None
    except ValueError:
        # Between two states it has nothing to say.
        return "between two states"
    return state


def whole():
    """Whether all parts of all objects are where they belong; nothing to wait for while another node is away."""
    of = settings()
    cluster = Cluster()
    status = cluster.ask("status")
    if status["osdmap"]["num_up_osds"] == len(of["nodes"]) and status["pgmap"]["num_pgs"] > 0:
        return unclean(cluster, of)


def known(apply, kind, folder, entity, missing):
    """A part that keeps nothing but its own key, by which the others know it."""
    path = f"{HOME}/{folder}/keyring"
    if has(path, keyring(entity, kind)):
        return None
    if not apply:
        return missing
    on_volume()
    Cluster().know(entity, kind)
    os.makedirs(os.path.dirname(path), mode=0o750, exist_ok=True)
    shutil.chown(os.path.dirname(path), "ceph", "ceph")
    put(path, keyring(entity, kind))


def mgr(apply):
    own = settings()["own"]
    return known(apply, "mgr", f"mgr/ceph-{own}", f"mgr.{own}", "there is no manager yet")


def complete(pools, data):
    names = {*SMALL_POOLS, INDEX_POOL, DATA_POOL}
    in_use = all("rgw" in pools[name]["application_metadata"] for name in names & set(pools))
    return names <= set(pools) and in_use and pools[DATA_POOL]["min_size"] == data


def pools(apply):
    of = settings()
    cluster = Cluster(30 if apply else 5)
    there = {pool["pool_name"]: pool for pool in cluster.ask("osd dump")["pools"]}
    nodes, parity = len(of["nodes"]), of["parity"]
    data = nodes - parity
    if complete(there, data):
        return None
    if not apply:
        return "there are no pools yet"
    deadline = time.monotonic() + 240
    while (up := cluster.ask("osd stat")["num_up_osds"]) < nodes:
        print(f"{up} of {nodes} nodes keep data", flush=True)
        if time.monotonic() > deadline:
            raise Refused(f"only {up} of {nodes} nodes keep data: the store is made when all do")
        time.sleep(0.5)
    profile = [f"k={data}", f"m={parity}", "plugin=isa", "technique=reed_sol_van", "crush-failure-domain=host"]
    cluster.raw("osd erasure-code-profile set", name="bascule", profile=profile)
    # The copies of what is small: as many as may be lost, and two, without which nothing is written.
    copies = {"pool_type": "replicated", "size": parity + 2}
    parts = {"pool_type": "erasure", "erasure_code_profile": "bascule"}
    # What Ceph's documents call for is about 100 parts of placement groups on each node.
    wanted = [(name, 4, copies) for name in SMALL_POOLS] + [(INDEX_POOL, 16, copies), (DATA_POOL, 32, parts)]
    cluster.all_at_once(
        *(
            ("osd pool create", {"pool": name, "pg_num": groups, "pgp_num": groups, "yes_i_really_mean_it": True, **kind})
            for name, groups, kind in wanted
            if name not in there
        )
    )
    cluster.all_at_once(
        *(("osd pool application enable", {"pool": name, "app": "rgw"}) for name, *_ in wanted),
        ("osd pool set", {"pool": DATA_POOL, "var": "min_size", "val": str(data)}),
    )


# --- the gateway --------------------------------------------------------------------------------------------------------


def gateway(apply):
    own = settings()["own"]
    return known(apply, "rgw", f"radosgw/ceph-rgw.{own}", f"client.rgw.{own}", "there is no gateway yet")


def drain():
    """Before a gateway stops: nothing new comes in, and what has come ends."""
    port = settings()["gateway_port"]
    rules = (
        "table inet bascule-drain { chain input { type filter hook input priority -10;"
        f" tcp dport {port} ct state new reject with tcp reset; }}; }}"
    )
    run("nft", rules)
    for _ in range(300):
        if not run("ss", "--no-header", "--tcp", "--numeric", "state", "established", f"sport = :{port}").strip():
            return
        time.sleep(0.1)


def ready():
    """Whether the first node has made what gateways need."""
    of = settings()
    there = {pool["pool_name"]: pool for pool in Cluster().ask("osd dump")["pools"]}
    if not complete(there, len(of["nodes"]) - of["parity"]):
        return "the first node has not made the pools yet"


# --- status -------------------------------------------------------------------------------------------------------------


def may_lose(of, status):
    """How many nodes more; none, while objects lack other parts than those of nodes that are away, or cannot be had at all."""
    if inactive(status["pgmap"]):
        return 0
    away = len(of["nodes"]) - status["osdmap"]["num_up_osds"]
    groups = status["pgmap"]
    lacks_others = groups.get("degraded_objects", 0) > groups.get("num_objects", 0) * away
    return 0 if lacks_others else max(of["parity"] - away, 0)


def inactive(groups):
    """How many placement groups can be neither read nor written."""
    return sum(state["count"] for state in groups["pgs_by_state"] if "active" not in state["state_name"].split("+"))


def seen(of, cluster):
    """The store as its members see it, and how whole it is."""
    status, dump, df = cluster.ask("status"), cluster.ask("osd dump"), cluster.ask("df")
    groups = status["pgmap"]
    voices = cluster.ask("quorum_status")["quorum_names"]
    osds = {one["osd"]: one for one in dump["osds"]}
    stats = cluster.ask("pg dump", dumpcontents=["osds"])["osd_stats"]
    repaired = {one["osd"]: one.get("num_shards_repaired", 0) for one in stats}
    used = {one["id"]: one for one in cluster.ask("osd df")["nodes"]}
    data = next((pool["stats"] for pool in df["pools"] if pool["name"] == DATA_POOL), {})
    nodes = []
    for member in of["members"]:
        node = {"name": member, "votes": member in voices}
        if member in of["nodes"]:
            own = of["nodes"].index(member)
            node |= {
                "keeps_data": bool(osds.get(own, {}).get("up")),
                "bytes_total": used.get(own, {}).get("kb", 0) * 1024,
                "bytes_used": used.get(own, {}).get("kb_used", 0) * 1024,
                "parts_repaired": repaired.get(own, 0),
            }
        nodes.append(node)
    return {
        "nodes": nodes,
        "bytes_used": data.get("stored", 0),
        "bytes_free": data.get("max_avail", 0),
        "objects": data.get("objects", 0),
        "may_lose": may_lose(of, status),
        "parts_missing": groups.get("degraded_objects", 0),
        "parts_misplaced": groups.get("misplaced_objects", 0),
        "objects_unfound": groups.get("unfound_objects", 0),
        "groups_inactive": inactive(groups),
        "recovering_bytes_per_s": groups.get("recovering_bytes_per_sec", 0),
        "groups": {state["state_name"]: state["count"] for state in groups["pgs_by_state"]},
        "checks": {name: check["summary"]["message"] for name, check in status["health"]["checks"].items()},
    }


def status():
    print(json.dumps(seen(settings(), Cluster(10))))


# What node_exporter serves beside its own: of the member itself, which it knows without the others, and of the store.
METRICS = "/var/lib/prometheus/node-exporter/store.prom"


def metrics():
    of = settings()
    lines = []

    def tell(name, what, values, kind="gauge"):
        lines.extend([f"# HELP bascule_store_{name} {what}", f"# TYPE bascule_store_{name} {kind}"])
        lines.extend(f"bascule_store_{name}{labels} {float(value):.0f}" for labels, value in values)

    parts = {"monitor": listens(of["members"][of["own"]])}
    if of["own"] in of["nodes"]:
        parts |= {"data": up() is None, "gateway": listens(of["members"][of["own"]], of["gateway_port"])}
    tell("part_up", "1 while this part of the member works.", [(f'{{part="{name}"}}', is_up) for name, is_up in parts.items()])
    told, answers = None, False
    try:
        cluster = Cluster(10)
        answers = bool(cluster.ask("quorum_status"))
        told = seen(of, cluster)
    except Refused as refused:
        print(refused)
    tell("majority", "1 while a majority of the monitors answers this member.", [("", answers)])
    if told:
        nodes = [node for node in told["nodes"] if "keeps_data" in node]
        each = [(f'{{node="{node["name"]}"}}', node) for node in nodes]
        tell("node_up", "1 while the node keeps data.", [(label, node["keeps_data"]) for label, node in each])
        tell("node_bytes", "Room for data on the node.", [(label, node["bytes_total"]) for label, node in each])
        tell("node_used_bytes", "Room that is taken on the node.", [(label, node["bytes_used"]) for label, node in each])
        what = "Parts of objects that were wrong on the node's disk and were made anew, since it started."
        tell("node_parts_repaired_total", what, [(label, node["parts_repaired"]) for label, node in each], "counter")
        members = [(f'{{member="{node["name"]}"}}', node["votes"]) for node in told["nodes"]]
        tell("member_votes", "1 while the member is one of the majority.", members)
        for name, what in [
            ("may_lose", "How many nodes may be lost, beside those that are away."),
            ("bytes_used", "What objects hold."),
            ("bytes_free", "What can be written yet."),
            ("objects", "How many objects there are, as the store cuts them."),
            ("parts_missing", "Parts of objects that should be there and are not."),
            ("parts_misplaced", "Parts of objects that have to be moved."),
            ("objects_unfound", "Objects of which too few parts are left to read them."),
            ("groups_inactive", "Groups of objects that can be neither read nor written."),
            ("recovering_bytes_per_s", "How fast parts are made anew."),
        ]:
            tell(name, what, [("", told[name])])
    put(METRICS, "\n".join(lines) + "\n", mode=0o644, owner="root")


def main():
    made = {"keys": keys, "mon": mon, "osd": osd, "mgr": mgr, "pools": pools, "gateway": gateway, "started": started}
    looks = {
        "voice": voice, "quorum": quorum, "may-stop": may_stop, "up": up, "whole": whole, "ready": ready,
        "status": status, "metrics": metrics, "grow": grow, "drain": drain,
    }  # fmt: skip
    match sys.argv[1:]:
        case [verb, ("check" | "apply") as mode] if verb in made:
            why = made[verb](mode == "apply")
        case [verb] if verb in looks:
            why = looks[verb]()
        case _:
            print(f"usage: store {'|'.join(made)} check|apply, or store {'|'.join(looks)}", file=sys.stderr)
            return 2
    if why:
        print(why)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Refused as refused:
        sys.exit(f"store: {refused}")
    finally:
        for end in Cluster.ended:
            end()
