"""`make stack`: simulator, exporter, Prometheus with its policy, Alertmanager; Grafana where it is installed.

All run as processes of this machine, with files in a folder that goes with them; Ctrl-C ends them.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import msgspec
import requests

HERE = Path(__file__).parent
GRAFANA = HERE.parent / "grafana"
COMMAND = Path(sys.executable).with_name("cloud-browser-exporter")
PATIENCE = 30.0  # seconds for a process to come up, and for one to leave
HELLO = """\
  exporter       http://localhost:10925/metrics
  simulator      http://localhost:10926/truth
  Prometheus     http://localhost:9090/alerts
  Alertmanager   http://localhost:9093
{grafana}
An hour passes in a minute, so an hour's spending is sixty times a real one's: its alerts fire soon. In 20
minutes a wave of errors begins; some ten minutes later its alert fires, too.
Ctrl-C ends it, and nothing stays behind.
"""


class Service(msgspec.Struct, frozen=True):
    """A program, and the address that answers 200 when it is up."""

    name: str
    command: Sequence[str | Path]
    ready: str
    environ: Mapping[str, str] = {}


def main() -> int:
    """Run the stack until a signal comes or a part of it ends; 0, or 1 when something is missing or ended."""
    leaving = Event()
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, lambda *_: leaving.set())
    try:
        with tempfile.TemporaryDirectory(prefix="cloud-browser-stack-") as folder, ExitStack() as stack:
            services = list(_services(Path(folder)))
            _ports_free([service.ready for service in services])
            running = [stack.enter_context(_running(service)) for service in services]
            here = any(service.name == "Grafana" for service in services)
            grafana = "  Grafana        http://localhost:3000\n" if here else ""
            print(HELLO.format(grafana=grafana), flush=True)
            while not leaving.wait(1):
                _all_alive(services, running)
    except (LookupError, OSError) as error:
        print(f"make stack: {error}", file=sys.stderr)
        return 1
    return 0


def _services(folder: Path) -> Iterator[Service]:
    """What there is to run. Raises LookupError for a program that must be installed first."""
    yield Service(
        "the exporter",
        [COMMAND, "demo", "--speed=60", "--rate=240", "--wave=error:0.5:1200:4800", "--log.level=warn"],
        "http://localhost:10925/-/ready",
    )
    yield Service(
        "Prometheus",
        [
            _found("prometheus"),
            f"--config.file={HERE / 'prometheus' / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            "--web.listen-address=localhost:9090",
            "--log.level=warn",
        ],
        "http://localhost:9090/-/ready",
    )
    yield Service(
        "Alertmanager",
        [
            _found("prometheus-alertmanager", "alertmanager"),
            f"--config.file={HERE / 'alertmanager' / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            "--web.listen-address=localhost:9093",
            "--cluster.listen-address=",
            "--log.level=warn",
        ],
        "http://localhost:9093/-/ready",
    )
    if grafana := shutil.which("grafana-server"):
        command = [grafana, "--homepath", "/usr/share/grafana"]  # where its packages put it
        yield Service("Grafana", command, "http://localhost:3000/api/health", _grafana(folder))


def _ports_free(urls: Sequence[str]) -> None:
    """Raises OSError for a port at which somebody answers already."""
    for url in urls:
        address = urlsplit(url)
        with socket.socket() as probe:
            if probe.connect_ex((address.hostname, address.port)) == 0:
                raise OSError(f"port {address.port} is taken; end what listens there, and try again")


def _grafana(folder: Path) -> dict[str, str]:
    """Its settings: everybody may look, at the committed dashboards, over this Prometheus."""
    return {
        "GF_PATHS_PROVISIONING": str(GRAFANA / "provisioning"),
        "GF_PATHS_DATA": str(folder / "grafana"),
        "GF_PATHS_LOGS": str(folder / "grafana"),
        "GF_PATHS_PLUGINS": str(folder / "grafana" / "plugins"),
        "GF_SERVER_HTTP_ADDR": "localhost",
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "CLOUD_BROWSER_DASHBOARDS": str(GRAFANA / "dashboards"),
        "PROMETHEUS_URL": "http://localhost:9090",
    }


def _found(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    packages = "prometheus and prometheus-alertmanager"
    raise LookupError(f"{names[0]} is not installed; it is in Debian's packages {packages}")


@contextmanager
def _running(service: Service) -> Iterator[subprocess.Popen[bytes]]:
    """The service, from when it is up; told to end when left."""
    # Ctrl-C reaches all of a terminal's processes: in a session of their own they end in order.
    environ = os.environ | service.environ
    process = subprocess.Popen(service.command, env=environ, start_new_session=True)
    try:
        _wait_for(service, process)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(service: Service, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while not _answers(service.ready):
        _all_alive([service], [process])
        if time.monotonic() > until:
            raise OSError(f"{service.name} does not answer at {service.ready}; see above")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return bool(requests.get(url, timeout=1).ok)
    except requests.RequestException:  # not yet up
        return False


def _all_alive(services: Sequence[Service], running: Sequence[subprocess.Popen[bytes]]) -> None:
    for service, process in zip(services, running, strict=True):
        if process.poll() is not None:
            raise OSError(f"{service.name} ended with {process.returncode}; is its port taken? See above")


if __name__ == "__main__":
    sys.exit(main())
