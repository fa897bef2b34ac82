"""`make stack`: simulators, exporter, Prometheus with its rules, Alertmanager; Grafana where it is installed.

    python -m deploy.stack [--ports free] [--history DAYS]

All run as processes of this machine, with files in a temporary folder; Ctrl-C ends them. They use their
well-known ports, or free ones; the addresses are printed.

Time is as it is. Accounts `production` have the history of a month, which Prometheus is given before it
starts; accounts `staging` start ten sessions in a minute, and waves of errors and timeouts begin at once.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import msgspec
import yaml

from devtools.processes import COMMAND, Process, free_ports, wait_until

HERE = Path(__file__).parent
GRAFANA = HERE.parent / "grafana"
TIMEOUT = 30.0  # seconds for a process to come up, and for one to end
KEY = "STACK_KEY"
HELLO = """
Of staging at Browserbase most sessions fail from now on: an alert fires within ten minutes, and ends after
the wave, half an hour later. The graphs lack the last three hours, which no history may hold.
Ctrl-C ends everything and leaves no files behind.
"""


class Ports(msgspec.Struct, frozen=True):
    """On which port of localhost each program listens; by default those that everybody knows."""

    exporter: int = 10925
    production: int = 10926
    staging: int = 10927
    prometheus: int = 9090
    alertmanager: int = 9093
    grafana: int = 3000


class Service(msgspec.Struct, frozen=True):
    """A program, and the pages to look at, by title.

    ready: the path at which it answers 200 when it is up; None: it is up once it takes connections.
    """

    name: str
    command: Sequence[str | Path]
    port: int
    ready: str | None
    pages: Mapping[str, str]
    environ: Mapping[str, str] | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stack until a signal comes or a part of it ends; 0, or 1 when something is missing or ended."""
    parser = argparse.ArgumentParser(prog="make stack", description=__doc__.splitlines()[0])
    parser.add_argument("--ports", choices=["well-known", "free"], default="well-known")
    parser.add_argument("--history", type=int, default=30, metavar="DAYS", help="default: 30, of production")
    flags = parser.parse_args(arguments)
    ports = Ports() if flags.ports == "well-known" else Ports(*free_ports(6))
    leaving = Event()
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, lambda *_: leaving.set())
    try:
        with tempfile.TemporaryDirectory(prefix="cloud-browser-stack-") as folder, ExitStack() as stack:
            simulators = [_production(ports, flags.history), _staging(ports)]
            others = list(_services(Path(folder), ports))
            services = [*simulators, *others]
            _check_free([service.port for service in services])
            running = [_started(service, stack) for service in simulators]
            _backfill(Path(folder), ports)
            running += [_started(service, stack) for service in others]
            for title, url in (page for service in services for page in service.pages.items()):
                print(f"  {title:14} {url}")
            print(HELLO, flush=True)
            while not leaving.wait(1):
                _check_running(services, running)
    except (LookupError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"make stack: {error}", file=sys.stderr)
        return 1
    return 0


def _services(folder: Path, ports: Ports) -> Iterator[Service]:
    """What there is to run. Raises LookupError for a program that must be installed first."""
    yield _exporter(folder, ports)
    yield _alertmanager(folder, ports)
    yield _prometheus(folder, ports)
    if program := shutil.which("grafana-server"):
        yield _grafana(program, folder, ports)


def _production(ports: Ports, days: int) -> Service:
    """A steady fleet with a past."""
    rate = 30
    history = days * 24 * rate
    return _simulator("production", ports.production, f"--rate={rate}", f"--history={history}", "--seed=2")


def _staging(ports: Ports) -> Service:
    """A busy fleet of which most fails for half an hour, then hangs for a while."""
    waves = "--wave=error:0.8:0:35", "--wave=timeout:0.7:60:80"
    return _simulator("staging", ports.staging, "--rate=600", *waves)


def _simulator(name: str, port: int, *flags: str) -> Service:
    address = f"--listen-address=localhost:{port}"
    command: list[str | Path] = [COMMAND, "simulate", address, "--billing=upfront", *flags]
    return Service(f"the simulator of {name}", command, port, None, {name: _url(port, "/truth")})


def _exporter(folder: Path, ports: Ports) -> Service:
    return Service(
        "the exporter",
        [
            COMMAND, f"--config.file={_configuration(folder, ports)}", "--log.level=warn",
            f"--web.listen-address=localhost:{ports.exporter}",
        ],
        ports.exporter,
        "/-/ready",
        {"exporter": _url(ports.exporter), "metrics": _url(ports.exporter, "/metrics")},
        os.environ | {KEY: "stack"},
    )  # fmt: skip


def _configuration(folder: Path, ports: Ports) -> Path:
    """The exporter's configuration: two accounts at each provider, of which one has limits of its own."""
    prices = {"browser_usd_per_hour": 0.12, "proxy_usd_per_gb": 12, "minimum_seconds": 60}
    accounts: list[dict[str, object]] = []
    for name, port in (("production", ports.production), ("staging", ports.staging)):
        common: dict[str, object] = {"name": name, "api_key_env": KEY}
        accounts += [
            {**common, "provider": "browserbase", "base_url": _url(port), "pricing": prices},
            {**common, "provider": "browser_use", "base_url": _url(port, "/api/v3")},
        ]
    accounts[0]["limits"] = {"budget_usd_per_hour": 20, "open_sessions": 25}
    for account in accounts[2:]:  # of a month's history the labels would multiply the samples
        account["metadata_labels"] = {"team": "team"}
    path = folder / "exporter.yml"
    ledger = {"url": f"sqlite:///{folder / 'ledger.db'}"}
    path.write_text(yaml.safe_dump({"accounts": accounts, "ledger": ledger}))
    return path


