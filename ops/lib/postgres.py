"""postgres: the stack's own PostgreSQL 15: its folder, its configuration, its database."""

import os
import shutil
import signal
import subprocess
import tempfile

import console
import process
from console import Failure

BIN = "/usr/lib/postgresql/15/bin"
CONFIGURATION = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "servers", "postgresql.conf")
ROLE = DATABASE = "aether"


def dsn(port, password):
    return f"postgresql://{ROLE}:{password}@127.0.0.1:{port}/{DATABASE}"


def prepare(state, port, password):
    """Makes the folder at the first call and writes its configuration at every one. The arguments to start it with."""
    data = state.place_postgres()
    user = state.postgres_user()
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    if not os.path.exists(os.path.join(data, "PG_VERSION")):
        # A fresh server makes each segment of its log by writing zeros and syncing them: 16 MB stop every commit for 60 ms,
        # once in two seconds under load (p99 of posting 54 ms); 1 MB for 4 ms (p99 25 ms).
        with tempfile.NamedTemporaryFile("w") as password_file:
            password_file.write(password)
            password_file.flush()
            if user:
                shutil.chown(password_file.name, user)
            made = subprocess.run(
                [f"{BIN}/initdb", "-D", data, "-U", ROLE, "-A", "scram-sha-256", f"--pwfile={password_file.name}", "-E", "UTF8", "--wal-segsize=1",
                 "--locale=C.UTF-8", "--no-instructions"],
                cwd="/", env=environment, user=user, group=user, extra_groups=[] if user else None,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if made.returncode:
            raise Failure(f"PostgreSQL's initdb failed in {data}: {console.last_line(made.stdout)}")
    with open(CONFIGURATION) as file:
        lines = file.read() + f"port = {port}\n"
    path = os.path.join(data, "postgresql.conf")
    with open(path, "w") as file:
        file.write(lines)
    return [f"{BIN}/postgres", "-D", data]


def answers(port):
    return subprocess.run([f"{BIN}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", ROLE],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def psql(port, password, sql, database=DATABASE):
    """Runs SQL; (exit status, output or error)."""
    done = subprocess.run(["/usr/bin/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(port), "-U", ROLE,
                           "-d", database, "-c", sql], env={"PATH": "/usr/bin:/bin", "PGPASSWORD": password}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout.strip()


def make_database(port, password):
    status, text = psql(port, password, f"SELECT count(*) FROM pg_database WHERE datname = '{DATABASE}'", "postgres")
    if status == 0 and text == "0":
        status, text = psql(port, password, f"CREATE DATABASE {DATABASE}", "postgres")
    if status:
        raise Failure(f"PostgreSQL on port {port} refused: {text}")


def sweep(data):
    """Before a start and after a stop: ends what a killed postmaster left behind, so that the next one may begin at once.
    PostgreSQL's own clean-up takes a while where a backend is busy, and it takes another program that was given the pid
    in postmaster.pid for itself."""
    left = process.in_folder(data, "postgres")
    whos = [process.identity(pid) for pid in left]
    for who in whos:
        process.send(who, signal.SIGQUIT)
    for who in process.wait_gone(whos, 2):
        process.send(who, signal.SIGKILL)
    process.wait_gone(whos, 5)
    try:
        with open(os.path.join(data, "postmaster.pid")) as file:
            pid = int(file.readline())
    except (OSError, ValueError):
        return
    if process.ticks(pid) is not None and pid not in process.in_folder(data, "postgres"):
        os.unlink(os.path.join(data, "postmaster.pid"))
