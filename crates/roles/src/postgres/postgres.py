#!/usr/bin/python3
"""postgres VERB check|apply, or postgres VERB: makes a node or the monitor of pg_auto_failover, and looks how it is.

Who is the primary is the monitor's to decide, and nothing here says it. Nothing is reloaded or restarted while a state changes.
Without a problem it says nothing and ends with 0; otherwise it says why and ends with 1.
"""

import base64
import contextlib
import glob
import hashlib
import hmac
import json
import os
import pwd
import shutil
import subprocess
import sys
import threading
import time

import psycopg2
from psycopg2 import sql

HOME = "/var/lib/postgresql"
ETC = "/etc/postgresql/bascule"
SETTINGS = f"{ETC}/settings.json"
CREDENTIALS = f"{ETC}/credentials"
PASSFILE = f"{ETC}/passfile"
AUTHORITY = "/etc/bascule/authority.pem"
UNIT = "bascule-postgres.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
BIN = glob.glob("/usr/lib/postgresql/*/bin")[-1:]
# What it was last started with, beside what Postgres itself says.
STARTED = f"{HOME}/.bascule-started"
MONITOR_DB = "pg_auto_failover"
# What the program `restore` leaves until a formation has begun with it.
RESTORED = f"{HOME}/.bascule-restored"
RESTORED_UNIT = "bascule-restored.service"
PRIMARY = {"single", "wait_primary", "primary", "join_primary", "apply_settings"}
STABLE = {"single", "primary", "secondary"}
SCHEMA = """
CREATE SCHEMA IF NOT EXISTS bascule;
CREATE TABLE IF NOT EXISTS bascule.pooler (
    name text PRIMARY KEY, node text, state text NOT NULL, seen timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE IF NOT EXISTS bascule.hold (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, until timestamptz NOT NULL);
CREATE OR REPLACE FUNCTION bascule.seen(own text, at text, how text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = bascule, pg_temp AS $$
    INSERT INTO pooler AS p (name, node, state) VALUES (own, at, how)
    ON CONFLICT (name) DO UPDATE SET node = excluded.node, state = excluded.state, seen = clock_timestamp();
    SELECT EXISTS (SELECT FROM hold WHERE until > clock_timestamp());
$$;
REVOKE ALL ON FUNCTION bascule.seen FROM public;
GRANT USAGE ON SCHEMA pgautofailover TO bascule_pooler;
GRANT USAGE ON SCHEMA bascule TO bascule_pooler, autoctl_node;
GRANT EXECUTE ON FUNCTION bascule.seen TO bascule_pooler;
GRANT SELECT ON pgautofailover.node TO bascule_pooler;
GRANT SELECT ON bascule.pooler TO autoctl_node;
GRANT SELECT, INSERT, DELETE ON bascule.hold TO autoctl_node;
"""


class Refused(Exception):
    """Nothing was changed, and nothing will be, until a person has seen to it."""


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def settings():
    return json.loads(read(SETTINGS))


def pgdata(of):
    return f"{HOME}/{'data' if of['kind'] == 'node' else 'monitor'}"


