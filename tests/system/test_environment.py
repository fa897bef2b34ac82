"""The installed command in untidy environments: proxies, netrc, quotes, pipes, idle connections."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from resource import RLIMIT_AS, prlimit

import pytest
import requests

from tests.support.misbehaviour import Script, answer, serving, silent
from tests.support.pages import Page
from tests.support.processes import COMMAND, KEYS, LOCAL, Exporter, Process, exporter, program, run
from tests.support.provider_servers import BOTH
from tests.support.providers import BROWSER_USE, BROWSERBASE
from tests.support.scripted_apis import VARIABLES, ScriptedApi, configured, scripted

HEADERS = {BROWSERBASE: b"x-bb-api-key", BROWSER_USE: b"x-browser-use-api-key"}
PASSWORD = "swordfish"
ELSEWHERE = "192.0.2.1"  # of a network that is for documentation only
KIB = 1 << 10
SLOW = pytest.mark.slow

Apis = list[ScriptedApi]


@pytest.fixture
def apis() -> Iterator[Apis]:
    """An account of each provider."""
    with ExitStack() as stack:
        yield [stack.enter_context(scripted(provider, "ours")) for provider in BOTH]


def errors(api: ScriptedApi, page: Page) -> dict[str, float]:
    return api.shows(page, "exporter_errors_total", "reason")


def complaint(log: str, api: ScriptedApi) -> str:
    """The warning that an account fails."""
    wanted = "level=warning", f"provider={api.provider}"
    (line,) = (line for line in log.splitlines() if all(word in line for word in wanted))
    return line


# 10, 11, 13: netrc, proxies and certificates of the environment


@pytest.mark.parametrize("variable", ["HOME", pytest.param("NETRC", marks=SLOW)])
def test_no_password_of_a_netrc_file_goes_to_a_provider(tmp_path: Path, apis: Apis, variable: str) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"default login somebody password {PASSWORD}\n")
    netrc.chmod(0o600)
    value = str(netrc if variable == "NETRC" else tmp_path)
    with exporter(*configured(tmp_path, *apis), environ={**KEYS, variable: value}) as process:
        page = Page(process.get())
    for api in apis:
        assert api.up(page) == 1
        for head in api.requests:
            headers = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:] if line)
            assert b"authorization" not in headers
            assert headers[HEADERS[api.provider]] == KEYS[VARIABLES[api.provider]].encode()


@SLOW
def test_the_demo_asks_no_proxy_for_what_is_on_this_machine() -> None:
    flags = "--web.listen-address", f"{LOCAL}:0", "--listen-address", f"{LOCAL}:0"
    with serving() as proxy:
        names = "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"
        with Process(COMMAND, "demo", *flags, environ=dict.fromkeys(names, proxy.url)) as demo:
            port = demo.wait_for_log(r"msg=serving .*port=(\d+)")[1]
            page = Page(requests.get(f"http://{LOCAL}:{port}/metrics", timeout=60))
            demo.signal(signal.SIGTERM)
            assert demo.wait(10) == 0
        assert proxy.connections == 0
    assert {provider: page.sum(provider, "up") for provider in BOTH} == dict.fromkeys(BOTH, 1)


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem", "tls"),
        pytest.param("CURL_CA_BUNDLE", "/nowhere/ca.pem", "tls", marks=SLOW),
        pytest.param("ALL_PROXY", f"socks5://me:{PASSWORD}@{LOCAL}:1", "unreachable", marks=SLOW),
        pytest.param("HTTPS_PROXY", f"http://me:{PASSWORD}@{LOCAL}:port", "unreachable", marks=SLOW),
        pytest.param("HTTPS_PROXY", f"://{PASSWORD}", "unreachable", marks=SLOW),
    ],
)
def test_a_variable_that_keeps_providers_from_being_asked_is_named(
    tmp_path: Path, apis: Apis, variable: str, value: str, reason: str
) -> None:
    options = {
        api.provider: {"base_url": f"https://{ELSEWHERE}", "api_key_env": VARIABLES[api.provider]}
        for api in apis
    }
    with exporter(*configured(tmp_path, *apis, **options), environ={**KEYS, variable: value}) as process:
        page = Page(process.get(X_Prometheus_Scrape_Timeout_Seconds="3"))
        for api in apis:
            assert errors(api, page) == {reason: 1}
            assert variable in complaint(process.log, api)
        assert PASSWORD not in process.log


# 12: addresses


def test_each_of_two_addresses_is_served(tmp_path: Path, apis: Apis) -> None:
    flags = *configured(tmp_path, *apis), "--web.listen-address", f"{LOCAL}:0"
    with exporter(*flags) as process:
        process.wait_for_log(r"(?s)\bport=.*\bport=", 10)
        ports = {
            line.partition("port=")[2].split()[0] for line in process.log.splitlines() if "port=" in line
        }
        assert len(ports) == 2
        for port in ports:
            response = requests.get(f"http://{LOCAL}:{port}/metrics", timeout=60)
            assert [api.up(Page(response)) for api in apis] == [1, 1]


@contextmanager
def hosts(folder: Path, text: str) -> Iterator[tuple[str | Path, ...]]:
    """The beginning of a command line whose program sees this as /etc/hosts; skipped where refused."""
    path = folder / "hosts"
    path.write_text(text)
    script = 'mount --bind "$0" /etc/hosts && exec "$@"'
    prefix = program("unshare", "util-linux"), "--map-root-user", "--mount", "sh", "-c", script, path
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file may be mounted over another here")
    yield prefix


def test_a_name_that_has_an_ipv6_address_only_is_served(tmp_path: Path, apis: Apis) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with hosts(tmp_path, "127.0.0.1 localhost\n::1 six.test\n") as prefix:
        line: tuple[str | Path, ...] = (
            *prefix,
            COMMAND,
            "--web.listen-address",
            "six.test:0",
            *configured(tmp_path, *apis),
        )
        with Process(*line, environ=KEYS) as process:
            port = process.wait_for_log(r"msg=serving .*\bport=([0-9]+)")[1]
            page = Page(requests.get(f"http://[::1]:{port}/metrics", timeout=60))
            assert [api.up(page) for api in apis] == [1, 1]


# 14: no thread


def size(process: Process) -> int:
    """Of its address space, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmSize:")[1].split()[0]) * KIB


