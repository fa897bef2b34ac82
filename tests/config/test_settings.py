"""The configuration: what is read, every fault with its text, and keys that stay secret."""

import json
import logging
import re
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import settings as config
from exporter.config.secrets import KeyUnavailableError
from exporter.providers import PROVIDERS
from exporter.providers.base import pricing_of
from exporter.providers.browser_use import Options as BrowserUseOptions
from exporter.providers.browserbase import Options
from tests.support.examples import examples

SECRET = "sk-secret-0123456789"
ENVIRON = {
    "BROWSERBASE_API_KEY": SECRET,
    "BROWSER_USE_API_KEY": f" {SECRET}\n",
    "EMPTY": "",
    "TWO_LINES": f"{SECRET}\n{SECRET}",
    "HOME": "/home/me",
}
FILES = Path(__file__).parent / "files"
ACCOUNT = ", ".join(sorted(config.common_keys() | {"query", "pricing"}))
URL = "is not http:// or https:// with a host, without user, password, query or fragment"
SQLITE = (
    "is not a file of SQLite; allowed: sqlite:///relative/path, sqlite:////absolute/path, "
    "postgresql://USER@HOST/DATABASE"
)
NO_FILE = "cannot be read (No such file or directory); allowed: a file with the API key alone"
UNSET = "environment variable UNSET is not set; set it to the API key"
FILE_KEYS = "a mapping with accounts, ledger, scrape"
SCRAPE_KEYS = "max_response_bytes, min_interval, timeout, timeout_offset"
PRICE_KEYS = "browser_usd_per_hour, minimum_seconds, proxy_usd_per_gb"
ONE_SOURCE = "allowed: exactly one of them"
NO_DURATION = "is not a duration; allowed: such as 0s, 500ms, 10s, 1h30m"
LIMIT_KEYS = "budget_usd_per_hour, budget_usd_per_month, open_sessions, session_age"
BUDGET = "is not a number of at most 9 decimals from 0 to 1000000000"
LIMITS = config.Limits(50 * 10**9, 10_000 * 10**9, 100, 6 * 3_600_000_000)
PRICE = "is not a number of at most 9 decimals from 0 to 1000000"
MINIMUM = "is not a number of at most 6 decimals from 0 to 86400"
TAKEN = "is a label that metrics have already; choose another name"
PROMETHEUS = "begins with __, as labels of Prometheus's own do; choose another name"
NO_LABEL = "is not the name of a label; allowed: 1 to 100 letters, digits and _, the first no digit"
NO_KEY = "is not one printable line of 1 to 100 characters without quotation marks and backslashes"

TERM = "allowed: key=value, such as env=production"
UNPRINTABLE = "not all of them printable, is not one printable line of 1 to 100 characters"
PROVIDERS_ARE = "is not one of browserbase, browser_use"
MISQUOTED = "holds more than one line of printable ASCII; allowed: the API key alone"

