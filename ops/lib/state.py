"""state: the folder that holds everything a stack is: its data, its secrets, its logs, what was asked for, what runs.

    stack.json      what was asked for (ports, numbers of processes, settings); kept until asked otherwise
    env             secrets as NAME=VALUE, 0600, made once; they open the sealed fields of the log, so they live with the data
    keys/           what access tokens are signed with, a file a key
    kafka/ postgres/ redis/         the servers' data
    logs/NAME.log   what each process says
    run/NAME.spec   how a process is started (0600, JSON), run/NAME.state what its supervisor knows of it
"""

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import stat

import console
from console import Failure

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
DEFAULT_FOLDER = os.path.join(REPOSITORY, ".state")
JARS = os.path.join(DEFAULT_FOLDER, "jars")  # every stack of this checkout uses the same
SWAGGER_UI = os.path.join(DEFAULT_FOLDER, "swagger-ui")  # likewise

SECRETS = ("AETHER_VAULT_MASTER_KEY", "AETHER_VAULT_INDEX_KEY", "AETHER_AUTH_SECRET")

POSTGRES_USER = "postgres"


def write_atomically(path, text, mode=0o600):
    temporary = f"{path}.{os.getpid()}.new"
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
    os.replace(temporary, path)


def read_json(path):
    """None when the file is not there (yet, or any more)."""
    try:
        with open(path) as file:
            return json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        raise Failure(f"{path} is damaged; delete it and run this again")


class State:
    def __init__(self, folder=None):
        self.folder = os.path.abspath(folder or DEFAULT_FOLDER)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def exists(self):
        return os.path.exists(self.path("stack.json"))

    def create(self):
        # Others may pass through (PostgreSQL's own user must reach its data) but not list; what is secret is 0600.
        os.makedirs(self.folder, exist_ok=True)
        os.chmod(self.folder, 0o711)
        for part in ("logs", "run"):
            os.makedirs(self.path(part), mode=0o700, exist_ok=True)

    @contextlib.contextmanager
    def lock(self, name="lock"):
        """One command at a time changes a stack; a second one waits."""
        with open(self.path(name), "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                console.say(f"waiting for another ops command on {self.folder}")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def require_room(self, mb):
        free = shutil.disk_usage(self.folder).free >> 20
        if free < mb:
            raise Failure(f"only {free} MB are free on the disk of {self.folder} and a stack needs {mb}; make room, or keep "
                          "it elsewhere with --state FOLDER")

    def secrets(self):
        """{NAME: value}; makes what is missing."""
        path = self.path("env")
        known = {}
        if os.path.exists(path):
            os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)
            with open(path) as file:
                known = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line and not line.startswith("#"))
        missing = [name for name in (*SECRETS, "POSTGRES_PASSWORD") if name not in known]
        if missing:
            for name in missing:
                known[name] = secrets.token_hex(16) if name == "POSTGRES_PASSWORD" else base64.b64encode(secrets.token_bytes(32)).decode()
            self.write_secrets(known)
        return known

    def write_secrets(self, known):
        lines = "".join(f"{name}={value}\n" for name, value in known.items())
        write_atomically(self.path("env"), "# Made by ops/up. Without these the sealed fields of this folder's log cannot be opened.\n" + lines)

    # --- PostgreSQL runs as its own user under root, which refuses to run it ---

    def postgres_user(self):
        return POSTGRES_USER if os.geteuid() == 0 else None

    def postgres_data(self):
        return os.path.realpath(self.path("postgres"))

    def place_postgres(self):
        """Puts PostgreSQL's data where its user can reach it; says where when that is not in this folder."""
        link = self.path("postgres")
        if self.postgres_user() is None or os.path.lexists(link):
            if os.path.islink(link):
                os.makedirs(os.path.realpath(link), mode=0o700, exist_ok=True)
            os.makedirs(link, mode=0o700, exist_ok=True)
        elif passable(self.folder):
            os.mkdir(link, 0o700)
        else:
            elsewhere = "/var/lib/aether-" + hashlib.sha256(self.folder.encode()).hexdigest()[:12]
            os.makedirs(elsewhere, mode=0o711, exist_ok=True)
            os.makedirs(os.path.join(elsewhere, "postgres"), mode=0o700, exist_ok=True)
            os.symlink(os.path.join(elsewhere, "postgres"), link)
            console.say(f"{'postgres':<10} its user cannot enter {self.folder}; its data is in {elsewhere}")
        if self.postgres_user():
            shutil.chown(self.postgres_data(), POSTGRES_USER, POSTGRES_USER)
        return self.postgres_data()

    def wipe(self):
        """Deletes data, secrets, logs and what was asked for; leaves Kafka's jars. Nothing may run."""
        data = self.postgres_data()
        elsewhere = os.path.dirname(data)
        if os.path.islink(self.path("postgres")) and os.path.basename(elsewhere).startswith("aether-"):
            shutil.rmtree(elsewhere, ignore_errors=True)
            os.unlink(self.path("postgres"))
        for part in ("keys", "kafka", "postgres", "redis", "logs", "run"):
            shutil.rmtree(self.path(part), ignore_errors=True)
        for part in ("stack.json", "env", "lock"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(part))
        with contextlib.suppress(OSError):  # what is not ours stays, and the folder with it
            os.rmdir(self.folder)


def passable(folder):
    """Whether any user may pass through the folder and all above it."""
    while True:
        if not os.stat(folder).st_mode & stat.S_IXOTH:
            return False
        parent = os.path.dirname(folder)
        if parent == folder:
            return True
        folder = parent