def _backfill(folder: Path, ports: Ports) -> None:
    """Give Prometheus the history that the providers list. Raises CalledProcessError."""
    print("History is read from the providers and given to Prometheus: about a minute.", flush=True)
    samples = folder / "history.om"
    labels = f"job=cloud-browser-exporter,instance=localhost:{ports.exporter}"
    command: list[str | Path] = [
        COMMAND, "backfill", f"--config.file={_configuration(folder, ports)}", f"--output={samples}",
        f"--labels={labels}", "--step=4m", "--log.level=warn",
    ]  # fmt: skip
    _run(command, os.environ | {KEY: "stack"})
    blocks: list[str | Path] = [
        _found("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet",
        "--max-block-duration=744h", samples, folder / "prometheus",
    ]  # fmt: skip
    _run(blocks)
    samples.unlink()


def _run(command: Sequence[str | Path], environ: Mapping[str, str] | None = None) -> None:
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)


def _alertmanager(folder: Path, ports: Ports) -> Service:
    return Service(
        "Alertmanager",
        [
            _found("prometheus-alertmanager", "alertmanager"),
            f"--config.file={HERE / 'alertmanager' / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=localhost:{ports.alertmanager}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ],
        ports.alertmanager,
        "/-/ready",
        {"Alertmanager": _url(ports.alertmanager)},
    )


def _prometheus(folder: Path, ports: Ports) -> Service:
    """Prometheus as it is shipped, but for the ports."""
    config = folder / "prometheus.yml"
    text = (HERE / "prometheus" / "prometheus.yml").read_text()
    for shipped, chosen in (
        (f"localhost:{Ports().exporter}", f"localhost:{ports.exporter}"),
        (f"localhost:{Ports().alertmanager}", f"localhost:{ports.alertmanager}"),
        ("rules/*.yml", f"{HERE / 'prometheus' / 'rules'}/*.yml"),
    ):
        text = text.replace(shipped, chosen)
    config.write_text(text)
    return Service(
        "Prometheus",
        [
            _found("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            "--storage.tsdb.retention.time=45d",
            f"--web.listen-address=localhost:{ports.prometheus}",
            "--log.level=warn",
        ],
        ports.prometheus,
        "/-/ready",
        {"Prometheus": _url(ports.prometheus, "/alerts")},
    )


def _grafana(program: str, folder: Path, ports: Ports) -> Service:
    """Grafana: everybody may look, at the committed dashboards, over this Prometheus."""
    environ = {
        "GF_PATHS_PROVISIONING": str(GRAFANA / "provisioning"),
        "GF_PATHS_DATA": str(folder / "grafana"),
        "GF_PATHS_LOGS": str(folder / "grafana"),
        "GF_PATHS_PLUGINS": str(folder / "grafana" / "plugins"),
        "GF_SERVER_HTTP_ADDR": "localhost",
        "GF_SERVER_HTTP_PORT": str(ports.grafana),
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "CLOUD_BROWSER_DASHBOARDS": str(GRAFANA / "dashboards"),
        "PROMETHEUS_URL": _url(ports.prometheus),
    }
    command = [program, "--homepath", "/usr/share/grafana"]  # where its packages put it
    pages = {"Grafana": _url(ports.grafana)}
    return Service("Grafana", command, ports.grafana, "/api/health", pages, os.environ | environ)


def _url(port: int, path: str = "") -> str:
    return f"http://localhost:{port}{path}"


def _check_free(ports: Sequence[int]) -> None:
    """Raises OSError for a port at which somebody answers already."""
    for port in ports:
        if _is_taken(port):
            raise OSError(f"port {port} is taken; end what listens there, or say --ports free")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0


def _found(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    packages = "prometheus and prometheus-alertmanager"
    raise LookupError(f"{names[0]} is not installed; it is in Debian's packages {packages}")


def _started(service: Service, stack: ExitStack) -> Process:
    """The service once it is up; it is stopped with the stack."""
    # Ctrl-C reaches all of a terminal's processes: in a session of their own they end in order.
    process = Process(
        *service.command, environ=service.environ, capture=None, grace=TIMEOUT, own_session=True
    )
    stack.enter_context(process)
    if service.ready is None:
        wait_until(lambda: _is_taken(service.port), f"{service.name} to listen", TIMEOUT)
    else:
        process.wait_for_http(_url(service.port, service.ready), TIMEOUT)
    return process


def _check_running(services: Sequence[Service], running: Sequence[Process]) -> None:
    for service, process in zip(services, running, strict=True):
        if not process.running:
            raise RuntimeError(f"{service.name} ended with {process.exit_code}: see above")


if __name__ == "__main__":
    sys.exit(main())