BAD = {
    "accounts": (
        "line 3: accounts[0].provider: 'foo' is not one of browserbase, browser_use",
        f"line 5: accounts[0].labels: unknown key; allowed: {ACCOUNT}",
        f"line 6: accounts[1].name: a text of 10 characters, {UNPRINTABLE}",
        f"line 12: accounts[2].api_key: unknown key; did you mean api_key_env? allowed: {ACCOUNT}",
        "line 11: accounts[2].name: missing; add this key",
        "line 18: accounts[5].name: a list; allowed: a single value",
        f"line 19: accounts[6]: a single value; allowed: a mapping with {ACCOUNT}",
        f"line 20: accounts[7]: empty; allowed: a mapping with {ACCOUNT}",
        "line 10: accounts[1].pricing: not for browser_use; allowed: with provider browserbase",
        f"line 9: accounts[1].query: 'x' is not a term of metadata; {TERM}",
        f"line 8: accounts[1].api_key_env: {UNSET}",
        f"line 11: accounts[2]: has neither api_key_env nor api_key_file; {ONE_SOURCE}",
        f"line 13: accounts[3]: has both api_key_env and api_key_file; {ONE_SOURCE}",
        "line 15: accounts[3].api_key_env: environment variable EMPTY is empty; set it to the API key",
        f"line 16: accounts[3].api_key_file: {NO_FILE}",
        "line 17: accounts[4].name: 'b' is the name of another browserbase account; choose another",
        f"line 17: accounts[4].api_key_file: {NO_FILE}",
        f"line 18: accounts[5].api_key_env: {MISQUOTED}",
    ),
    "comment": (f"empty; allowed: {FILE_KEYS}",),
    "control": ("unacceptable character #x0000: special characters are not allowed; allowed: YAML in UTF-8",),
    "duplicate_key": (
        "line 6: accounts[0].provider: 'foo' is not one of browserbase, browser_use",
        "line 5: accounts[0].name: stands twice, first in line 2; remove one",
        "line 6: accounts[0].provider: stands twice, first in line 3; remove one",
    ),
    "empty": (f"empty; allowed: {FILE_KEYS}",),
    "latin": (
        "'utf-8' codec can't decode byte 0xff in position 10: invalid start byte; allowed: YAML in UTF-8",
    ),
    "limits": (
        f"line 5: accounts[0].limits.budget_usd_per_hour: '-5' {BUDGET}",
        f"line 5: accounts[0].limits.budget_usd_per_month: 'much' {BUDGET}",
        "line 5: accounts[0].limits.open_sessions: '1.5' is not a whole number from 0 to 1000000",
        f"line 5: accounts[0].limits.session_age: '6 hours' {NO_DURATION}",
        f"line 9: accounts[1].limits.age: unknown key; allowed: {LIMIT_KEYS}",
        (
            "line 9: accounts[1].limits.session_age: 0 is no limit; leave the key out, or name a duration"
            " such as 6h"
        ),
        (
            f"line 13: accounts[2].limits: a single value; allowed: a mapping with {LIMIT_KEYS}, or {{}} for"
            " none"
        ),
    ),
    "list": (f"a list; allowed: {FILE_KEYS}",),
    "merge": (
        f"line 3: accounts[1].<<: unknown key; allowed: {ACCOUNT}",
        "line 3: accounts[1].provider: missing; add this key",
        f"line 4: scrape: a single value; allowed: a mapping with {SCRAPE_KEYS}, or {{}} for none",
        "line 5: ledger: an empty list; allowed: a mapping with history, settle_after, url, or {} for none",
        f"line 3: accounts[1]: has neither api_key_env nor api_key_file; {ONE_SOURCE}",
    ),
    "metadata_labels": (
        f"line 6: accounts[0].metadata_labels[0]: 'project' {TAKEN}",
        f"line 7: accounts[0].metadata_labels[1]: 'le' {TAKEN}",
        f"line 8: accounts[0].metadata_labels[2]: '__team' {PROMETHEUS}",
        f"line 9: accounts[0].metadata_labels[3]: a text of 3 characters {NO_LABEL}",
        f"line 10: accounts[0].metadata_labels[4]: a text of 11 characters {NO_LABEL}",
        f"line 11: accounts[0].metadata_labels[5]: a text of 20 characters {NO_LABEL}",
        f"line 12: accounts[0].metadata_labels[6]: an empty text {NO_LABEL}",
        "line 17: accounts[1].metadata_labels.team: empty; allowed: a single value",
        "line 18: accounts[1].metadata_labels.squad: a list; allowed: a single value",
        f"line 19: accounts[1].metadata_labels.quoted: a text of 3 characters {NO_KEY}",
        (
            "line 20: accounts[1].metadata_labels.lines: a text of 3 characters, not all of them printable,"
            f" {NO_KEY}"
        ),
        "line 21: accounts[2].metadata_labels: a list; allowed: a mapping",
    ),
    "empty_values": (
        "line 2: accounts[0].name: empty; allowed: a single value",
        "line 6: accounts[1].provider: empty; allowed: a single value",
        f"line 2: accounts[0]: has neither api_key_env nor api_key_file; {ONE_SOURCE}",
    ),
    "empty_accounts": (
        "line 1: accounts: empty; allowed: a list of at least one; begin each entry with a dash",
    ),
    "missing_accounts": ("accounts: missing; add this key",),
    "misspelt": (
        "line 1: account: unknown key; did you mean accounts? allowed: accounts, ledger, scrape",
        f"line 3: accounts[0].nmae: unknown key; did you mean name? allowed: {ACCOUNT}",
        f"line 4: accounts[0].provider: 'browser-use' {PROVIDERS_ARE}; did you mean browser_use?",
        f"line 6: accounts[0].colectors: unknown key; did you mean collectors? allowed: {ACCOUNT}",
        (
            "line 7: accounts[0].collectors[0]: 'session' is not one of sessions, account"
            "; did you mean sessions?"
        ),
        "line 7: accounts[0].collectors[1]: 'quota' is not one of sessions, account",
        (
            "line 8: accounts[0].limits.open_session: unknown key"
            f"; did you mean open_sessions? allowed: {LIMIT_KEYS}"
        ),
        (
            "line 8: accounts[0].limits.session-age: unknown key"
            f"; did you mean session_age? allowed: {LIMIT_KEYS}"
        ),
        "line 3: accounts[0].name: missing; add this key",
        f"line 10: accounts[1].provider: 'Browserbase' {PROVIDERS_ARE}; did you mean browserbase?",
        "line 11: accounts[1].api_key_file: a mapping; allowed: a single value",
        (
            "line 13: accounts[1].pricing.browser_usd: unknown key"
            f"; did you mean browser_usd_per_hour? allowed: {PRICE_KEYS}"
        ),
        f"line 13: accounts[1].pricing.browser_usd_per_hour: 'free' {PRICE}",
        "line 14: scrapes: unknown key; did you mean scrape? allowed: accounts, ledger, scrape",
        f"line 17: scrape.timout: unknown key; did you mean timeout? allowed: {SCRAPE_KEYS}",
        f"line 18: scrape.min-interval: unknown key; did you mean min_interval? allowed: {SCRAPE_KEYS}",
        "line 20: ledger.uri: unknown key; did you mean url? allowed: history, settle_after, url",
        "line 21: ledger.history: 'imports' is not one of import, skip; did you mean import?",
        f"line 22: ledger.settle_after: '15 min' {NO_DURATION}",
    ),
    "no_accounts": (
        "line 1: accounts: an empty list; allowed: a list of at least one; begin each entry with a dash",
    ),
    "numbers": (
        f"line 5: accounts[0].pricing.browser_usd_per_hour: '-1' {PRICE}",
        f"line 5: accounts[0].pricing.proxy_usd_per_gb: '1e3' {PRICE}",
        f"line 5: accounts[0].pricing.minimum_seconds: '86400.000001' {MINIMUM}",
        f"line 9: accounts[1].pricing.browser_usd_per_hour: '0.0000000001' {PRICE}",
        f"line 9: accounts[1].pricing.proxy_usd_per_gb: '1000000.01' {PRICE}",
        f"line 9: accounts[1].pricing.minimum_seconds: '.nan' {MINIMUM}",
        "line 11: scrape.timeout: '0s' is out of range; allowed: 1ms to 1d",
        f"line 12: scrape.timeout_offset: '-1s' {NO_DURATION}",
        "line 13: scrape.min_interval: '25h' is out of range; allowed: 0s to 1d",
        "line 14: scrape.max_response_bytes: '0' is not a whole number from 1 to 1000000000000",
        f"line 16: ledger.url: a text of 9 characters {SQLITE}",
        "line 17: ledger.history: 'later' is not one of import, skip",
        "line 18: ledger.settle_after: '101y' is too long; allowed: at most 100y",
        "line 19: collectors: unknown key; allowed: accounts, ledger, scrape",
    ),
    "syntax": ("line 3, column 4: expected <block end>, but found '<block mapping start>'",),
    "two_documents": ("line 2, column 1: but found another document",),
    "urls": (
        f"line 2: accounts[0].base_url: a text of 38 characters {URL}",
        f"line 3: accounts[1].base_url: a text of 10 characters {URL}",
        f"line 4: accounts[2].base_url: a text of 8 characters {URL}",
        f"line 5: accounts[3].base_url: a text of 37 characters {URL}",
        f"line 6: accounts[4].base_url: a text of 18 characters {URL}",
        f"line 7: accounts[5].base_url: a text of 15 characters {URL}",
        f"line 9: ledger.url: a text of 41 characters {SQLITE}",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config")


def write(folder: Path, text: str) -> Path:
    path = folder / "exporter.yml"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def account(**keys: object) -> dict[str, object]:
    return {"name": "a", "provider": "browserbase", **keys}


def refused(path: Path) -> config.ConfigError:
    with pytest.raises(config.ConfigError) as caught:
        config.load(path, PROVIDERS, ENVIRON)
    return caught.value


def test_every_bad_file_stands_in_the_table() -> None:
    assert {path.name.removesuffix(".bad.yml") for path in FILES.glob("*.bad.yml")} == BAD.keys()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_names_all_its_faults_and_no_secret(name: str) -> None:
    path = FILES / f"{name}.bad.yml"
    error = refused(path)
    assert error.faults == tuple(f"{path}: {fault}" for fault in BAD[name])
    assert str(error) == "\n".join(error.faults)
    assert SECRET not in str(error)


@pytest.mark.parametrize("path", sorted(FILES.glob("*.good.yml")), ids=lambda path: path.name)
def test_a_good_file_is_read(path: Path) -> None:
    assert config.load(path, PROVIDERS, ENVIRON).accounts


def test_every_key_is_read() -> None:
    prices = config.Pricing(browser_per_hour=120_000_000, proxy_per_gb=12_000_000_000, minimum=60_500_000)
    query = "user_metadata['env']:'production'"
    base_urls = ("https://api.example.com:8443/v0", "https://api.browserbase.com")
    accounts = (
        config.AccountConfig(
            "production",
            "browserbase",
            "BROWSERBASE_API_KEY",
            "",
            base_urls[0],
            LIMITS,
            metadata_labels=(("customer", "Customer Id"), ("squad", "team"), ("team", "team")),
            options=Options(query, prices),
        ),
        config.AccountConfig(
            "no",
            "browserbase",
            "BROWSERBASE_API_KEY",
            base_url=base_urls[1],
            options=Options(None, prices),
        ),
        config.AccountConfig(
            "production",
            "browser_use",
            api_key_env="BROWSER_USE_API_KEY",
            base_url="https://api.browser-use.com/api/v3",
            options=BrowserUseOptions("team=search"),
        ),
    )
    scrape = config.Scrape(timeout=90.0, timeout_offset=0.25, min_interval=5.0, max_response_bytes=1_048_576)
    url = "sqlite:////var/lib/cloud-browser-exporter/ledger.db"
    ledger = config.LedgerConfig(url=url, history="skip", settle_after=3_600_000_000)
    assert config.load(FILES / "full.good.yml", PROVIDERS, ENVIRON) == config.Config(accounts, scrape, ledger)


def with_query(folder: Path, provider: str, query: str) -> config.Config:
    account = {"name": "a", "provider": provider, "api_key_env": "BROWSERBASE_API_KEY", "query": query}
    (folder / "config.yml").write_text(json.dumps({"accounts": [account]}))
    return config.load(folder / "config.yml", PROVIDERS, ENVIRON)


@pytest.mark.parametrize("query", ["env=production", "a=b=c", "team=two words", "é=ü"])
def test_browser_use_takes_a_term_of_metadata(tmp_path: Path, query: str) -> None:
    assert with_query(tmp_path, "browser_use", query).accounts[0].options == BrowserUseOptions(query)


@pytest.mark.parametrize(
    "query", ["env", "=production", "env=", "=", " = ", '{"team": "search"}', "user_metadata['env']:'x'"]
)
def test_browser_use_takes_no_other_query(tmp_path: Path, query: str) -> None:
    assert with_query(tmp_path, "browserbase", query).accounts[0].options == Options(query)
    with pytest.raises(config.ConfigError) as caught:
        with_query(tmp_path, "browser_use", query)
    (fault,) = caught.value.faults
    assert fault.startswith(f"{tmp_path}/config.yml: line 1: accounts[0].query: ")
    assert fault.endswith(f" is not a term of metadata; {TERM}")


def test_what_is_not_given_has_its_default() -> None:
    read = config.load(FILES / "minimal.good.yml", PROVIDERS, ENVIRON)
    assert read.scrape == config.Scrape(
        timeout=10.0, timeout_offset=0.5, min_interval=0.0, max_response_bytes=268_435_456
    )
    url = "sqlite:////home/me/.local/state/cloud-browser-exporter/ledger.db"
    assert read.ledger == config.LedgerConfig(url=url, history="import", settle_after=900_000_000)
    assert read.accounts[0].base_url == "https://api.browserbase.com"
    prices = config.Pricing(browser_per_hour=0, proxy_per_gb=0, minimum=60_000_000)
    assert read.accounts[0].options == Options(query=None, pricing=prices)


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "HOME": "/h"}, "sqlite:////var/lib/a/ledger.db"),
        ({"XDG_STATE_HOME": "/state", "HOME": "/h"}, "sqlite:////state/cloud-browser-exporter/ledger.db"),
        (
            {"STATE_DIRECTORY": "", "XDG_STATE_HOME": "relative", "HOME": "/h"},
            "sqlite:////h/.local/state/cloud-browser-exporter/ledger.db",
        ),
    ],
)
def test_the_ledger_is_in_the_state_directory(environ: dict[str, str], url: str) -> None:
    assert config.default_ledger(environ) == url
    assert config.from_environment(PROVIDERS, {"BROWSERBASE_API_KEY": SECRET} | environ).ledger.url == url