def test_an_account_that_gets_no_thread_is_down_and_the_page_is_answered(tmp_path: Path, apis: Apis) -> None:
    """Each thread's stack takes a GiB of a process that may have half of one more."""
    generous = "sh", "-c", 'ulimit -s 1048576 && exec "$0" "$@"'
    flags = "--web.listen-address", f"{LOCAL}:0", *configured(tmp_path, *apis)
    with Exporter(*generous, COMMAND, *flags, environ=KEYS) as process:
        before = prlimit(process.pid, RLIMIT_AS)
        prlimit(process.pid, RLIMIT_AS, (size(process) + (1 << 29), before[1]))
        for scrapes in (1, 2):
            page = Page(process.get())
            for api in apis:
                assert api.up(page) == 0
                assert errors(api, page) == {"internal": scrapes}
        assert "Traceback" not in process.log
        assert all(complaint(process.log, api) for api in apis)
        prlimit(process.pid, RLIMIT_AS, before)
        assert [api.up(Page(process.get())) for api in apis] == [1, 1]
        process.signal(signal.SIGTERM)
        assert process.wait() == 0


# 15: connections that are forgotten


class Middlebox:
    """Forgets connections without a word: what comes on them is not answered."""

    def __init__(self, api: ScriptedApi) -> None:
        self._api = api
        self._known: set[object] = set()
        self._forgotten: set[object] = set()

    def __call__(self, head: bytes) -> Script:
        def script(connection: socket.socket) -> None:
            peer = connection.getpeername()
            self._known.add(peer)
            if peer in self._forgotten:
                silent(connection)
            else:
                connection.sendall(self._api.list(head))

        return script

    def forget(self) -> None:
        self._forgotten |= self._known


@SLOW
def test_a_connection_that_was_forgotten_while_idle_costs_no_scrape(tmp_path: Path, apis: Apis) -> None:
    boxes = [Middlebox(api) for api in apis]
    for api, box in zip(apis, boxes, strict=True):
        api.instead = box
    with exporter(*configured(tmp_path, *apis)) as process:
        for _ in range(3):
            page = Page(process.get(X_Prometheus_Scrape_Timeout_Seconds="3"))
            assert [api.up(page) for api in apis] == [1, 1]
            for box in boxes:
                box.forget()


# 16, 29: keys


@pytest.mark.parametrize(("provider", "quote"), [(BROWSERBASE, '"'), (BROWSER_USE, "'")])
def test_a_key_in_quotes_ends_the_start_and_is_not_shown(tmp_path: Path, provider: str, quote: str) -> None:
    variable = VARIABLES[provider]
    environ = {variable: f"{quote}{PASSWORD}{quote}", "XDG_STATE_HOME": str(tmp_path)}
    code, out, said = run(COMMAND, "--web.listen-address", f"{LOCAL}:0", environ=environ)
    assert (code, out) == (2, "")
    assert variable in said
    assert PASSWORD not in said


def test_a_key_file_with_quotes_is_named_at_the_start_and_fails_its_account_later(
    tmp_path: Path, apis: Apis
) -> None:
    (api, other), path = apis, tmp_path / "key"
    flags = configured(tmp_path, api, other, browserbase={"api_key_file": str(path)})
    path.write_text(f'"{PASSWORD}"\n')
    path.chmod(0o600)
    code, _, said = run(COMMAND, *flags)
    assert (code, "api_key_file" in said, PASSWORD in said) == (2, True, False)
    path.write_text(PASSWORD)
    with exporter(*flags) as process:
        assert api.up(Page(process.get())) == 1
        path.write_text(f"'{PASSWORD}'")
        asked = len(api.requests)
        page = Page(process.get())
        assert (api.up(page), errors(api, page), other.up(page)) == (0, {"auth": 1}, 1)
        assert "quote" in complaint(process.log, api)
        assert len(api.requests) == asked
        assert PASSWORD not in process.log


