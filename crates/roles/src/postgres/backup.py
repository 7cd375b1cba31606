#!/usr/bin/python3
"""backup VERB check|apply, or backup VERB: has pgBackRest keep PostgreSQL's log and make backups, and tells what there is of them.

All nodes are set up alike. What is made is made by whoever is the primary at that moment, so that nothing has to be changed after
a failover. What is due is read from the repository: whatever was missed, by whomever, is made up for.
"""

import configparser
import datetime
import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys
import time

import psycopg2

ETC = "/etc/pgbackrest"
SECRETS = f"{ETC}/conf.d/secrets.conf"
REPOSITORY = f"{ETC}/bascule.json"
DATA = "/var/lib/postgresql/data"
WAL = f"{DATA}/pg_wal"
# Of which repository it is known that it has a place for this cluster.
MARK = "/var/lib/postgresql/.bascule-stanza"
METRICS = "/var/lib/prometheus/node-exporter/backup.prom"
SEGMENT_BYTES = 16 << 20
# Segments of one name for each 4 GiB of the log: 0x100 of 16 MiB.
SEGMENTS_A_FILE = 0x100
# Full ones are due on Sundays, others every day, at this hour UTC.
DUE_HOUR = 2
DAY_S = 86400


def program(name):
    path = f"/usr/local/lib/bascule/{name}"
    spec = importlib.util.spec_from_loader(name, importlib.machinery.SourceFileLoader(name, path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sys.dont_write_bytecode = True
postgres = program("postgres")
Refused = postgres.Refused


def repository():
    return json.loads(postgres.read(REPOSITORY))


# --- pgBackRest -----------------------------------------------------------------------------------------------------------


class Failed(Refused):
    """pgBackRest's own word; codes are those of its `error.auto.h`."""

    def __init__(self, command, code, said):
        # What it says may go over several lines.
        words = re.findall(r"ERROR: (?:\[\d+\]: )?(.*?)(?=\n\S|\Z)", said, re.S) or said.strip().splitlines()[-1:]
        why = " ".join(words[0].split()) if words else f"it ended with {code}"
        super().__init__(f"pgbackrest {command}: {why}")
        self.code = code


LOCK_ACQUIRE = 50


AS_POSTGRES = ["runuser", "-u", "postgres", "--", "pgbackrest"]
QUIET = ["--log-level-console=off", "--log-level-stderr=error"]


def command_line(command, *arguments, stanza=None):
    """As the user postgres, who may read the secrets. Nothing secret is among the arguments."""
    of = f"--stanza={stanza or repository()['stanza']}"
    return [*AS_POSTGRES, of, *arguments, command]


def pgbackrest(command, *arguments, timeout_s=120, stanza=None):
    return ended_well(command, command_line(command, *QUIET, *arguments, stanza=stanza), timeout_s)


def of_all(command, *parameters, options=(), timeout_s=120):
    """What belongs to no stanza. A command takes its parameters last, and its options first."""
    return ended_well(command, [*AS_POSTGRES, *QUIET, "--output=json", "--io-timeout=10", *options, command, *parameters], timeout_s)


def ended_well(command, line, timeout_s):
    try:
        ended = subprocess.run(line, cwd="/", capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as late:
        raise Refused(f"pgbackrest {command}: no answer within {timeout_s} s") from late
    if ended.returncode:
        raise Failed(command, ended.returncode, ended.stderr)
    return ended.stdout


def info(patience_s=30, stanza=None):
    """What the repository has of this cluster, or of another one."""
    stanza = stanza or repository()["stanza"]
    arguments = ("--output=json", f"--io-timeout={patience_s // 3}")
    found = json.loads(pgbackrest("info", *arguments, timeout_s=patience_s, stanza=stanza))
    told = next((of for of in found if of["name"] == stanza), None)
    if told is None:
        return {"status": {"code": 1, "message": "missing stanza path"}, "backup": [], "db": [], "archive": []}
    # Whatever else is wrong with it: it cannot be reached, it is encrypted otherwise.
    if told["status"]["code"] == 99 or any(one["status"]["code"] == 99 for one in told.get("repo", [])):
        words = [one["status"]["message"] for one in told.get("repo", [])] + [told["status"]["message"]]
        raise Refused(f"the repository: {' '.join(words[0].split())}")
    return told


MISSING = {1, 3}


# --- how it is set up -----------------------------------------------------------------------------------------------------


def secrets(apply):
    """What pgBackRest has to know and nobody else: one file for root and the user postgres."""
    key = configparser.ConfigParser(interpolation=None)
    key.read_string(postgres.read(f"{postgres.CREDENTIALS}/backup-key"))
    passphrase = postgres.read(f"{postgres.CREDENTIALS}/backup-passphrase").strip()
    text = "\n".join([
        "[global]",
        f"repo1-s3-key={key['default']['aws_access_key_id']}",
        f"repo1-s3-key-secret={key['default']['aws_secret_access_key']}",
        f"repo1-cipher-pass={passphrase}",
    ]) + "\n"  # fmt: skip
    if not postgres.has(SECRETS, text):
        if not apply:
            return "it has another key or passphrase, or none"
        postgres.put(SECRETS, text)


def identity():
    """What the mark says: this cluster, in this repository."""
    with postgres.contextlib.closing(postgres.local()) as connection:
        system = postgres.rows(connection, "SELECT system_identifier FROM pg_control_system()")[0][0]
    return f"{system} in {repository()['place']}\n"


def stanza(apply):
    """The repository has a place for this cluster: the primary makes it, standbys wait for it."""
    if postgres.has(MARK, identity()):
        return None
    if not apply:
        return "it is not known that the repository has a place for it"
    until = time.monotonic() + 240
    while True:
        try:
            if make_stanza():
                postgres.put(MARK, identity())
                return None
            why = "the primary has not made its place in the repository yet"
        except Refused as error:
            why = str(error)
            if isinstance(error, OfAnother):
                raise
        if time.monotonic() > until:
            raise Refused(why)
        time.sleep(3)


class OfAnother(Refused):
    """Backups of another cluster are there, which nothing here may displace."""


def make_stanza():
    """Whether there is one, in the end."""
    told = info()
    if told["status"]["code"] in MISSING:
        if not postgres.is_primary():
            return False
        pgbackrest("stanza-create")
        return True
    with postgres.contextlib.closing(postgres.local()) as connection:
        own = postgres.rows(connection, "SELECT system_identifier FROM pg_control_system()")[0][0]
    known = [database["system-id"] for database in told["db"]]
    if known and own != known[-1]:
        raise OfAnother(
            f"the bucket has backups of another cluster than this one ({known[-1]}, not {own}): name another bucket, or empty this one"
        )
    return True


# --- the log ------------------------------------------------------------------------------------------------------------


def segment_number(name):
    return int(name[8:16], 16) * SEGMENTS_A_FILE + int(name[16:24], 16)


def segment_name(timeline, number):
    return f"{timeline:08X}{number // SEGMENTS_A_FILE:08X}{number % SEGMENTS_A_FILE:08X}"


def position(lsn):
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def of_position(lsn):
    return position(lsn) // SEGMENT_BYTES


class Course:
    """Which timeline's segment a recovery to now needs, for each number: a new timeline has all of the one it began in."""

    def __init__(self, connection):
        query = "SELECT timeline_id, pg_current_wal_lsn() FROM pg_control_checkpoint()"
        (timeline, lsn) = postgres.rows(connection, query)[0]
        # After a promotion the control file follows with the next checkpoint; the name of the current segment is ahead of it.
        current = postgres.rows(connection, "SELECT pg_walfile_name(pg_current_wal_lsn())")[0][0]
        timeline = max(timeline, int(current[:8], 16))
        self.next = of_position(lsn)
        # In the order of their beginnings.
        self.begins = [(0, 1)]
        path = f"{WAL}/{timeline:08X}.history"
        if timeline > 1 and os.path.exists(path):
            ended = [line.split()[:2] for line in postgres.read(path).splitlines() if re.match(r"\s*\d+\s+[0-9A-F]+/", line)]
            self.begins = [(0, int(ended[0][0]))] if ended else self.begins
            following = [int(of) for of, _ in ended[1:]] + [timeline]
            self.begins += [(of_position(lsn), of) for (_, lsn), of in zip(ended, following)]

    def segment(self, number):
        return segment_name(max((begin, of) for begin, of in self.begins if begin <= number)[1], number)


def archive_id(told):
    return told["archive"][-1]["id"] if told["archive"] else None


def archived(folder):
    """Segments below a folder of the archive, and when each came."""
    found = json.loads(of_all("repo-ls", f"archive/{repository()['stanza']}/{folder}", options=["--recurse"]))
    # Those that a primary had not filled when it was lost have a name of their own, and the next timeline has what is in them.
    whole = re.compile(r"(?:^|/)([0-9A-F]{24})-[0-9a-f]{40}")
    named = [(whole.search(path), entry) for path, entry in found.items()]
    return {match.group(1): entry.get("time", 0) for match, entry in named if match}


def waiting():
    """Segments that Postgres has not given away yet: how old each is."""
    found, now = {}, time.time()
    for entry in os.scandir(f"{WAL}/archive_status"):
        if entry.name.endswith(".ready"):
            try:
                found[entry.name.removesuffix(".ready")] = now - entry.stat().st_mtime
            except FileNotFoundError:
                continue
    return found


def missing(told):
    """Segments from the newest backup on that are neither in the repository nor on their way: nobody can be restored past them."""
    sound = [backup for backup in told["backup"] if not backup["error"]]
    if not sound or not told["archive"]:
        return []
    # Asked before the repository is: what comes there meanwhile was on its way.
    with postgres.contextlib.closing(postgres.local()) as connection:
        course = Course(connection)
    on_their_way = waiting()
    needed = [course.segment(number) for number in range(segment_number(sound[-1]["archive"]["start"]), course.next)]
    there = set()
    for folder in sorted({name[:16] for name in needed}):
        there |= set(archived(f"{archive_id(told)}/{folder}"))
    return [name for name in needed if name not in there and name not in on_their_way]


def surely_missing(told):
    """One that was just filled is not marked as waiting for a moment."""
    found = missing(told)
    if found:
        time.sleep(3)
        again = set(missing(told))
        found = [name for name in found if name in again]
    return found


def fill(names):
    """What the repository lacks, and is still on the node: a primary that was lost had not sent it, or the queue was too long."""
    left = []
    for name in names:
        path = f"{WAL}/{name}"
        if not os.path.exists(path):
            left.append(name)
            continue
        line = command_line("archive-push", "--no-archive-async", "--log-level-console=off", "--log-level-stderr=error")
        ended = subprocess.run([*line, path], cwd="/", capture_output=True, text=True, errors="replace", timeout=120, check=False)
        if ended.returncode:
            print(Failed("archive-push", ended.returncode, ended.stderr), flush=True)
            left.append(name)
        else:
            print(f"{name} was not in the repository, and is now", flush=True)
    return left


# --- backups --------------------------------------------------------------------------------------------------------------


def last_due(now_s):
    """The last moments, in seconds since 1970, at which a full one was due, and any."""
    now = datetime.datetime.fromtimestamp(now_s, datetime.UTC)
    daily = now.replace(hour=DUE_HOUR, minute=0, second=0, microsecond=0)
    if daily > now:
        daily -= datetime.timedelta(days=1)
    # Monday is the first day: Sunday has the number 6.
    weekly = daily - datetime.timedelta(days=(daily.weekday() + 1) % 7)
    return weekly.timestamp(), daily.timestamp()


def wanted(backups, now_s):
    """The type of backup that is due by the clock, or none."""
    weekly, daily = last_due(now_s)
    begun = [(backup["type"], backup["timestamp"]["start"]) for backup in backups if not backup["error"]]
    if not any(of == "full" and start >= weekly for of, start in begun):
        return "full"
    if not any(start >= daily for _, start in begun):
        return "diff"
    return None


def due():
    """What the timer calls, on every node: on the primary, whatever is due by now."""
    if not os.path.exists(SECRETS) or not postgres.is_primary():
        return None
    if not make_stanza():
        return "the repository has no place for this cluster"
    told = info()
    of = wanted(told["backup"], time.time())
    left = fill(surely_missing(told))
    if of is None and left:
        print(f"{len(left)} segments of the log are lost to the archive, from {left[0]} on: what comes after them needs a new backup")
        of = "diff"
    if of is None:
        return None
    try:
        make_backup(of, lambda percent: None)
    except Failed as failed:
        # Somebody has one made just now.
        if failed.code != LOCK_ACQUIRE:
            raise
        print(failed)


def make_backup(of, tell):
    """By pgBackRest, which holds a lock in Postgres while it does. Gives its label."""
    line = command_line("backup", f"--type={of}", "--log-level-console=detail", "--log-level-stderr=error")
    with subprocess.Popen(line, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as run:
        label, tail = None, []
        for text in run.stdout:
            tail = (tail + [text])[-20:]
            if percent := re.search(r"backup file .*?([0-9.]+)%\)", text):
                tell(float(percent.group(1)))
            if found := re.search(r"new backup label = (\S+)", text):
                label = found.group(1)
    if run.returncode:
        raise Failed("backup", run.returncode, "".join(tail))
    print(f"the backup {label} is complete", file=sys.stderr, flush=True)
    return label


def say(**what):
    print(json.dumps(what), flush=True)


def now(of):
    """A backup now, on the primary; tells how far it is."""
    if not postgres.is_primary():
        raise Refused("it is a standby, and the primary makes backups")
    last = [0.0]

    def tell(percent):
        if percent >= last[0] + 5 or percent == 100:
            last[0] = percent
            say(progress=f"{percent:.0f} % of the files are copied")

    try:
        label = make_backup(of, tell)
    except Failed as failed:
        if failed.code == LOCK_ACQUIRE:
            raise Refused("another backup is under way, or a change of the repository: try again when it has ended") from failed
        raise
    made = next(backup for backup in info()["backup"] if backup["label"] == label)
    say(backup=at_a_glance(made))


TYPES = {"full": "full", "diff": "differential", "incr": "incremental"}


def at_a_glance(backup):
    return {
        "label": backup["label"],
        "kind": TYPES[backup["type"]],
        "began_s": backup["timestamp"]["start"],
        "ended_s": backup["timestamp"]["stop"],
        "lsn_start": backup["lsn"]["start"],
        "lsn_stop": backup["lsn"]["stop"],
        "wal_start": backup["archive"]["start"],
        "wal_stop": backup["archive"]["stop"],
        "database_bytes": backup["info"]["size"],
        # Of its own, without those that it refers to.
        "stored_bytes": backup["info"]["repository"]["delta"],
        "needs": backup["reference"] or [],
        # Blocks whose checksum was wrong when they were copied.
        "damaged": bool(backup["error"]),
    }


def formations():
    """The places in the repository that are taken: each has a history of its own."""
    print(json.dumps([of["name"] for of in json.loads(of_all("info", timeout_s=60)) if of["db"]]))


def list_all():
    """All backups, and the stretches of time to whose every moment one can restore."""
    told = info()
    for backup in told["backup"]:
        say(backup=at_a_glance(backup))
    if not told["archive"]:
        return
    with postgres.contextlib.closing(postgres.local()) as connection:
        if postgres.rows(connection, "SELECT pg_is_in_recovery()")[0][0]:
            raise Refused("it is a standby, and the primary knows the course of the log")
        course = Course(connection)
    for begins, ends in stretches(told["backup"], archived(archive_id(told)), course):
        say(window={"from_s": begins, "to_s": ends})


def written(name, came):
    """When the last of a segment was written: it may have come to the repository much later."""
    with postgres.contextlib.suppress(OSError):
        return min(came, os.stat(f"{WAL}/{name}").st_mtime)
    return came


def stretches(backups, there, course):
    """From the end of a backup to the end of the last segment that follows on it without a gap."""
    found = []
    for backup in backups:
        if backup["error"]:
            continue
        number, came = segment_number(backup["archive"]["start"]), backup["timestamp"]["stop"]
        while (name := course.segment(number)) in there:
            came, number = max(came, written(name, there[name])), number + 1
        if found and found[-1][2] == number:
            continue
        found.append((backup["timestamp"]["stop"], came, number))
    return [(begins, ends) for begins, ends, _ in found]


def beyond(kind, target, stanza=None):
    """Why nothing can be restored to there, as far as the repository tells; nothing, where it can."""
    sound = [backup for backup in info(stanza=stanza)["backup"] if not backup["error"]]
    if not sound:
        return "there is no backup yet"
    first = sound[0]
    began = datetime.datetime.fromtimestamp(first["timestamp"]["stop"], datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    too_early = f"the first backup was complete at {began}, {first['lsn']['stop']}: nothing before that can be restored"
    match kind:
        case "backup" if target not in [backup["label"] for backup in sound]:
            return f"there is no backup {target}"
        case "time":
            moment = datetime.datetime.fromisoformat(target).timestamp()
            if moment > time.time():
                return "that moment is yet to come"
            # By whole seconds, and pgBackRest wants a backup that was complete before.
            return too_early if moment < first["timestamp"]["stop"] + 1 else no_log_of(stanza, moment=moment)
        case "lsn":
            return too_early if position(target) < position(first["lsn"]["stop"]) else no_log_of(stanza, lsn=target)
    return None


def no_log_of(of, moment=None, lsn=None):
    """Why the log does not reach a target. Only the primary knows its course, and no other formation's."""
    if of != repository()["stanza"]:
        return None
    told = info()
    with postgres.contextlib.closing(postgres.local()) as connection:
        if postgres.rows(connection, "SELECT pg_is_in_recovery()")[0][0]:
            raise Refused("it is a standby, and the primary knows the course of the log")
        course = Course(connection)
    there = archived(archive_id(told))
    if lsn is not None:
        reached = course.segment(of_position(lsn)) in there
    else:
        reached = any(begins < moment <= ends for begins, ends in stretches(told["backup"], there, course))
    if reached:
        return None
    return "the log of that is not in the repository: what was written in the last minute comes there within another, and a gap stays one"


def verify():
    """Reads every file of the repository again; says which are not what they were."""
    line = command_line("verify", "--output=text", "--verbose", "--log-level-console=detail", "--log-level-stderr=error")
    wrong, began, last = [], time.monotonic(), 0.0
    with subprocess.Popen(line, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as run:
        tail = []
        for text in run.stdout:
            tail = (tail + [text])[-20:]
            if found := re.search(r"(?:invalid (?:checksum|size)|file missing|invalid result|unable to).*", text):
                wrong.append(found.group(0).strip())
            if time.monotonic() > last + 5:
                last = time.monotonic()
                say(progress=f"reading everything in the repository for {last - began:.0f} s")
    if run.returncode and not wrong:
        # It reads the first piece of the log before all else, and does not name that one when it cannot.
        wrong = first_of_the_log()
        if not wrong:
            raise Failed("verify", run.returncode, "".join(tail))
    for one in wrong:
        say(wrong=one)
    return f"{len(wrong)} files are not what they were" if wrong else None


def first_of_the_log():
    """Why the oldest piece of the log cannot be read."""
    told = info()
    if not told["archive"]:
        return []
    name, beside = told["archive"][-1]["min"], "/var/spool/pgbackrest/first"
    line = command_line("archive-get", "--no-archive-async", "--log-level-console=off", "--log-level-stderr=error")
    try:
        ended = subprocess.run([*line, name, beside], cwd="/", capture_output=True, text=True, errors="replace", timeout=120, check=False)
    finally:
        with postgres.contextlib.suppress(FileNotFoundError):
            os.remove(beside)
    return [f"{name}: {Failed('archive-get', ended.returncode, ended.stderr)}"] if ended.returncode else []


# --- looks ----------------------------------------------------------------------------------------------------------------


def archiver():
    """How the log is getting to the repository, as Postgres has it."""
    with postgres.contextlib.closing(postgres.local()) as connection:
        failing, last, failed, reason = postgres.rows(
            connection,
            "SELECT coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false),"
            " extract(epoch FROM clock_timestamp() - last_archived_time)::float8, failed_count, last_failed_wal FROM pg_stat_archiver",
        )[0]
    queue = waiting()
    return {
        "failing": failing, "last_archived_s": last, "failed_count": failed, "last_failed": reason,
        "waiting_s": max(queue.values(), default=0.0), "waiting_bytes": len(queue) * SEGMENT_BYTES,
        "waiting_max_bytes": repository()["queue_max_bytes"],
    }  # fmt: skip


def seen():
    """On the primary; a standby has nothing to tell."""
    found = {"archiver": archiver(), "unreachable": None, "lost": [], "backups": {}, "since_s": None}
    try:
        told = info(patience_s=24)
        found["lost"] = surely_missing(told)
    except (Refused, subprocess.TimeoutExpired) as error:
        found["unreachable"] = postgres.first_line(error)
        return found
    moment = time.time()
    for backup in told["backup"]:
        if not backup["error"]:
            found["backups"][TYPES[backup["type"]]] = moment - backup["timestamp"]["stop"]
    if os.path.exists(MARK):
        found["since_s"] = moment - os.stat(MARK).st_mtime
    return found


def canary():
    """Writes down that it is now; gives the moment. The newest such row that is restored tells how much would have been lost."""
    with postgres.contextlib.closing(postgres.local()) as connection:
        postgres.rows(connection, "CREATE SCHEMA IF NOT EXISTS bascule")
        # One row; the log has all that it ever was.
        columns = "id integer PRIMARY KEY CHECK (id = 1), at timestamptz NOT NULL"
        postgres.rows(connection, f"CREATE TABLE IF NOT EXISTS bascule.backup_canary ({columns})")
        return postgres.rows(
            connection,
            "INSERT INTO bascule.backup_canary VALUES (1, clock_timestamp())"
            " ON CONFLICT (id) DO UPDATE SET at = excluded.at RETURNING extract(epoch FROM at)::float8",
        )[0][0]


def write_canary():
    if not postgres.is_primary():
        raise Refused("it is a standby, and the primary writes")
    say(canary_s=canary())


def status():
    if not os.path.exists(SECRETS) or not postgres.is_primary():
        raise Refused("it is a standby, or was never set up for backups")
    print(json.dumps(seen()))


def metrics():
    """For node_exporter; of a standby that it is one, so that nobody misses the rest."""
    lines = []

    def tell(name, what, values, kind="gauge"):
        lines.extend([f"# HELP bascule_backup_{name} {what}", f"# TYPE bascule_backup_{name} {kind}"])
        lines.extend(f"bascule_backup_{name}{labels} {float(value):.0f}" for labels, value in values)

    is_primary = postgres.is_primary()
    tell("primary", "1 on the node that makes backups.", [("", is_primary)])
    if is_primary and os.path.exists(SECRETS):
        canary()
        told = seen()
        queue = told["archiver"]
        tell("archive_failing", "1 while the log does not get to the repository.", [("", queue["failing"])])
        tell("archive_failures_total", "How often it did not, since statistics began.", [("", queue["failed_count"])], "counter")
        tell("archive_waiting_seconds", "For how long the oldest piece of the log has been waiting.", [("", queue["waiting_s"])])
        tell("archive_waiting_bytes", "How much of the log waits.", [("", queue["waiting_bytes"])])
        tell("archive_waiting_max_bytes", "More than so much is dropped.", [("", queue["waiting_max_bytes"])])
        tell("repository_up", "1 while the repository answers.", [("", told["unreachable"] is None)])
        if told["unreachable"] is None:
            tell("archive_lost_segments", "Pieces of the log since the newest backup that nobody has.", [("", len(told["lost"]))])
            ages = [(f'{{type="{of}"}}', age) for of, age in sorted(told["backups"].items())]
            tell("age_seconds", "How old the newest backup of a type is.", ages)
    beside = f"{METRICS}.new"
    with open(beside, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    os.chmod(beside, 0o644)
    os.rename(beside, METRICS)


def main():
    changes = {"secrets": secrets, "stanza": stanza}
    looks = {"due": due, "list": list_all, "formations": formations, "verify": verify, "status": status, "metrics": metrics, "canary": write_canary}
    match sys.argv[1:]:
        case [verb, ("check" | "apply") as mode] if verb in changes:
            why = changes[verb](mode == "apply")
        case ["reaches", formation, kind, target]:
            # What is wrong with it is an answer, too.
            print(beyond(kind, target, formation) or "", end="")
            why = None
        case ["now", ("full" | "diff" | "incr") as of]:
            why = now(of)
        case [verb] if verb in looks:
            why = looks[verb]()
        case _:
            usage = f"usage: backup {'|'.join(changes)} check|apply, backup now full|diff|incr, or backup reaches STANZA KIND TARGET, or backup {'|'.join(looks)}"
            print(usage, file=sys.stderr)
            return 2
    if why:
        print(why)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Refused, psycopg2.Error) as error:
        sys.exit(f"backup: {postgres.first_line(error)}")