def test_no_place_for_the_ledger_is_a_fault_and_the_flag_gives_one() -> None:
    environ = {"BROWSERBASE_API_KEY": SECRET}
    assert config.default_ledger(environ) is None
    with pytest.raises(config.ConfigError) as caught:
        config.from_environment(PROVIDERS, environ)
    fault = (
        "no default without one of STATE_DIRECTORY, XDG_STATE_HOME, HOME; allowed: sqlite:////absolute/path"
    )
    assert caught.value.faults == (f"ledger.url: {fault}",)
    assert config.from_environment(PROVIDERS, environ, "sqlite:///here.db").ledger.url == "sqlite:///here.db"


def test_the_flag_goes_before_the_file() -> None:
    assert (
        config.load(FILES / "full.good.yml", PROVIDERS, ENVIRON, "sqlite:///x.db").ledger.url
        == "sqlite:///x.db"
    )


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///a?mode=memory",
        "sqlite:///a/",
        "mysql://u@h/d",
        "",
    ],
)
def test_a_ledger_that_is_no_file_is_refused(url: str) -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.from_environment(PROVIDERS, ENVIRON, url)
    (fault,) = caught.value.faults
    assert fault.startswith("--ledger.url: ")
    assert fault.endswith(SQLITE)


def test_the_environment_alone_gives_an_account_for_each_key() -> None:
    environ = ENVIRON | {"BROWSERBASE_BASE_URL": "http://[::1]:8080/", "BROWSER_USE_BASE_URL": ""}
    accounts = config.from_environment(PROVIDERS, environ).accounts
    assert [(each.provider, each.name, each.base_url) for each in accounts] == [
        ("browserbase", "default", "http://[::1]:8080"),
        ("browser_use", "default", "https://api.browser-use.com/api/v3"),
    ]
    assert [each.key(environ).reveal() for each in accounts] == [SECRET, SECRET]