def put(path, text, mode=0o600):
    """Whole or not at all, for the user postgres."""
    user = pwd.getpwnam("postgres")
    with open(os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chown(f"{path}.new", user.pw_uid, user.pw_gid)
    os.rename(f"{path}.new", path)


def has(path, text):
    try:
        return read(path) == text
    except OSError:
        return False


@contextlib.contextmanager
def as_postgres():
    """Postgres knows its own user by the socket."""
    before = os.geteuid()
    os.seteuid(pwd.getpwnam("postgres").pw_uid)
    try:
        yield
    finally:
        os.seteuid(before)


def local(database="postgres"):
    with as_postgres():
        connection = psycopg2.connect(host="/var/run/postgresql", dbname=database, user="postgres", connect_timeout=5)
    connection.autocommit = True
    return connection


def remote(host, database, user):
    # Nothing of root's own, which this user may not read.
    os.environ.update(PGPASSFILE=PASSFILE, HOME=HOME)
    with as_postgres():
        connection = psycopg2.connect(
            host=host, dbname=database, user=user, sslmode="verify-full", sslrootcert=AUTHORITY, connect_timeout=3,
            tcp_user_timeout=3000, keepalives_idle=2, keepalives_interval=1, keepalives_count=2,
        )  # fmt: skip
    connection.autocommit = True
    return connection


def monitor(of):
    return local(MONITOR_DB) if of["kind"] == "monitor" else remote(of["monitor"], MONITOR_DB, "autoctl_node")


def rows(connection, query, *values):
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall() if cursor.description else []


def nodes(connection):
    """Of this formation."""
    columns = ["name", "id", "host", "reported", "goal", "health", "running", "seen_s"]
    found = rows(
        connection,
        "SELECT nodename, nodeid, nodehost, reportedstate::text, goalstate::text, health, reportedpgisrunning,"
        " extract(epoch FROM clock_timestamp() - reporttime)::float8 FROM pgautofailover.node WHERE formationid = %s ORDER BY nodename",
        settings()["formation"],
    )
    return {row[0]: dict(zip(columns, row)) for row in found}


def autoctl(of, *arguments, timeout_s=60):
    """As the user postgres, whose home has what pg_auto_failover keeps."""
    command = ["runuser", "-u", "postgres", "--", "env", f"HOME={HOME}", f"PGPASSFILE={PASSFILE}",
               f"PATH={BIN[0]}:/usr/bin:/bin", "pg_autoctl", *arguments, "--pgdata", pgdata(of)]  # fmt: skip
    ended = subprocess.run(command, cwd=HOME, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False)
    if ended.returncode:
        last = [line for line in (ended.stdout + ended.stderr).splitlines() if line.strip()][-3:]
        raise Refused(f"pg_autoctl {' '.join(arguments[:2])}: {' | '.join(last)}")
    return ended.stdout


# --- what there is ---------------------------------------------------------------------------------------------------


def passfile(apply):
    """The passwords by which this machine comes to others, as libpq looks for them: none has to be in a URL."""
    of = settings()
    lines = [f"{of['monitor']}:5432:{MONITOR_DB}:autoctl_node:{read(f'{CREDENTIALS}/monitor').strip()}"]
    if of["kind"] == "node":
        lines.append(f"*:5432:*:pgautofailover_replicator:{read(f'{CREDENTIALS}/replication').strip()}")
    text = "\n".join(lines) + "\n"
    if not has(PASSFILE, text):
        if not apply:
            return "it has other passwords"
        put(PASSFILE, text)


def make(apply):
    of = settings()
    return make_node(of, apply) if of["kind"] == "node" else make_monitor(of, apply)


def is_made(of):
    return is_whole(of) and not os.path.exists(f"{HOME}/.bascule-making")


def is_whole(of):
    kept = f"{HOME}/.local/share/pg_autoctl{pgdata(of)}/pg_autoctl.state"
    whole = f"{HOME}/.config/pg_autoctl{pgdata(of)}/pg_autoctl.cfg"
    return os.path.exists(f"{pgdata(of)}/PG_VERSION") and os.path.exists(whole) and (of["kind"] == "monitor" or os.path.exists(kept))


def clear(of):
    """What a run left that was ended in the middle; there is nothing in it that anybody was told."""
    for path in (pgdata(of), f"{HOME}/backup"):
        shutil.rmtree(path, ignore_errors=True)
    clear_keeper()


def clear_keeper():
    for path in (f"{HOME}/.local/share/pg_autoctl", f"{HOME}/.config/pg_autoctl"):
        shutil.rmtree(path, ignore_errors=True)


def common(of):
    return ["--pgport", "5432", "--hostname", of["address"], "--skip-pg-hba", "--ssl-mode", "verify-full", "--ssl-ca-file", AUTHORITY,
            "--server-cert", f"{ETC}/tls.pem", "--server-key", f"{ETC}/tls.pem"]  # fmt: skip


def include(of):
    """The platform's settings come last, after those that pg_auto_failover writes."""
    line = f"include '{ETC}/postgres.conf'\n"
    path = f"{pgdata(of)}/postgresql.conf"
    text = read(path)
    if not text.endswith(line):
        put(path, text.replace(line, "") + line)


def made(of):
    for path in (f"{HOME}/.bascule-making", RESTORED):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


def checksums(of):
    """Of a server that is stopped, which pg_autoctl does not wait for."""
    command = ["runuser", "-u", "postgres", "--", f"{BIN[0]}/pg_checksums", "--enable", "--pgdata", pgdata(of)]
    until = time.monotonic() + 60
    while (ended := subprocess.run(command, capture_output=True, text=True, check=False)).returncode:
        if "already enabled" in ended.stderr:
            return
        if time.monotonic() > until:
            raise Refused(first_line(ended.stderr))
        time.sleep(1)


def make_monitor(of, apply):
    if is_made(of):
        return None
    if not apply:
        return "there is no monitor yet"
    subprocess.run(["systemctl", "stop", UNIT], check=False, timeout=120)
    put(f"{HOME}/.bascule-making", "")
    clear(of)
    autoctl(of, "create", "monitor", *common(of), timeout_s=300)
    checksums(of)
    include(of)
    made(of)


def be_known(apply):
    """A node that has data is known to the monitor. That one may have lost its record; without it a node goes on as it is."""
    of = settings()
    if not is_made(of):
        return None
    try:
        connection = monitor(of)
    except psycopg2.OperationalError:
        return None
    with contextlib.closing(connection):
        own = nodes(connection).get(of["own"])
        if own and own["host"] == of["address"]:
            return None
        if not apply:
            return "the monitor does not know it"
        rejoin_a_new_monitor(of, connection)


def make_node(of, apply):
    if is_made(of):
        return None
    if not apply:
        return "it has no data yet"
    try:
        connection = monitor(of)
    except psycopg2.OperationalError as error:
        raise Refused(f"the monitor does not answer: {first_line(error)}") from error
    with contextlib.closing(connection):
        of_formation = nodes(connection)
        own = of_formation.get(of["own"])
        # A unit that is there from before starts by itself as soon as there is a configuration, in the middle of what follows.
        subprocess.run(["systemctl", "stop", UNIT], check=False, timeout=120)
        if own and own["goal"] in PRIMARY and os.path.exists(f"{pgdata(of)}/PG_VERSION"):
            begun = os.path.exists(f"{HOME}/.bascule-making")
            if begun and own["reported"] in PRIMARY and is_whole(of):
                return finish(of)
            # One that never got beyond its registration was never anybody's primary.
            if not (begun and own["reported"] == "init") and not was_restored():
                raise Refused("the monitor has it as the primary, and it has data: it must not begin anew")
        if own:
            # Its data is lost. Where it was the primary, somebody else takes its place before it comes back with nothing.
            if own["goal"] in PRIMARY and any(node["reported"] == "secondary" and node["health"] == 1 for node in of_formation.values()):
                another_takes_over(connection, of, own["name"])
            rows(connection, "SELECT pgautofailover.remove_node(%s, 5432, true)", own["host"])
    others_have_data = [name for name, host in of["nodes"].items() if name != of["own"] and answers(host)]
    if others_have_data and not [name for name in of_formation if name != of["own"]]:
        raise Refused(
            f"the monitor knows no node, but {', '.join(others_have_data)} has data: this one must not begin with nothing."
            " Bring that one up first"
        )
    put(f"{HOME}/.bascule-making", "")
    if was_restored():
        # It stops in order, and its data is what the formation begins with.
        subprocess.run(["systemctl", "disable", "--now", RESTORED_UNIT], check=True, timeout=300)
        clear_keeper()
    else:
        clear(of)
    url = f"postgres://autoctl_node@{of['monitor']}:5432/{MONITOR_DB}?sslmode=verify-full&sslrootcert={AUTHORITY}"
    over = threading.Event()
    hasten = threading.Thread(target=checkpoints, args=(of, over), daemon=True)
    hasten.start()
    try:
        autoctl(of, "create", "postgres", "--formation", of["formation"], "--name", of["own"], "--monitor", url, *common(of), timeout_s=6 * 3600)
    finally:
        over.set()
    finish(of)


def another_takes_over(connection, of, name):
    """Has the monitor give the place of the primary to another node, unless it is about to."""
    with contextlib.suppress(psycopg2.Error):
        rows(connection, "SELECT pgautofailover.perform_failover(%s, 0)", of["formation"])
    wait_for_another(connection, name)


def wait_for_another(connection, name):
    until = time.monotonic() + 120
    while not any(node["name"] != name and node["reported"] in PRIMARY and node["goal"] in PRIMARY for node in nodes(connection).values()):
        if time.monotonic() > until:
            raise Refused(f"no other node takes the place of {name}")
        time.sleep(0.5)


def finish(of):
    """What a run that was ended in the middle may have left to do."""
    if not standby_signal(of):
        checksums(of)
    include(of)
    made(of)


def was_restored():
    """The program `restore` brought its data, and it belongs to nobody yet, or did until the formation began with it."""
    return os.path.exists(RESTORED)


def standby_signal(of):
    return os.path.exists(f"{pgdata(of)}/standby.signal")


def checkpoints(of, over):
    """A base backup begins with a checkpoint, for which Postgres takes its time, minutes, unless somebody asks for one now."""
    while not over.wait(2):
        with contextlib.suppress(psycopg2.Error), contextlib.closing(monitor(of)) as connection:
            primary = [node for node in nodes(connection).values() if node["reported"] in PRIMARY]
            for node in primary:
                if node["name"] != of["own"]:
                    with contextlib.closing(remote(node["host"], "postgres", "pgautofailover_replicator")) as at:
                        rows(at, "CHECKPOINT")


def rejoin_a_new_monitor(of, connection):
    """The monitor has lost what it knew: the primary comes first, then the others."""
    subprocess.run(["systemctl", "start", UNIT], check=True, timeout=120)
    answers_within(60)
    if not is_primary():
        until = time.monotonic() + 120
        while not any(node["reported"] in PRIMARY for node in nodes(connection).values()):
            if time.monotonic() > until:
                raise Refused("the monitor knows no primary that it could follow")
            time.sleep(1)
    # Postgres goes on meanwhile, and so does its keeper.
    url = f"postgres://autoctl_node@{of['monitor']}:5432/{MONITOR_DB}?sslmode=verify-full&sslrootcert={AUTHORITY}"
    with contextlib.suppress(Refused):
        autoctl(of, "disable", "monitor", "--force")
    autoctl(of, "enable", "monitor", url, timeout_s=120)
    # A keeper that was started without a monitor does not find the new one.
    time.sleep(6)
    with contextlib.closing(monitor(of)) as again:
        own = nodes(again).get(of["own"])
    if own is None or own["seen_s"] > 4:
        subprocess.run(["systemctl", "restart", UNIT], check=True, timeout=120)


def answers(host):
    import socket  # Only here.

    try:
        socket.create_connection((host, 5432), timeout=2).close()
        return True
    except OSError:
        return False


def keeper(apply):
    """What the keeper has of the platform: how long a primary that sees nobody goes on."""
    of = settings()
    wanted = str(of["network_partition_timeout_s"])
    if autoctl(of, "config", "get", "timeout.network_partition_timeout").strip() == wanted:
        return None
    if not apply:
        return "the keeper has other timeouts"
    autoctl(of, "config", "set", "timeout.network_partition_timeout", wanted)
    if subprocess.run(["systemctl", "is-active", "--quiet", UNIT], check=False).returncode == 0:
        wait_until_settled(of)
        autoctl(of, "reload")


def record(apply):
    """On the monitor: what poolers and nodes may know and do there, and their passwords."""
    of = settings()
    with contextlib.closing(local(MONITOR_DB)) as connection:
        digest = hashlib.sha256(SCHEMA.encode()).hexdigest()
        roles = {"autoctl_node": read(f"{CREDENTIALS}/monitor"), "bascule_pooler": read(f"{CREDENTIALS}/pooler")}
        wrong = [name for name, password in roles.items() if not fits(connection, name, password.strip())]
        comment = rows(
            connection, "SELECT obj_description(oid) FROM pg_namespace WHERE nspname = 'bascule'"
        )
        is_there = rows(connection, "SELECT 1 FROM pgautofailover.formation WHERE formationid = %s", of["formation"])
        gone = {name: node for name, node in nodes(connection).items() if name not in of["nodes"]}
        problems = [f"{name} has another password" for name in wrong]
        problems += [] if comment == [(digest,)] else ["it has no record of poolers"]
        problems += [] if is_there else [f"it does not know the formation {of['formation']}"]
        problems += [f"{name} is no node any more" for name in gone]
        if not problems or not apply:
            return ", ".join(problems)
        for name in wrong:
            set_password(connection, name, roles[name].strip())
        if not is_there:
            rows(connection, "SELECT pgautofailover.create_formation(%s, 'pgsql', 'postgres', true, 0)", of["formation"])
        for node in gone.values():
            # The others are told, and where it is the primary another one becomes it. Then it is forgotten: it cannot come here any more
            # to say that it has heard of it.
            rows(connection, "SELECT pgautofailover.remove_node(%s, 5432)", node["host"])
            if node["goal"] in PRIMARY and len(nodes(connection)) > 1:
                wait_for_another(connection, node["name"])
            rows(connection, "SELECT pgautofailover.remove_node(%s, 5432, true)", node["host"])
        rows(connection, SCHEMA)
        rows(connection, sql.SQL("COMMENT ON SCHEMA bascule IS {}").format(sql.Literal(digest)))


# --- roles and databases -----------------------------------------------------------------------------------------------


def verifier(user, password):
    """SCRAM-SHA-256 of a password, always the same: a pooler has it, too, and logs in by what clients prove to it."""
    salt = hmac.new(password.encode(), f"bascule {user}".encode(), hashlib.sha256).digest()[:16]
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 4096)
    client = hmac.new(salted, b"Client Key", hashlib.sha256).digest()
    server = hmac.new(salted, b"Server Key", hashlib.sha256).digest()
    text = lambda value: base64.b64encode(value).decode()
    return f"SCRAM-SHA-256$4096:{text(salt)}${text(hashlib.sha256(client).digest())}:{text(server)}"


