#!/usr/bin/python3
"""pooler first|follow|write|ready|metrics, or pooler users check|apply: has the PgBouncer beside it use the node that may be written to, and no other.

The monitor announces each change of a state, and is asked twice a second besides. When it takes the primary's place away, the
pooler first leaves that node: queries wait, clients that are in the middle of one lose their connection (nobody can know what
became of it), and no connection to the node is left. Only then, and only when another node says that it may be written to, it
goes on there. Clients that were idle notice nothing.

Before a planned switchover somebody asks for a hold: queries wait, transactions end, and nobody loses anything.

Without the monitor nothing is promoted, so the pooler stays where it is; but it may be that the monitor is only out of its own
sight, so it asks the nodes themselves: the one that may be written to on the newest timeline is the primary.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import pwd
import re
import select
import sys
import threading
import time

import psycopg2

SETTINGS = "/etc/pgbouncer/bascule.json"
# Where it points now, which PgBouncer includes. On the disk, so that both may restart without the monitor.
DATABASES = "/var/lib/pgbouncer/databases.ini"
CHANNEL, HOLDS = "state", "bascule_hold"
# States in which a node is the primary, alone or with others.
WRITABLE = {"single", "wait_primary", "primary", "join_primary", "apply_settings"}
LOOK_S = 0.5
# Two checks of HAProxy that are right, and one that was under way.
FOUND_S = 3
USERS = "/var/lib/pgbouncer/users.txt"
HEALTH_PORT, HUNG_S = 6433, 2
# Where the pooler itself writes a row now and then.
CANARY = "postgres"
# Its age is how long ago one was kept.
KEPT = "/var/lib/pgbouncer/kept"
METRICS = "/var/lib/prometheus/node-exporter/pooler.prom"


def settings():
    with open(SETTINGS, encoding="utf-8") as file:
        of = json.load(file)
    of["databases"].append(CANARY)
    return of


def secret(name):
    with open(f"{os.environ.get('CREDENTIALS_DIRECTORY', '/etc/pgbouncer/credentials')}/{name}", encoding="utf-8") as file:
        return file.read().strip()


def connect(host, dbname, user, password, timeout_s=2, **more):
    connection = psycopg2.connect(
        host=host, dbname=dbname, user=user, password=password, connect_timeout=timeout_s,
        sslmode="verify-full", sslrootcert="/etc/bascule/authority.pem", application_name="bascule pooler",
        keepalives_idle=1, keepalives_interval=1, keepalives_count=2, tcp_user_timeout=2000, **more,
    )  # fmt: skip
    connection.autocommit = True
    return connection


class Console:
    """PgBouncer's own. Whoever is the same user there comes without a password."""

    def __init__(self):
        self.connection = None

    def ask(self, command):
        if self.connection is None:
            self.connection = psycopg2.connect(
                host="/run/pgbouncer", port=6432, dbname="pgbouncer", user="pgbouncer", connect_timeout=2
            )
            self.connection.autocommit = True
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(command)
                if cursor.description is None:
                    return []
                names = [column.name for column in cursor.description]
                return [dict(zip(names, row)) for row in cursor.fetchall()]
        except psycopg2.Error as error:
            if self.connection.closed:
                self.connection = None
                raise
            # It is paused already, or goes on already.
            if "already" in str(error) or "not paused" in str(error):
                return []
            raise

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Pool:
    """What PgBouncer does: it points at a node, and holds queries back or not."""

    def __init__(self, of):
        self.of = of
        self.console = Console()
        self.node, self.held, self.pausing = None, False, None

    def find_out(self):
        """What it does now: PgBouncer may have been started anew, and so may this program."""
        state = {row["key"]: row["value"] for row in self.console.ask("SHOW STATE")}
        self.node, self.held = pointed_at(), state.get("paused") == "yes"

    def pause(self):
        """Holds queries back. It is done when no connection to a node is left, which `empty` tells."""
        if self.pausing is not None and self.pausing.is_alive():
            return

        def until_empty():
            console = Console()
            try:
                console.ask("PAUSE")
            except psycopg2.Error as error:
                say(f"PgBouncer does not pause: {error}")
            finally:
                console.close()

        self.held = True
        self.pausing = threading.Thread(target=until_empty, daemon=True)
        self.pausing.start()

    def empty(self):
        """No connection to a node can carry anything any more. One that is only being made is closed before it is used."""
        servers = self.console.ask("SHOW SERVERS")
        return not [server for server in servers if server["database"] in self.of["databases"] and server["state"] != "new"]

    def cut(self):
        """Takes the connection from every client that waits for an answer: what became of its question, nobody knows."""
        for client in self.console.ask("SHOW CLIENTS"):
            if client["database"] in self.of["databases"] and client["link"]:
                try:
                    self.console.ask(f"KILL_CLIENT {client['id']}")
                except psycopg2.Error:
                    if self.console.connection is None:
                        raise

    def leave(self, why):
        """Nothing goes to the node any more, and nothing that went there is answered."""
        began = time.monotonic()
        self.pause()
        while not self.empty():
            self.cut()
            time.sleep(0.02)
        say(f"left {self.node}: {why} ({(time.monotonic() - began) * 1000:.0f} ms)")
        self.node = None

    def use(self, node):
        """Goes on with a node. There is no connection to another one."""
        point_at(self.of, node)
        self.console.ask("RELOAD")
        self.node = node
        self.resume()
        say(f"uses {node}")

    def resume(self):
        self.console.ask("RESUME")
        # A PAUSE that this has ended is answered by the next one only: nobody may wait for it.
        self.held, self.pausing = False, None


