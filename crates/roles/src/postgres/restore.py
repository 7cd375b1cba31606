#!/usr/bin/python3
"""restore VERB: restores PostgreSQL from the repository, on an instance of its own that sends no log anywhere.

  check|apply     restores what `restore.json` says, for good: a server that belongs to nobody, until the platform file names
                  its formation, and `postgres make` has it be that one's first node
  told            tells how far that came
  drill SECONDS   restores the newest backup and all of the log, and looks whether everything is there: the row, too, that the
                  primary wrote at that moment, in seconds since 1970 (`backup canary`)
"""

import contextlib
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time

import psycopg2
from psycopg2 import sql


def program(name):
    path = f"/usr/local/lib/bascule/{name}"
    spec = importlib.util.spec_from_loader(name, importlib.machinery.SourceFileLoader(name, path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sys.dont_write_bytecode = True
backup = program("backup")
postgres = backup.postgres
Refused, say = postgres.Refused, backup.say

DATA = backup.DATA
EXPECTED = "/etc/pgbackrest/expected.json"
CONFIG = "/etc/postgresql/bascule/restored.conf"
LOG = "/var/lib/postgresql/restored.log"
WANTED = "/etc/postgresql/bascule/restore.json"
RESTORED_UNIT = postgres.RESTORED_UNIT
# A drill that the repository or the machine makes impossible says nothing about the backup.
ENVIRONMENT = 2
HOURS_S = 3600
# By then a server that was started has written down its process.
BEGINS_WITHIN_S = 15


class Environment(Refused):
    """It could not be tried."""


# --- a restored server --------------------------------------------------------------------------------------------------


def restore(tell, *arguments):
    """Has pgBackRest bring the files, into an empty folder. Nothing is sent to the repository from here, ever."""
    line = backup.command_line(
        "restore", "--archive-mode=off", "--process-max=4", "--log-level-console=detail", "--log-level-stderr=error", *arguments
    )
    with subprocess.Popen(line, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as run:
        tail = []
        for text in run.stdout:
            tail = (tail + [text])[-30:]
            if percent := re.search(r"restore file .*?([0-9.]+)%\)", text):
                tell(float(percent.group(1)))
    if run.returncode:
        raise backup.Failed("restore", run.returncode, "".join(tail))


def pg(command, *arguments, timeout_s):
    line = ["runuser", "-u", "postgres", "--", f"{postgres.BIN[0]}/{command}", *arguments]
    try:
        return subprocess.run(
            line, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise Refused(f"{command}: not done within {timeout_s} s") from late


def start(tell):
    """Has Postgres apply the log, and begin a timeline of its own at its end. It listens to nobody but this machine."""
    os.makedirs("/var/run/postgresql", exist_ok=True)
    shutil.chown("/var/run/postgresql", "postgres", "postgres")
    with contextlib.suppress(FileNotFoundError):
        os.remove(LOG)
    line = ["runuser", "-u", "postgres", "--", f"{postgres.BIN[0]}/pg_ctl", "start", "--pgdata", DATA, "--log", LOG,
            "--options", f"-c config_file={CONFIG}", "--no-wait"]  # fmt: skip
    subprocess.run(line, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=True)
    began = time.monotonic()
    # It answers nobody before all of the log is applied. That it runs can only be told once it has written down its process.
    while pg("pg_isready", "--quiet", "--host=/var/run/postgresql", timeout_s=30).returncode:
        runs = pg("pg_ctl", "status", "--pgdata", DATA, timeout_s=30).returncode == 0
        if not runs and time.monotonic() - began > BEGINS_WITHIN_S:
            raise Refused(f"PostgreSQL does not start on what was restored: {why_not()}")
        if time.monotonic() - began > 24 * HOURS_S:
            raise Refused("the log was not applied within a day")
        time.sleep(0.5)
        tell(applied())


def applied():
    """The last piece of the log that was applied, as Postgres logs it."""
    with contextlib.suppress(OSError):
        found = re.findall(r"restored log file \"([0-9A-F]{24})\"", postgres.read(LOG))
        return found[-1] if found else None


def why_not():
    with contextlib.suppress(OSError):
        lines = [line for line in postgres.read(LOG).splitlines() if re.search(r"FATAL|PANIC|ERROR", line)]
        if lines:
            return re.sub(r"^.*?(FATAL|PANIC|ERROR): +", "", lines[0])
    return "no word in its log"


def stop():
    pg("pg_ctl", "stop", "--pgdata", DATA, "--mode", "fast", "--wait", "--timeout", "300", timeout_s=400)


# --- for good -------------------------------------------------------------------------------------------------------------


def for_good(apply):
    of, was = wanted(), done()
    if was and was["wanted"] == of:
        return None
    if was:
        raise Refused(f"something else was restored here ({was['wanted']}): choose another name for the formation, or destroy this one first")
    if not apply:
        return "nothing is restored yet"
    if why := backup.beyond(of["kind"], of["target"]):
        raise Refused(why)
    subprocess.run(["systemctl", "disable", "--now", RESTORED_UNIT], check=False, capture_output=True, timeout=300)
    shutil.rmtree(DATA, ignore_errors=True)
    restore(lambda _: None, *arguments(of["kind"], of["target"]))
    start(lambda _: None)
    found = outcome()
    stop()
    clear()
    subprocess.run(["systemctl", "enable", "--now", RESTORED_UNIT], check=True, capture_output=True, timeout=400)
    postgres.put(postgres.RESTORED, json.dumps({"wanted": of, **found}))
    return None


def wanted():
    return json.loads(postgres.read(WANTED))


def done():
    try:
        return json.loads(postgres.read(postgres.RESTORED))
    except OSError:
        return None


def arguments(kind, target):
    """Of `pgbackrest restore`. A backup is restored to its own end."""
    match kind:
        case "default":
            return []
        case "backup":
            return ["--type=immediate", "--target-action=promote", f"--set={target}"]
        case _:
            return [f"--type={kind}", "--target-action=promote", f"--target={target}"]


def outcome():
    """How far it came: the last commit that is there, and where the new timeline begins."""
    with contextlib.closing(postgres.local()) as connection:
        last = postgres.rows(
            connection,
            "SELECT to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),"
            " substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)",
        )[0]
        size = postgres.rows(connection, "SELECT sum(pg_database_size(oid))::bigint FROM pg_database")[0][0]
    history = postgres.read(f"{DATA}/pg_wal/{last[1]}.history").splitlines()
    begins = [line.split()[1] for line in history if re.match(r"\s*\d+\s+[0-9A-F]+/", line)]
    return {"last_commit": last[0], "lsn": begins[-1], "bytes": size}


def clear():
    """What the restore, and the formation of the node that was backed up, left among the settings: none of it is this server's, and the
    way to the archive that it came from would lead a standby astray."""
    foreign = ("restore_command", "recovery_target", "archive_mode", "synchronous_standby_names", "primary_conninfo", "primary_slot_name")
    path = f"{DATA}/postgresql.auto.conf"
    lines = postgres.read(path).splitlines(keepends=True)
    postgres.put(path, "".join(line for line in lines if not line.lstrip().startswith(foreign)))
    path = f"{DATA}/postgresql-auto-failover-standby.conf"
    if os.path.exists(path):
        postgres.put(path, "")


def told():
    if not (was := done()):
        return "nothing was restored here"
    del was["wanted"]
    print(json.dumps(was))
    return None


# --- a drill --------------------------------------------------------------------------------------------------------------


def newest():
    """The backup that is restored: the newest one, whatever kind it is."""
    try:
        told = backup.info()
    except Refused as error:
        raise Environment(str(error)) from error
    sound = [one for one in told["backup"] if not one["error"]]
    if not sound:
        raise Environment("there is no backup yet")
    return sound[-1]


def drill(written_s):
    began = time.monotonic()
    of = newest()
    checks = []

    def check(name, passed, detail):
        checks.append(passed)
        say(check={"name": name, "passed": passed, "detail": detail})

    looked_s = time.time()
    told = {"label": of["label"], "bytes": of["info"]["size"], "restored_s": None, "rpo_s": None}
    try:
        whole(of, check, told, looked_s, written_s)
    except Environment:
        raise
    except (Refused, psycopg2.Error, subprocess.SubprocessError, OSError) as error:
        # What is not the backup's fault is not held against it.
        newest()
        check("drill", False, postgres.first_line(error))
    told["seconds"] = time.monotonic() - began
    say(result={**told, "passed": all(checks)})
    return None if all(checks) else "it did not pass"


def whole(of, check, told, looked_s, written_s):
    began, last = time.monotonic(), [-10.0]

    def copied(percent):
        if percent >= last[0] + 10:
            last[0] = percent
            say(progress=f"{percent:.0f} % of the files of {of['label']} are restored")

    shutil.rmtree(DATA, ignore_errors=True)
    try:
        restore(copied, f"--set={of['label']}")
    except backup.Failed as error:
        newest()
        check("restore", False, str(error))
        return
    check("restore", True, f"{of['label']}, {len(os.listdir(f'{DATA}/base'))} databases")
    shown = [None]

    def replayed(segment):
        if segment and segment != shown[0]:
            shown[0] = segment
            say(progress=f"the log is applied to {segment}")

    try:
        start(replayed)
    except Refused as error:
        newest()
        check("recovery", False, str(error))
        return
    told["restored_s"] = time.monotonic() - began
    check("recovery", True, f"the log is applied to {shown[0]}" if shown[0] else "the backup's own log is applied")
    canary_is_there(check, told, looked_s, written_s)
    rows_are_there(check)
    say(progress="reading every table and every index")
    structures_are_sound(check)
    stop()
    checksums_are_right(check)


def expected():
    return json.loads(postgres.read(EXPECTED))


def canary_is_there(check, told, looked_s, written_s):
    """The newest row that the primary wrote: what is older was saved, and what is newer would have been lost."""
    with contextlib.closing(postgres.local()) as connection:
        is_there = postgres.rows(connection, "SELECT to_regclass('bascule.backup_canary') IS NOT NULL")[0][0]
        query = "SELECT extract(epoch FROM max(at))::float8 FROM bascule.backup_canary"
        at = postgres.rows(connection, query)[0][0] if is_there else None
    if at is None:
        check("canary", False, "the row that was written before the drill is not there, nor any before it")
        return
    told["rpo_s"] = max(0.0, looked_s - at)
    late = written_s - at
    if late > 0.001:
        check("canary", False, f"the row that was written before the drill is not there: the newest is {late:.0f} s older")
    else:
        check("canary", True, f"what was committed {told['rpo_s']:.0f} s before the drill is there")


def rows_are_there(check):
    for database, tables in expected()["databases"].items():
        try:
            connection = postgres.local(database)
        except psycopg2.Error as error:
            check(f"database {database}", False, postgres.first_line(error))
            continue
        with contextlib.closing(connection):
            for table, least in tables.items():
                try:
                    count = postgres.rows(connection, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*table.split("."))))[0][0]
                except psycopg2.Error as error:
                    check(f"rows of {database}.{table}", False, postgres.first_line(error))
                    continue
                check(f"rows of {database}.{table}", count >= least, f"{count} are there, {least} are expected at least")


def structures_are_sound(check):
    """amcheck: each table's pages, each index, and that each index knows every row."""
    ended = pg(
        "pg_amcheck", "--host=/var/run/postgresql", "--username=postgres", "--all", "--install-missing", "--heapallindexed", "--jobs=2",
        timeout_s=12 * HOURS_S,
    )  # fmt: skip
    wrong = [line for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
    check("amcheck", ended.returncode == 0, wrong[0] if ended.returncode and wrong else "every table and every index is sound")


def checksums_are_right(check):
    ended = pg("pg_checksums", "--check", "--pgdata", DATA, timeout_s=12 * HOURS_S)
    blocks = re.search(r"Blocks scanned: +(\d+)", ended.stdout)
    bad = re.search(r"Bad checksums: +(\d+)", ended.stdout)
    passed = ended.returncode == 0 and bad is not None and bad.group(1) == "0"
    lines = (ended.stderr or ended.stdout).strip().splitlines() or ["no word"]
    check("checksums", passed, f"{blocks.group(1)} pages are as they were written" if passed and blocks else lines[0])


def main():
    match sys.argv[1:]:
        case [("check" | "apply") as mode]:
            why = for_good(mode == "apply")
        case ["told"]:
            why = told()
        case ["drill", written_s]:
            return 1 if drill(float(written_s)) else 0
        case _:
            print("usage: restore check|apply|told, or restore drill SECONDS", file=sys.stderr)
            return 2
    if why:
        print(why)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Environment as error:
        print(f"restore: {postgres.first_line(error)}", file=sys.stderr)
        sys.exit(ENVIRONMENT)
    except (Refused, psycopg2.Error) as error:
        sys.exit(f"restore: {postgres.first_line(error)}")