def fits(connection, user, password):
    return rows(connection, "SELECT rolpassword FROM pg_authid WHERE rolname = %s", user) == [(verifier(user, password),)]


def set_password(connection, user, password):
    name = sql.Identifier(user)
    if not rows(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", user):
        rows(connection, sql.SQL("CREATE ROLE {} LOGIN").format(name))
    rows(connection, sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(verifier(user, password))))


def roles(apply):
    """Who may come, on whichever node: the primary makes it so, and standbys wait until they have it."""
    of = settings()
    with contextlib.closing(local()) as connection:
        why = lacking(of, connection)
        if why is None or not apply:
            return why
        if rows(connection, "SELECT pg_is_in_recovery()")[0][0]:
            for _ in range(240):
                time.sleep(0.5)
                why = lacking(of, connection)
                if why is None:
                    return None
            return f"the primary does not bring it: {why}"
        begin(of, connection)
        return lacking(of, connection)


def logins(of):
    """Every role that logs in with a password, and the file that has it."""
    named = {"pgautofailover_replicator": "replication", "bascule_pooler": "pooler"}
    named.update({user: f"user-{user}" for database in of["databases"].values() for user in database["users"]})
    named.update({migrator(name): f"migrate-{name}" for name in of["databases"]})
    return {user: read(f"{CREDENTIALS}/{file}").strip() for user, file in named.items()}


