"""A PostgreSQL cluster of the tests' own: on a socket in a temporary folder, durable as by default."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import trustme

from devtools.processes import TIMEOUT, free_ports, wait_until
from tests.support.certificates import put_pair

SUPERUSER, LOCAL = "postgres", "127.0.0.1"
# The user `secret` has a password; the others need none.
HBA = "local all secret scram-sha-256\nlocal all all trust\nhostssl all all 127.0.0.1/32 trust\n"


def binaries() -> Path:
    """Returns the folder of the newest server's programs. Where there is none the test is skipped."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda one: int(one.parts[-3]))
    path = found[-1] if found else shutil.which("initdb")
    if path is None:
        pytest.skip("initdb is not installed; it is in the Debian package postgresql")
    return Path(path).parent


class Cluster:
    """A server that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._data, self._bin = folder, folder / "data", binaries()
        # The server refuses to run as root.
        self._user: dict[str, Any] = (
            {"user": SUPERUSER, "group": SUPERUSER, "extra_groups": []} if not os.getuid() else {}
        )
        self._numbers = itertools.count()
        self.authority, self.port = trustme.CA(), free_ports(1)[0]

    def create(self) -> None:
        """Make it. The new files are not synced; transactions are."""
        self._own(self._folder)
        initdb = (self._bin / "initdb", "-D", self._data, "-U", SUPERUSER, "-A", "trust", "-N", "-E", "UTF8")
        subprocess.run(initdb, check=True, capture_output=True, cwd="/", timeout=TIMEOUT, **self._user)
        (self._data / "pg_hba.conf").write_text(HBA)
        self.authority.cert_pem.write_to_path(self._folder / "ca.pem")
        put_pair(self._data, self.authority.issue_cert("localhost"))
        key = self._data / "server.key"
        key.chmod(0o600)
        self._own(key)

    def _own(self, path: Path) -> None:
        """Give a file to the server's user."""
        if self._user:
            user = pwd.getpwnam(SUPERUSER)
            os.chown(path, user.pw_uid, user.pw_gid)

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        settings = {
            "unix_socket_directories": self._folder,
            "listen_addresses": LOCAL,
            "port": self.port,
            "ssl": "on",
            "ssl_cert_file": "server.pem",
            "ssl_key_file": "server.key",
        }
        flags = [f"--{name}={value}" for name, value in settings.items()]
        self._server = subprocess.Popen(
            (self._bin / "postgres", "-D", self._data, *flags),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            **self._user,
        )
        wait_until(self._answers, "PostgreSQL")

    def _answers(self) -> bool:
        assert self._server.poll() is None, "the server ended"
        with suppress(psycopg.OperationalError):
            self.execute("SELECT 1")
            return True
        return False

    def stop(self) -> None:
        """Stop the server: transactions under way are rolled back, and connections closed."""
        self._server.send_signal(signal.SIGINT)
        self._server.wait(TIMEOUT)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The server is down, and then up again."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The server takes connections and answers nothing, as if its machine hung."""
        children = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children").read_text().split()
        pids = [self._server.pid, *map(int, children)]
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def url(self, user: str = SUPERUSER, schema: str = "public", **params: str) -> str:
        """Returns the URL of a schema, as a user."""
        more = {
            "host": str(self._folder),
            "port": str(self.port),
            "options": f"-csearch_path={schema}",
            **params,
        }
        query = "&".join(f"{name}={quote(value, safe='/')}" for name, value in more.items())
        return f"postgresql://{user}@/postgres?{query}"

    def remote(self, **params: str) -> str:
        """Returns the URL over TCP, which the server takes with TLS only."""
        query = "&".join(f"{name}={value}" for name, value in params.items())
        return f"postgresql://{SUPERUSER}@localhost:{self.port}/postgres?hostaddr={LOCAL}&{query}"

    @property
    def ca_file(self) -> Path:
        """The certificate of the server's authority."""
        return self._folder / "ca.pem"

    def empty(self) -> str:
        """Returns the URL of a schema with nothing in it."""
        name = f"ledger_{next(self._numbers)}"
        self.execute(f"CREATE SCHEMA {name}")
        return self.url(schema=name)

    def set_password(self, password: str) -> None:
        """Give the user `secret` a password."""
        if not self.execute("SELECT 1 FROM pg_roles WHERE rolname = 'secret'"):
            self.execute("CREATE ROLE secret LOGIN SUPERUSER")
        self.execute(f"ALTER ROLE secret PASSWORD '{password}'")

    def execute(self, statement: str, url: str = "") -> list[tuple[object, ...]]:
        """Run a statement as somebody else; returns its rows, if it has any."""
        with closing(psycopg.connect(url or self.url(), autocommit=True)) as db:
            cursor = db.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def running() -> Iterator[Cluster]:
    """A cluster that goes with its end. A socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder))
        cluster.create()
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