def test_the_environments_faults_name_the_variables() -> None:
    environ = {"BROWSERBASE_API_KEY": "a\nb", "BROWSERBASE_BASE_URL": f"https://u:{SECRET}@h", "HOME": "/h"}
    with pytest.raises(config.ConfigError) as caught:
        config.from_environment(PROVIDERS, environ)
    assert caught.value.faults == (
        "BROWSERBASE_API_KEY: holds more than one line of printable ASCII; allowed: the API key alone",
        f"BROWSERBASE_BASE_URL: a text of 32 characters {URL}",
    )


def test_no_key_in_the_environment_says_what_to_do() -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.from_environment(PROVIDERS, {"BROWSERBASE_API_KEY": "", "HOME": "/h"})
    fault = "none is set; allowed: at least one, or --config.file; the command demo needs no key"
    assert caught.value.faults == (f"BROWSERBASE_API_KEY, BROWSER_USE_API_KEY: {fault}",)


def test_a_key_file_is_beside_the_configuration_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "api.key"
    file.write_text("first\n")
    path = write(tmp_path, json.dumps({"accounts": [account(api_key_file="api.key")]}))
    read = config.load(path, PROVIDERS, ENVIRON).accounts[0]
    file.write_text("  second\r\n")
    assert read.key({}).reveal() == "second"