def owner(database):
    return f"{database}_owner"


def migrator(database):
    return f"{database}_migrate"


def shape(of):
    """What databases were last made like."""
    return hashlib.sha256(json.dumps([2, of["databases"]], sort_keys=True).encode()).hexdigest()


def lacking(of, connection):
    for user, password in logins(of).items():
        if not fits(connection, user, password):
            return f"{user} has another password"
    found = rows(connection, "SELECT shobj_description(oid, 'pg_authid') FROM pg_authid WHERE rolname = 'bascule_pooler'")
    return None if found == [(shape(of),)] else "its databases are other ones"


def begin(of, connection):
    for user, password in logins(of).items():
        set_password(connection, user, password)
    if not rows(connection, "SELECT 1 FROM pg_roles WHERE rolname = 'bascule_metrics'"):
        rows(connection, "CREATE ROLE bascule_metrics LOGIN")
    rows(connection, "GRANT pg_monitor TO bascule_metrics")
    # By which a pooler looks whether a write through it is kept.
    rows(connection, "CREATE SCHEMA IF NOT EXISTS bascule")
    rows(connection, "CREATE TABLE IF NOT EXISTS bascule.canary (pooler text PRIMARY KEY, at timestamptz NOT NULL)")
    rows(connection, "GRANT USAGE ON SCHEMA bascule TO bascule_pooler")
    rows(connection, "GRANT SELECT, INSERT, UPDATE ON bascule.canary TO bascule_pooler")
    rows(connection, "REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM public")
    rows(connection, "GRANT CONNECT ON DATABASE postgres TO pgautofailover_monitor, bascule_pooler, bascule_metrics")
    for name, database in of["databases"].items():
        own, change = sql.Identifier(owner(name)), sql.Identifier(migrator(name))
        as_names = {"db": sql.Identifier(name), "owner": own, "migrate": change}
        if not rows(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", owner(name)):
            rows(connection, sql.SQL("CREATE ROLE {owner} NOLOGIN").format(**as_names))
        if not rows(connection, "SELECT 1 FROM pg_database WHERE datname = %s", name):
            rows(connection, sql.SQL("CREATE DATABASE {db} OWNER {owner}").format(**as_names))
        for statement in (
            # Whatever the migration role makes is the owner's.
            "GRANT {owner} TO {migrate}",
            "ALTER ROLE {migrate} IN DATABASE {db} SET role = {owner}",
            "REVOKE CONNECT, TEMPORARY ON DATABASE {db} FROM public",
            "GRANT CONNECT, TEMPORARY ON DATABASE {db} TO {migrate}",
        ):
            rows(connection, sql.SQL(statement).format(**as_names))
        with contextlib.closing(local(name)) as inside:
            rows(inside, sql.SQL("ALTER SCHEMA public OWNER TO {owner}").format(**as_names))
            for extension in database["extensions"]:
                rows(inside, sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(extension)))
            for user in database["users"]:
                application(inside, {**as_names, "user": sql.Identifier(user)})
    rows(connection, sql.SQL("COMMENT ON ROLE bascule_pooler IS {}").format(sql.Literal(shape(of))))


