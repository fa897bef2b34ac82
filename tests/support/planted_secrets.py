"""Secrets that tests plant, and the search for them in what comes out."""

import base64
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import COMMAND, LOCAL, Exporter

KEYS = {"browserbase": "sk/Pl4ntedBase0Key+=", "browser_use": "sk/Pl4ntedUse1Key+="}
# Letters and digits alone, which no quoting changes.
CORES = {
    "Browserbase's key": "Pl4ntedBase0Key",
    "Browser Use's key": "Pl4ntedUse1Key",
    "liveUrl": "Pl4ntedLive2",
    "cdpUrl": "Pl4ntedCdp3",
    "recordingUrl": "Pl4ntedRecording4",
    "connectUrl": "Pl4ntedConnect5",
    "seleniumRemoteUrl": "Pl4ntedSelenium6",
    "signingKey": "Pl4ntedSigning7",
    "userMetadata": "Pl4ntedMetadata8",
    "the provider's words": "Pl4ntedWords9",
    "the client's words": "Pl4ntedClientA",
    "a proxy's password": "Pl4ntedProxyB",
    "a misplaced key": "Pl4ntedMisplacedC",
    "a user's password": "Pl4ntedPasswordD",
}
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def spellings(core: str) -> list[bytes]:
    """As it is, in hexadecimal, and what base64 makes of it wherever it stands in a text."""
    text = core.encode()
    thirds = [text[start : start + (len(text) - start) // 3 * 3] for start in range(3)]
    return [one.lower() for one in (text, text.hex().encode(), *map(base64.b64encode, thirds))]


def found(outputs: Mapping[str, bytes], cores: Mapping[str, str] = CORES) -> list[tuple[str, str]]:
    """Which output shows which of the planted, however it is spelled."""
    lowered = {name: output.lower() for name, output in outputs.items()}
    return [
        (name, what)
        for name, output in lowered.items()
        for what, core in cores.items()
        if any(spelling in output for spelling in spellings(core))
    ]


@contextmanager
def serving(folder: Path, form: str, *flags: str | Path, environ: Mapping[str, str]) -> Iterator[Exporter]:
    """The command, with what it writes to stdout, and its process's number, in files."""
    wrapped = 'echo $$ >"$FOLDER/pid"; exec "$0" "$@" >"$FOLDER/stdout"'
    address = ("--web.listen-address", f"{LOCAL}:0", "--log.level", "debug", "--log.format", form)
    environ = {"FOLDER": str(folder), "STATE_DIRECTORY": str(folder / "state"), **environ}
    with Exporter("/bin/sh", "-c", wrapped, COMMAND, *address, *flags, environ=environ) as process:
        yield process


def outputs(process: Exporter, folder: Path, **headers: str) -> dict[str, bytes]:
    """All that can be had of a process that serves, but for its environment and its memory."""
    pid, words = (folder / "pid").read_text().strip(), CORES["the client's words"]
    shown = {
        "metrics": process.get(**headers).content,
        "openmetrics": process.get(Accept=OPENMETRICS, **headers).content,
        "a reload": process.get("/-/reload", method="POST", **headers).content,
        **{path: process.get(path, **headers).content for path in ("/", "/-/healthy", "/-/ready")},
        "not found": process.get(f"/{words}?api_key={words}", **headers).content,
        "not allowed in": process.get(f"/{words}", Authorization=f"Bearer {words}").content,
        "not allowed": process.get("/metrics", method="POST", Cookie=words, **headers).content,
        "no request": spoken(process.port, f"GET /{words} {words}\r\n{words}\r\n\r\n".encode()),
        "cmdline": Path(f"/proc/{pid}/cmdline").read_bytes(),
        "threads": b"".join(one.read_bytes() for one in Path(f"/proc/{pid}/task").glob("*/comm")),
        "stdout": (folder / "stdout").read_bytes(),
    }
    files = {str(path): path.read_bytes() for path in (folder / "state").rglob("*") if path.is_file()}
    return shown | files | {"log": process.log.encode()}


def spoken(port: int, request: bytes) -> bytes:
    """What comes back for these bytes."""
    with socket.create_connection((LOCAL, port)) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))