def test_a_key_that_is_gone_is_named_by_its_place(tmp_path: Path) -> None:
    file = str(tmp_path / "absent.key")
    for read, fault in (
        (config.AccountConfig("a", "browserbase", api_key_file=file), f"{file}: {NO_FILE}"),
        (config.AccountConfig("a", "browserbase", api_key_env="UNSET"), f"UNSET: {UNSET}"),
    ):
        with pytest.raises(KeyUnavailableError) as caught:
            read.key(ENVIRON)
        assert str(caught.value) == fault


def test_a_configuration_holds_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    read = config.load(FILES / "full.good.yml", PROVIDERS, ENVIRON)
    with caplog.at_level(logging.INFO):
        logging.getLogger().info("%s %r", read, read)
    dumps = [repr(read), str(read), msgspec.json.encode(read).decode(), repr(msgspec.to_builtins(read))]
    assert not [text for text in (*dumps, caplog.text) if SECRET in text]


@given(st.decimals(0, 1_000_000, places=9))
def test_a_price_is_exact(folder: Path, price: Decimal) -> None:
    keys = account(api_key_env="BROWSERBASE_API_KEY", pricing={"browser_usd_per_hour": "PRICE"})
    path = write(folder, json.dumps({"accounts": [keys]}).replace('"PRICE"', f"{price:f}"))
    pricing = pricing_of(config.load(path, PROVIDERS, ENVIRON).accounts[0].options)
    assert pricing is not None
    assert pricing.browser_per_hour == int(price * 10**9)