def application(inside, names):
    """It reads and writes rows, of what is there and of what migrations will make, and changes no shape."""
    for statement in (
        "GRANT CONNECT ON DATABASE {db} TO {user}",
        "GRANT USAGE ON SCHEMA public TO {user}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}",
        "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {user}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {user}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {user}",
    ):
        rows(inside, sql.SQL(statement).format(**names))


# --- changes while it runs ----------------------------------------------------------------------------------------------


def digest(paths):
    found = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            found.update(file.read())
    return found.hexdigest()


def unstable(of):
    """Why nothing may be reloaded or restarted now; nothing, where it may."""
    try:
        with contextlib.closing(monitor(of)) as connection:
            known = nodes(connection)
    except psycopg2.Error as error:
        return f"the monitor does not answer: {first_line(error)}"
    for node in known.values():
        if why := on_its_way(node):
            return why
        if node["health"] != 1:
            return f"the monitor does not find {node['name']} healthy"
    return None


def on_its_way(node):
    if node["reported"] != node["goal"] or node["reported"] not in STABLE:
        return f"{node['name']} is {node['reported']}, to become {node['goal']}"


def wait_until_stable(of, timeout_s=180, for_s=0.0):
    """Until it has been so for some time: that a node was away the monitor may only notice when it is there again."""
    since = time.monotonic()
    until = since + timeout_s
    while (why := unstable(of)) or time.monotonic() < since + for_s:
        if why and time.monotonic() > until:
            raise Refused(f"not now: {why}")
        time.sleep(0.5)
        if why:
            since = time.monotonic()


def wait_until_settled(of):
    """Nothing is reloaded on a node that is on its way, nor while another one copies it, which may take its time. One that is just away
    keeps nobody from being told of a change: it may be what brings that one back."""
    until = time.monotonic() + 60
    while True:
        try:
            with contextlib.closing(monitor(of)) as connection:
                known = nodes(connection)
        except psycopg2.Error:
            return
        on_their_way = [
            node["name"] for node in known.values()
            if node["reported"] != node["goal"] and (node["name"] == of["own"] or node["seen_s"] < 10)
        ]  # fmt: skip
        if not on_their_way and not copies():
            return
        if time.monotonic() > until:
            raise Refused(f"nothing is reloaded now: {', '.join(on_their_way) or 'a standby that copies this node'} is on its way")
        time.sleep(0.5)


def copies():
    """Whether somebody makes a standby of this node."""
    with contextlib.closing(local()) as connection:
        return bool(rows(connection, "SELECT 1 FROM pg_stat_replication WHERE state = 'backup'"))


def reload(_apply):
    """Brings changed settings into effect, as far as that goes without a restart."""
    of = settings()
    if of["kind"] == "node":
        wait_until_settled(of)
    with contextlib.closing(local()) as connection:
        rows(connection, "SELECT pg_reload_conf()")


def started(of):
    return digest([UNIT_FILE])


def restart_due(of):
    if not has(STARTED, started(of)):
        # The first start is none that anybody has to be careful with.
        return os.path.exists(STARTED)
    with contextlib.closing(local()) as connection:
        # By the file as it is now: whether Postgres has been told of it does not matter, since the run that was to do that may have
        # ended before. Of the platform's settings only: a node that was promoted says so of those that only matter to a standby.
        query = "SELECT 1 FROM pg_file_settings WHERE sourcefile = %s AND NOT applied AND error IS NOT NULL"
        return bool(rows(connection, query, f"{ETC}/postgres.conf"))