def test_a_key_file_that_a_group_may_read_is_fine_and_one_for_all_is_warned_of(
    tmp_path: Path, apis: Apis
) -> None:
    modes = dict(zip(BOTH, (0o440, 0o444), strict=True))
    files = {provider: tmp_path / provider for provider in modes}
    for provider, path in files.items():
        path.write_text("a-key")
        path.chmod(modes[provider])
    options = {provider: {"api_key_file": str(path)} for provider, path in files.items()}
    with exporter(*configured(tmp_path, *apis, **options)) as process:
        assert [api.up(Page(process.get())) for api in apis] == [1, 1]
        warnings = [line for line in process.log.splitlines() if "level=warning" in line]
    assert [str(files[BROWSER_USE]) in line for line in warnings] == [True]


# 23: nobody reads stderr


def failing(api: ScriptedApi, number: int) -> Apis:
    """So many accounts at an API that refuses them, for a line of each in each scrape."""
    api.instead = lambda _head: answer(b"{}", "401 Unauthorized")
    many = [ScriptedApi(api.provider, f"account-{i}") for i in range(number)]
    for one in many:
        one.server = api.server
    return [api, *many]


@contextmanager
def unread(*flags: str | Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The command, serving; its stderr is read until it says so, and no further."""
    line = COMMAND, "--web.listen-address", f"{LOCAL}:0", "--log.level", "debug", *flags
    environ = {"PATH": os.environ["PATH"], **KEYS}
    with subprocess.Popen(line, env=environ, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            serving_line = next(one for one in iter(process.stderr.readline, b"") if b"msg=serving" in one)
            yield process, serving_line.decode().partition("port=")[2].split()[0]
        finally:
            process.kill()


@SLOW
def test_where_nobody_reads_the_log_scrapes_and_the_end_come_in_time(tmp_path: Path) -> None:
    with (
        scripted(BROWSERBASE, "ours") as api,
        unread(*configured(tmp_path, *failing(api, 60))) as (process, port),
    ):

        def page() -> requests.Response:
            return requests.get(f"http://{LOCAL}:{port}/metrics", timeout=20)

        dropped = "cloud_browser_exporter_log_lines_dropped_total "
        for _ in range(100):
            text = page().text
            if float(text.partition(f"\n{dropped}")[2].split()[0]):
                break
        else:
            pytest.fail("no line was dropped")
        api.instead = None
        assert api.up(Page(page())) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


# 25: a file system without shared memory maps

NO_SHARED_MAPS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
typedef void *(*Mmap)(void *, size_t, int, int, int, off_t);
void *mmap(void *at, size_t size, int protection, int flags, int file, off_t offset) {
  char link[64], path[4096];
  if ((flags & MAP_SHARED) && file >= 0) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    if (strstr(path, "FOLDER")) { errno = ENODEV; return MAP_FAILED; }
  }
  return ((Mmap)dlsym(RTLD_NEXT, "mmap"))(at, size, protection, flags, file, offset);
}
void *mmap64(void *at, size_t size, int protection, int flags, int file, off_t offset) {
  return mmap(at, size, protection, flags, file, offset);
}
"""


@pytest.mark.slow
def test_a_ledger_without_shared_memory_maps_is_served_or_said_not_to_be_ready(
    tmp_path: Path, apis: Apis
) -> None:
    """A library makes the maps fail as such file systems do."""
    source, library = tmp_path / "maps.c", tmp_path / "maps.so"
    source.write_text(NO_SHARED_MAPS.replace("FOLDER", str(tmp_path)))
    compiled = run(program("cc", "gcc"), "-shared", "-fPIC", "-o", library, source, "-ldl", environ={})
    assert compiled == (0, "", "")
    with exporter(*configured(tmp_path, *apis), environ={**KEYS, "LD_PRELOAD": str(library)}) as process:
        page, ready = Page(process.get()), process.get("/-/ready").status_code
        counted = [api.read(page, "sessions_started_total") is not None for api in apis]
        if ready == 200:
            assert counted == [True, True]
        else:
            assert (ready, counted) == (503, [False, False])
            assert any(str(tmp_path) in line and "file system" in line for line in process.log.splitlines())


# 28: another library's variable


@SLOW
def test_a_folder_for_the_metrics_of_many_processes_is_ignored(tmp_path: Path, apis: Apis) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    environ = {**KEYS, "PROMETHEUS_MULTIPROC_DIR": str(folder), "prometheus_multiproc_dir": str(folder)}
    asked = [len(api.requests) for api in apis]
    for _ in range(2):
        with exporter(*configured(tmp_path, *apis), environ=environ) as process:
            page = Page(process.get())
        counted = [api.read(page, "exporter_api_requests_total") for api in apis]
        assert counted == [len(api.requests) - n for api, n in zip(apis, asked, strict=True)]
        asked = [len(api.requests) for api in apis]
    assert list(folder.iterdir()) == []