@pytest.mark.parametrize(
    "url", ["https://host:65535/a/b", "HTTP://host", "http://[::1]", "http://10.0.0.1:80/"]
)
def test_a_base_url_may_have_a_port_and_a_path(tmp_path: Path, url: str) -> None:
    keys = account(api_key_env="BROWSERBASE_API_KEY", base_url=url)
    read = config.load(write(tmp_path, json.dumps({"accounts": [keys]})), PROVIDERS, ENVIRON)
    assert read.accounts[0].base_url == url.rstrip("/")


KEYS = [
    *re.findall(r"\w+", ACCOUNT),
    "accounts",
    "minimum_seconds",
    "scrape",
    "timeout",
    "ledger",
    "url",
    "history",
]
VALUES = [
    "browserbase",
    "browser_use",
    "BROWSERBASE_API_KEY",
    "10s",
    "1.5",
    "import",
    "sqlite:///x",
    "~",
    "<<",
]
WORDS = st.sampled_from(KEYS + VALUES)
SCALARS = WORDS | st.text(max_size=8) | st.none() | st.booleans() | st.integers() | st.floats()
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=20,
)
ACCOUNTS = st.fixed_dictionaries(
    {"accounts": st.lists(st.dictionaries(WORDS, TREES, max_size=6), max_size=4)},
    optional={"scrape": TREES, "ledger": TREES},
)


def only_faults(path: Path) -> bool:
    """Whether it is read, or refused with faults of one line each."""
    try:
        return bool(config.load(path, PROVIDERS, ENVIRON).accounts)
    except config.ConfigError as error:
        return bool(error.faults) and all(fault.isprintable() for fault in error.faults)


@examples(400)
@given(TREES | ACCOUNTS)
def test_any_tree_is_read_or_refused(folder: Path, tree: object) -> None:
    assert only_faults(write(folder, yaml.safe_dump(tree, allow_unicode=True)))