def is_primary():
    with contextlib.closing(local()) as connection:
        return not rows(connection, "SELECT pg_is_in_recovery()")[0][0]


def restart_standby(apply):
    of = settings()
    if is_primary() or not restart_due(of):
        return None
    if lowered := fewer_than_the_primary():
        raise Refused(lowered)
    if not apply:
        return "a standby that has to be restarted"
    wait_until_stable(of)
    restart(of)


def fewer_than_the_primary():
    """A standby cannot follow a primary that may have more connections: why it must not be restarted so."""
    with contextlib.closing(local()) as connection:
        (at_least,) = rows(connection, "SELECT setting::int FROM pg_settings WHERE name = 'max_connections'")[0]
        wanted = rows(connection, "SELECT setting::int FROM pg_file_settings WHERE name = 'max_connections' ORDER BY seqno DESC LIMIT 1")
    if wanted and wanted[0][0] < at_least:
        return f"max_connections would go down from {at_least} to {wanted[0][0]}: keep the database, or the pooler, that it was for"


def restart_primary(apply):
    """Whoever has to be restarted yet: the one that was the primary when the standbys had their turn."""
    of = settings()
    if not restart_due(of):
        return None
    if not apply:
        return "it has to be restarted"
    wait_until_stable(of)
    if is_primary() and has_standbys(of):
        hand_over(True)
        wait_until_stable(of)
    restart(of)


def has_standbys(of):
    with contextlib.closing(monitor(of)) as connection:
        return len(nodes(connection)) > 1


def restart(of):
    # By the keeper's service manager: Postgres and keeper as one.
    subprocess.run(["systemctl", "restart", UNIT], check=True, timeout=120)
    answers_within(60)
    note_start(of)
    wait_until_stable(of, for_s=3.0)


def answers_within(timeout_s):
    until = time.monotonic() + timeout_s
    while why := answers_here():
        if time.monotonic() > until:
            raise Refused(f"Postgres does not answer after its start: {why}")
        time.sleep(0.2)


def note_start(of):
    put(STARTED, started(of))


def noted(apply):
    of = settings()
    if has(STARTED, started(of)):
        return None
    if not apply:
        return "it is not noted what it runs with"
    note_start(of)


def hand_over(apply, patience_s=20):
    """Has another node be the primary, where this one is. Poolers hold queries back meanwhile, and no client loses anything."""
    of = settings()
    try:
        if not is_primary():
            return None
    except psycopg2.Error:
        return None
    if not apply:
        return "it is the primary"
    with contextlib.closing(monitor(of)) as connection:
        until = time.monotonic() + patience_s
        while why := cannot_hand_over(of, nodes(connection)):
            if time.monotonic() > until:
                raise Refused(f"not now: {why}")
            time.sleep(0.5)
        with contextlib.closing(local()) as own:
            rows(own, "CHECKPOINT")
        hold = rows(connection, "INSERT INTO bascule.hold (until) VALUES (clock_timestamp() + interval '20 s') RETURNING id")[0][0]
        rows(connection, "NOTIFY bascule_hold")
        try:
            wait_until_held(connection)
            rows(connection, "SELECT pgautofailover.perform_failover(%s, 0)", of["formation"])
            until = time.monotonic() + 20
            while time.monotonic() < until:
                if any(
                    node["name"] != of["own"] and node["reported"] in PRIMARY and node["goal"] in PRIMARY
                    for node in nodes(connection).values()
                ):
                    break
                time.sleep(0.1)
            else:
                raise Refused("no standby was promoted within 20 s")
        finally:
            rows(connection, "DELETE FROM bascule.hold WHERE id = %s OR until < clock_timestamp()", hold)
            rows(connection, "NOTIFY bascule_hold")


def cannot_hand_over(of, known):
    """Of other nodes only one has to be well, whoever else is away."""
    own = known.get(of["own"])
    # One that somebody promoted is nobody's primary, and has nothing to hand over.
    if own is None or own["goal"] not in PRIMARY:
        raise Refused("the monitor does not have it as the primary")
    others = [node for node in known.values() if node["name"] != of["own"] and node["reported"] == "secondary"]
    if not others:
        raise Refused("there is no standby that could take over")
    if why := on_its_way(own):
        return why
    if not any(node["goal"] == "secondary" and node["health"] == 1 for node in others):
        return f"the monitor does not find {', '.join(node['name'] for node in others)} healthy"
    return None


def wait_until_held(connection):
    """A pooler that says nothing for three seconds serves nobody, or will leave the node by itself."""
    until = time.monotonic() + 12
    while True:
        going_on = rows(
            connection,
            "SELECT name FROM bascule.pooler WHERE state <> 'held' AND seen > clock_timestamp() - interval '3 s'",
        )
        if not going_on:
            return
        if time.monotonic() > until:
            names = ", ".join(name for (name,) in going_on)
            raise Refused(
                f"transactions through {names} do not end, or a migration keeps its session:"
                " look for the longest in pg_stat_activity"
            )
        time.sleep(0.05)


def in_order(_apply):
    """Before the service stops, whoever stops it: the primary hands over first. When that cannot be, it stops nevertheless."""
    try:
        why = hand_over(True, patience_s=3)
    except (Refused, psycopg2.Error) as error:
        why = first_line(error)
    if why:
        print(f"stops without handing over: {why}", flush=True)