def pointed_at():
    try:
        with open(DATABASES, encoding="utf-8") as file:
            found = re.search(r"^; (\S+)$", file.read(), re.MULTILINE)
            return found[1] if found and found[1] != "None" else None
    except OSError:
        return None


def point_at(of, node):
    lines = ["; Written by the program `pooler`: the node that may be written to.", f"; {node}"]
    # A port that nobody has: PgBouncer starts, and holds everybody back until a primary is known.
    place = f"host={of['nodes'][node]} port=5432" if node else "host=127.0.0.1 port=1"
    lines += [f"{database} = {place} dbname={database}" for database in of["databases"]]
    with open(f"{DATABASES}.new", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"{DATABASES}.new", DATABASES)


class Monitor:
    """The monitor's record of nodes, and its word of each change."""

    def __init__(self, of):
        self.of = of
        self.connection = None
        self.said = None

    def listen(self):
        if self.connection is None:
            self.connection = connect(
                self.of["monitor"], "pg_auto_failover", "bascule_pooler", secret("pooler"),
                options="-c statement_timeout=2000",
            )  # fmt: skip
            with self.connection.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
                cursor.execute(f"LISTEN {HOLDS}")

    def lost(self, error):
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        why = first_line(error)
        if self.said != why:
            say(f"the monitor does not answer: {why}")
            self.said = why

    def seen(self, at, state):
        """The nodes that are the primary, those that may become it, and the hold that somebody asks for."""
        self.listen()
        self.connection.poll()
        self.connection.notifies.clear()
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT nodename, reportedstate::text, goalstate::text FROM pgautofailover.node"
            )
            nodes = {name: (reported, goal) for name, reported, goal in cursor.fetchall() if name in self.of["nodes"]}
            cursor.execute("SELECT bascule.seen(%s, %s, %s)", (self.of["own"], at, state))
            hold = cursor.fetchone()[0]
        self.said = None
        return nodes, hold

    def wait(self, timeout_s):
        """Until it says something, or for so long."""
        if self.connection is None:
            time.sleep(timeout_s)
        else:
            select.select([self.connection], [], [], timeout_s)