def rejoin(apply):
    """A node whose state leads nowhere: its keeper rewinds it; where that does not help, it gets all data anew."""
    of = settings()
    with contextlib.closing(monitor(of)) as connection:
        known = nodes(connection)
        own = known.get(of["own"])
        if own and own["reported"] == own["goal"] and own["health"] == 1 and (own["reported"] in PRIMARY or follows()):
            return None
        if own and own["goal"] in PRIMARY:
            raise Refused("the monitor has it as the primary: it is the others that would have to follow")
        if not any(node["name"] != of["own"] and node["reported"] in PRIMARY for node in known.values()):
            raise Refused("there is no primary that it could follow")
        if not apply:
            return "it is not of the formation as it should be"
    # No keeper rewinds a standby that was promoted behind the monitor's back.
    if not (own and own["reported"] == "secondary" and is_writable()):
        subprocess.run(["systemctl", "restart", UNIT], check=False, timeout=120)
        if found_its_way(of, 60):
            print(f"{of['own']} was rewound")
            return None
    subprocess.run(["systemctl", "stop", UNIT], check=False, timeout=120)
    kept = f"{pgdata(of)}.lost"
    # What it has beyond the primary nobody was told; it is kept for a look until the next time. What a run left that was ended in
    # the middle is nothing to keep.
    if is_made(of):
        shutil.rmtree(kept, ignore_errors=True)
        os.rename(pgdata(of), kept)
    why = make_node(of, True) or keeper(True)
    subprocess.run(["systemctl", "start", UNIT], check=True)
    print(f"{of['own']} was built anew; what it had is in {kept}")
    return why if why or found_its_way(of, 300) else "it does not follow the primary yet"


def found_its_way(of, timeout_s):
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        with contextlib.closing(monitor(of)) as connection:
            own = nodes(connection).get(of["own"])
        if own and own["reported"] == own["goal"] == "secondary" and own["health"] == 1 and follows():
            return True
        time.sleep(1)
    return False


def is_writable():
    try:
        return is_primary()
    except psycopg2.Error:
        return False


def follows():
    """Whether it hears from a primary: one that was promoted behind the monitor's back is still a healthy standby to that."""
    try:
        with contextlib.closing(local()) as connection:
            return bool(rows(connection, "SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"))
    except psycopg2.Error:
        return False


# --- looks ---------------------------------------------------------------------------------------------------------------


def answers_here():
    try:
        local().close()
    except psycopg2.Error as error:
        return first_line(error)


def member():
    """Whether the node is a healthy primary or a standby that follows, as the monitor has it."""
    of = settings()
    try:
        with contextlib.closing(monitor(of)) as connection:
            own = nodes(connection).get(of["own"])
    except psycopg2.Error as error:
        # Without the monitor the formation goes on as it is.
        return answers_here() if os.path.exists(STARTED) else f"the monitor does not answer: {first_line(error)}"
    if own is None:
        return "the monitor does not know it"
    if own["reported"] != own["goal"] or own["reported"] not in PRIMARY | {"secondary"}:
        return f"it is {own['reported']}, to become {own['goal']}"
    return None if own["health"] == 1 else "the monitor does not find it healthy"


def status():
    of = settings()
    with contextlib.closing(monitor(of)) as connection:
        poolers = rows(
            connection, "SELECT name, node, state, extract(epoch FROM clock_timestamp() - seen)::float8 FROM bascule.pooler ORDER BY name"
        )
        found = {
            "nodes": list(nodes(connection).values()),
            "poolers": [dict(zip(["name", "node", "state", "seen_s"], row)) for row in poolers],
        }
    print(json.dumps(found))


def sync():
    """Of a node: what it is, and who has what is committed."""
    names_of = {host: name for name, host in settings()["nodes"].items()}
    with contextlib.closing(local()) as connection:
        standby, names, timeline = rows(
            connection,
            # After a promotion the control file only follows with the next checkpoint.
            "SELECT pg_is_in_recovery(), current_setting('synchronous_standby_names'),"
            " CASE WHEN pg_is_in_recovery() THEN timeline_id"
            " ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END FROM pg_control_checkpoint()",
        )[0]
        replicas = rows(
            connection,
            "SELECT host(client_addr), sync_state, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn), 0)::bigint"
            " FROM pg_stat_replication WHERE NOT pg_is_in_recovery()",
        )
        slots = rows(connection, "SELECT slot_name, wal_status FROM pg_replication_slots")
    print(json.dumps({
        "writable": not standby, "waits_for": names, "timeline": timeline,
        "replicas": [{"name": names_of.get(host, host), "sync": sync, "behind_bytes": behind} for host, sync, behind in replicas], "slots": dict(slots),
    }))  # fmt: skip


# --- every 15 seconds --------------------------------------------------------------------------------------------------


def unstick():
    """A postmaster that is dead, and whose keeper waits for it for ever, since a dead child that nobody asked for still counts as a
    process (pg_auto_failover #1166): all is ended, and systemd starts it anew."""
    of = settings()

    def dead():
        try:
            pid = read(f"{pgdata(of)}/postmaster.pid").split()[0]
            return read(f"/proc/{pid}/stat").rpartition(")")[2].split()[0] == "Z" and pid
        except (OSError, IndexError):
            return None

    if (found := dead()) and (time.sleep(3) or dead() == found):
        print(f"the postmaster {found} is dead, and its keeper does not notice: both are started anew")
        subprocess.run(["systemctl", "kill", "--signal=KILL", UNIT], check=False, timeout=60)


METRICS = "/var/lib/prometheus/node-exporter/postgres.prom"


def metrics():
    """For node_exporter. The monitor tells what it knows, and a node what it sees itself: either may be lost."""
    of, lines = settings(), []

    def tell(name, what, values):
        lines.extend([f"# HELP bascule_postgres_{name} {what}", f"# TYPE bascule_postgres_{name} gauge"])
        for labels, value in values:
            pairs = ",".join(f'{label}="{text}"' for label, text in labels.items())
            lines.append(f"bascule_postgres_{name}{{{pairs}}} {float(value):.0f}" if pairs else f"bascule_postgres_{name} {float(value):.0f}")

    (of_monitor if of["kind"] == "monitor" else of_node)(of, tell)
    put(METRICS, "\n".join(lines) + "\n", mode=0o644)


def of_monitor(of, tell):
    try:
        with contextlib.closing(monitor(of)) as connection:
            known = nodes(connection).values()
            poolers = rows(connection, "SELECT name, node, extract(epoch FROM clock_timestamp() - seen)::float8 FROM bascule.pooler")
    except psycopg2.Error as error:
        print(first_line(error))
        return tell("monitor_up", "1 while the monitor answers.", [({}, 0)])
    tell("monitor_up", "1 while the monitor answers.", [({}, 1)])
    tell("state", "1 for the state that the node is in.", [({"node": node["name"], "state": node["reported"]}, 1) for node in known])
    tell("goal", "1 for the state that the node is to be in.", [({"node": node["name"], "state": node["goal"]}, 1) for node in known])
    tell("healthy", "1 while the monitor finds the node healthy.", [({"node": node["name"]}, node["health"] == 1) for node in known])
    tell("pooler_uses", "1 for the node that the pooler uses.", [({"pooler": name, "node": node or ""}, 1) for name, node, _ in poolers])
    tell("pooler_silent_seconds", "Since the pooler told which one.", [({"pooler": name}, seen_s) for name, _, seen_s in poolers])


def of_node(of, tell):
    reachable = False
    with contextlib.suppress(psycopg2.Error):
        monitor(of).close()
        reachable = True
    tell("monitor_up", "1 while the monitor answers.", [({}, reachable)])
    try:
        with contextlib.closing(local()) as connection:
            standby, names, synchronous, waiting = rows(
                connection,
                "SELECT pg_is_in_recovery(), current_setting('synchronous_standby_names'),"
                " (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')),"
                " (SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep')",
            )[0]
    except psycopg2.Error as error:
        print(first_line(error))
        return tell("up", "1 while the node answers.", [({}, 0)])
    tell("up", "1 while the node answers.", [({}, 1)])
    tell("writable", "1 while the node may be written to.", [({}, not standby)])
    if not standby:
        what = "1 while a commit is on two nodes before it is acknowledged, 0 while it is on this one only."
        tell("commits_wait", what, [({}, names != "")])
        tell("synchronous_standbys", "Standbys of which one has to have a commit.", [({}, synchronous)])
        tell("commits_waiting", "Commits that wait for a standby now.", [({}, waiting)])


def first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


# --- backups that are not asked for any more ------------------------------------------------------------------------------


BACKUP_TIMERS = ["bascule-backup.timer", "bascule-backup-metrics.timer"]
OF_BACKUPS = [
    *[f"/etc/systemd/system/{name}" for timer in BACKUP_TIMERS for name in (timer, timer.replace(".timer", ".service"))],
    "/etc/pgbackrest/conf.d/secrets.conf",
    f"{CREDENTIALS}/backup-key",
    f"{CREDENTIALS}/backup-passphrase",
    "/var/lib/prometheus/node-exporter/backup.prom",
]


def no_backups(apply):
    left = [path for path in OF_BACKUPS if os.path.exists(path)]
    if not left:
        return None
    if not apply:
        return "it still has what backups are made with"
    subprocess.run(["systemctl", "disable", "--now", *BACKUP_TIMERS], check=False, capture_output=True, timeout=60)
    for path in left:
        os.remove(path)
    subprocess.run(["systemctl", "daemon-reload"], check=True, timeout=60)


def main():
    changes = {
        "passfile": passfile, "make": make, "keeper": keeper, "record": record, "roles": roles, "reload": reload,
        "known": be_known, "restart-standby": restart_standby, "restart-primary": restart_primary, "noted": noted, "hand-over": hand_over,
        "in-order": in_order, "rejoin": rejoin, "no-backups": no_backups,
    }  # fmt: skip
    looks = {"member": member, "status": status, "sync": sync, "metrics": metrics, "unstick": unstick}
    match sys.argv[1:]:
        case [verb, ("check" | "apply") as mode] if verb in changes:
            why = changes[verb](mode == "apply")
        case [verb] if verb in looks:
            why = looks[verb]()
        case _:
            print(f"usage: postgres {'|'.join(changes)} check|apply, or postgres {'|'.join(looks)}", file=sys.stderr)
            return 2
    if why:
        print(why)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Refused, psycopg2.Error) as error:
        sys.exit(f"postgres: {first_line(error)}")