def alone(of):
    """The primary, as the nodes themselves tell: who may be written to, on the newest timeline."""
    found = {}
    for name, host in of["nodes"].items():
        try:
            connection = connect(host, "postgres", "bascule_pooler", secret("pooler"), timeout_s=1)
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SET statement_timeout = 1000")
                    cursor.execute(
                        "SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN 0 ELSE"
                        " ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END"
                    )
                    standby, timeline = cursor.fetchone()
                    if not standby:
                        found[name] = timeline
            finally:
                connection.close()
        except psycopg2.Error:
            pass
    newest = max(found.values(), default=None)
    primaries = [name for name, timeline in found.items() if timeline == newest]
    return primaries[0] if len(primaries) == 1 else None


def primary_of(nodes):
    """The one node that the monitor takes for the primary and that says so itself."""
    primaries = [name for name, (reported, goal) in nodes.items() if reported in WRITABLE and goal in WRITABLE]
    return primaries[0] if len(primaries) == 1 else None


class Health(http.server.BaseHTTPRequestHandler):
    """For load balancers: whether PgBouncer answered a moment ago. One that hangs does not, nor does one whose machine is frozen."""

    answered = 0.0

    def do_GET(self):
        self.send_response(200 if time.monotonic() - Health.answered < HUNG_S else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def follow():
    of = settings()
    pool, monitor = Pool(of), Monitor(of)
    server = http.server.ThreadingHTTPServer(("", HEALTH_PORT), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Thread(target=beat, daemon=True).start()
    while True:
        try:
            if pool.console.connection is None:
                pool.find_out()
            state = "held" if pool.held and pool.empty() else "on"
            try:
                nodes, hold = monitor.seen(pool.node, state)
            except (psycopg2.Error, OSError) as error:
                monitor.lost(error)
                nodes, hold = None, False
            step(of, pool, nodes, hold)
        except psycopg2.Error as error:
            say(f"PgBouncer does not answer: {first_line(error)}")
            pool.console.close()
            time.sleep(0.3)
            continue
        monitor.wait(LOOK_S)


def beat():
    """Asks PgBouncer all the time, on a connection of its own: what else is waited for says nothing of its health."""
    console = Console()
    while True:
        try:
            console.ask("SHOW VERSION")
            Health.answered = time.monotonic()
        except psycopg2.Error:
            console.close()
        time.sleep(LOOK_S)


def step(of, pool, nodes, hold):
    # A monitor that lost what it knew says nothing of who is the primary.
    if not nodes:
        primary = alone(of)
        if primary is None or primary == pool.node:
            if pool.held and pool.node:
                pool.resume()
            return
        if pool.node:
            pool.leave("another node is the primary, as it says itself")
        pool.use(primary)
        return
    primary = primary_of(nodes)
    if pool.node is None and not pool.held:
        pool.pause()
    if pool.node in nodes and nodes[pool.node][1] not in WRITABLE:
        pool.leave(f"the monitor has it become {nodes[pool.node][1]}")
    if primary and primary != pool.node:
        if pool.node:
            pool.leave(f"the primary is {primary}")
        pool.use(primary)
    elif hold and not pool.held:
        say("holds queries back for a switchover")
        pool.pause()
    elif not hold and pool.held and pool.node:
        pool.resume()
        say("goes on as before")


def first():
    """Before PgBouncer starts: points it at the primary, where somebody can tell, or where it was."""
    of = settings()
    os.makedirs(os.path.dirname(DATABASES), exist_ok=True)
    monitor, was = Monitor(of), pointed_at()
    try:
        monitor.listen()
        with monitor.connection.cursor() as cursor:
            cursor.execute("SELECT nodename, reportedstate::text, goalstate::text FROM pgautofailover.node")
            primary = primary_of({name: (reported, goal) for name, reported, goal in cursor.fetchall() if name in of["nodes"]})
    except psycopg2.Error:
        primary = alone(of) or (was if was in of["nodes"] else None)
    point_at(of, primary)


def users(apply):
    """Of each user what proves it, without the password: Postgres has the same, so that a pooler logs in by what clients prove."""
    names = {**settings()["users"], "bascule_pooler": "pooler"}
    lines = [f'"{user}" "{verifier(user, secret(file))}"' for user, file in sorted(names.items())]
    text = "\n".join(lines) + "\n"
    try:
        with open(USERS, encoding="utf-8") as file:
            if file.read() == text:
                return
    except OSError:
        pass
    if not apply:
        sys.exit("users have other passwords")
    owner = pwd.getpwnam("postgres")
    os.makedirs(os.path.dirname(USERS), exist_ok=True)
    os.chown(os.path.dirname(USERS), owner.pw_uid, owner.pw_gid)
    with open(os.open(f"{USERS}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chown(f"{USERS}.new", owner.pw_uid, owner.pw_gid)
    os.rename(f"{USERS}.new", USERS)


def verifier(user, password):
    """SCRAM-SHA-256 of a password, always the same; the program `postgres` makes it, too."""
    salt = hmac.new(password.encode(), f"bascule {user}".encode(), hashlib.sha256).digest()[:16]
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 4096)
    client = hmac.new(salted, b"Client Key", hashlib.sha256).digest()
    server = hmac.new(salted, b"Server Key", hashlib.sha256).digest()
    text = lambda value: base64.b64encode(value).decode()
    return f"SCRAM-SHA-256$4096:{text(salt)}${text(hashlib.sha256(client).digest())}:{text(server)}"


def lost():
    """Why a write through the pool is not kept, if so: one that Postgres only has on one node, contrary to what it should, is not."""
    of = settings()
    try:
        connection = psycopg2.connect(
            host="127.0.0.1", port=6432, dbname=CANARY, user="bascule_pooler", password=secret("pooler"), connect_timeout=5,
            sslmode="verify-full", sslrootcert="/etc/bascule/authority.pem",
        )  # fmt: skip
        connection.autocommit = True
        with connection.cursor() as cursor:
            # In one message: a switchover waits for whoever is in the middle of something.
            cursor.execute(
                "BEGIN; SET LOCAL statement_timeout = 5000; INSERT INTO bascule.canary (pooler, at) VALUES (%s, clock_timestamp())"
                " ON CONFLICT (pooler) DO UPDATE SET at = excluded.at; COMMIT",
                (of["own"],),
            )
    except psycopg2.Error as error:
        return first_line(error)
    warnings = [notice.strip() for notice in connection.notices if notice.startswith("WARNING")]
    return warnings[0] if warnings else None


def write():
    if why := lost():
        sys.exit(why)


def metrics():
    """For node_exporter: a write all the way. PgBouncer may answer its health check and have no way to the primary."""
    began = time.time()
    if why := lost():
        say(why)
    else:
        with open(KEPT, "w", encoding="utf-8"):
            os.utime(KEPT)
    last = os.stat(KEPT).st_mtime if os.path.exists(KEPT) else 0
    told = [
        ("writes", "1 while a write through the pooler is kept.", int(why is None)),
        ("write_seconds", "How long the last try took.", f"{time.time() - began:.3f}"),
        ("last_write_timestamp_seconds", "When the last write was kept.", f"{last:.0f}"),
    ]
    with open(f"{METRICS}.new", "w", encoding="utf-8") as file:
        for name, what, value in told:
            name = f"bascule_pooler_{name}"
            file.write(f"# HELP {name} {what}\n# TYPE {name} gauge\n{name} {value}\n")
    os.chmod(f"{METRICS}.new", 0o644)
    os.rename(f"{METRICS}.new", METRICS)


def ready():
    """Whether writes come through, and load balancers have had the time to find out that they do, before the next pooler restarts."""
    since = time.time() - os.stat("/run/pgbouncer/.s.PGSQL.6432").st_mtime
    if 0 <= since < FOUND_S:
        sys.exit("load balancers are just finding it")
    write()


def first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def say(text):
    print(text, flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["follow"]:
            follow()
        case ["first"]:
            first()
        case ["write"]:
            write()
        case ["ready"]:
            ready()
        case ["metrics"]:
            metrics()
        case ["users", ("check" | "apply") as mode]:
            users(mode == "apply")
        case _:
            print("usage: pooler first|follow|write|ready|metrics, or pooler users check|apply", file=sys.stderr)
            sys.exit(2)
