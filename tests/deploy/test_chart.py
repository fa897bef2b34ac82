"""The Helm chart: linted, rendered for its main combinations of values, and valid for Kubernetes' schemas."""

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it ships no types
import pytest
import yaml

from exporter import __version__
from exporter.config.settings import Config, load
from exporter.providers import PROVIDERS
from tests.support.processes import run
from tests.support.rules import ROOT
from tests.support.tools import tool

pytestmark = [pytest.mark.slow, pytest.mark.go]

CHART = ROOT / "deploy" / "helm" / "cloud-browser-exporter"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
OPERATOR = "monitoring.coreos.com"
KUBERNETES = "1.27", kubernetes_validate.latest_version()  # Chart.yaml's kubeVersion, and the newest
ACCOUNTS = {
    "accounts": [
        {"name": "a", "provider": "browserbase", "apiKeySecret": {"name": "keys", "key": "browserbase"}}
    ]
}

each_values = pytest.mark.parametrize("values", VALUES, ids=lambda file: file.stem.removesuffix("-values"))


def helm(*arguments: str | Path, given: str = "") -> tuple[int, str, str]:
    """Runs helm; returns its exit code, output and errors without what it says of links."""
    code, out, errors = run(tool("helm"), *arguments, environ={}, given=given)
    lines = [line for line in errors.splitlines() if "found symbolic link in path" not in line]
    return code, out, "\n".join(lines)


def rendered(values: Path | str | None = None, *flags: str, given: Any = None) -> str:
    """Returns what `helm template` makes of the chart with a file of values, or with values as data."""
    arguments = ("--values", "-" if values is None else values, *flags)
    code, out, errors = helm("template", "x", CHART, *arguments, given=json.dumps(given))
    assert (code, errors) == (0, ""), errors
    return out


def resources(values: Path | None = None, *flags: str, given: Any = None) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(rendered(values, *flags, given=given)) if one]


def of_kind(kind: str, found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in found if one["kind"] == kind]


def configuration(values: Path, folder: Path) -> Config:
    """Returns the exporter's configuration that these values make, as the exporter reads it."""
    text = of_kind("ConfigMap", resources(values))[0]["data"]["exporter.yml"]
    keys = "/etc/cloud-browser-exporter/keys/"
    path = folder / "exporter.yml"
    path.write_text(text.replace(keys, f"{folder}/"))
    for account in yaml.safe_load(text)["accounts"]:
        (folder / account["api_key_file"].removeprefix(keys)).write_text("key")
    return load(path, PROVIDERS, {})


@each_values
def test_helm_finds_no_fault(values: Path) -> None:
    code, out, errors = helm("lint", "--strict", CHART, "--values", values)
    assert code == 0, out + errors


def test_helm_lints_the_default_values() -> None:
    code, out, errors = helm("lint", CHART)
    assert code == 0, out + errors


@each_values
@pytest.mark.parametrize("version", KUBERNETES)
def test_resources_are_valid_for_kubernetes(values: Path, version: str) -> None:
    found = resources(values)
    for resource in found:
        if not resource["apiVersion"].startswith(OPERATOR):
            kubernetes_validate.validate(resource, version, strict=True)
    assert of_kind("Deployment", found)


@each_values
def test_resources_have_the_fields_of_their_types(values: Path) -> None:
    """Those of the Prometheus Operator, too."""
    assert run(tool("manifest-lint"), environ={}, given=rendered(values)) == (0, "", "")


def test_a_field_that_a_type_lacks_is_found() -> None:
    """Else the test above would say nothing."""
    text = rendered(CHART / "ci" / "operator-values.yaml").replace("scrapeTimeout:", "scrape_timeout:")
    code, _, errors = run(tool("manifest-lint"), environ={}, given=text)
    assert code == 1
    assert "scrape_timeout" in errors


@each_values
def test_the_exporter_takes_the_configuration(values: Path, tmp_path: Path) -> None:
    wanted = yaml.safe_load(values.read_text())
    config = configuration(values, tmp_path)
    assert [one.name for one in config.accounts] == [one["name"] for one in wanted["accounts"]]
    url = wanted.get("ledger", {}).get("postgresql", {}).get("url")
    assert config.ledger.url == (url or "sqlite:////var/lib/cloud-browser-exporter/ledger.db")


@each_values
def test_keys_are_mounted_where_the_configuration_names_them(values: Path) -> None:
    found = resources(values)
    accounts = yaml.safe_load(of_kind("ConfigMap", found)[0]["data"]["exporter.yml"])["accounts"]
    pod = of_kind("Deployment", found)[0]["spec"]["template"]["spec"]
    (keys,) = [volume["projected"]["sources"] for volume in pod["volumes"] if volume["name"] == "keys"]
    (mount,) = [one["mountPath"] for one in pod["containers"][0]["volumeMounts"] if one["name"] == "keys"]
    mounted = [f"{mount}/{item['path']}" for source in keys for item in source["secret"]["items"]]
    assert mounted == [account["api_key_file"] for account in accounts]
    wanted = [account["apiKeySecret"] for account in yaml.safe_load(values.read_text())["accounts"]]
    assert wanted == [
        {"name": source["secret"]["name"], "key": item["key"]}
        for source in keys
        for item in source["secret"]["items"]
    ]


@each_values
def test_pods_keep_to_the_restricted_standard(values: Path) -> None:
    found = resources(values)
    pods = [one["spec"]["template"]["spec"] for one in of_kind("Deployment", found)]
    pods += [one["spec"] for one in of_kind("Pod", found)]
    assert len(pods) == 2
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod["automountServiceAccountToken"]
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@each_values
def test_the_service_and_all_selectors_choose_the_exporters_pods_alone(values: Path) -> None:
    found = resources(values)
    (deployment,) = of_kind("Deployment", found)
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        of_kind("Service", found)[0]["spec"]["selector"],
        deployment["spec"]["selector"]["matchLabels"],
    ]
    for kind, field in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        selectors += [one["spec"][field]["matchLabels"] for one in of_kind(kind, found)]
    (test,) = of_kind("Pod", found)
    for selector in selectors:
        assert selector.items() <= labels
        assert not selector.items() <= test["metadata"]["labels"].items()


def test_several_replicas_are_one_target_of_the_rules_job() -> None:
    (monitor,) = of_kind("ServiceMonitor", resources(CHART / "ci" / "operator-values.yaml"))
    (endpoint,) = monitor["spec"]["endpoints"]
    replaced = {one.get("targetLabel"): one.get("replacement") for one in endpoint["relabelings"]}
    assert replaced["job"] == "cloud-browser-exporter"
    assert replaced["__address__"] == replaced["instance"] == "x-cloud-browser-exporter.default.svc:10925"


def test_accounts_as_targets_are_discovered_at_the_service() -> None:
    (config,) = of_kind("ScrapeConfig", resources(CHART / "ci" / "postgresql-values.yaml"))
    (discovery,) = config["spec"]["httpSDConfigs"]
    assert discovery["url"] == "http://x-cloud-browser-exporter.default.svc:10925/sd"
    assert {"action": "replace", "targetLabel": "job", "replacement": "cloud-browser-exporter"} in (
        config["spec"]["relabelings"]
    )


def test_rules_and_dashboards_are_those_of_the_repository() -> None:
    found = resources(CHART / "ci" / "operator-values.yaml")
    rules = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml"))
    assert [one["spec"] for one in of_kind("PrometheusRule", found)] == [
        yaml.safe_load(file.read_text()) for file in rules
    ]
    dashboards = {file.name: file for file in (ROOT / "grafana" / "dashboards").glob("*.json")}
    maps = [one for one in of_kind("ConfigMap", found) if "grafana_dashboard" in one["metadata"]["labels"]]
    shown = {name: text for one in maps for name, text in one["data"].items()}
    assert {name: json.loads(text) for name, text in shown.items()} == {
        name: json.loads(file.read_text()) for name, file in dashboards.items()
    }


def test_the_database_password_and_authority_come_from_secrets() -> None:
    (deployment,) = of_kind("Deployment", resources(CHART / "ci" / "postgresql-values.yaml"))
    pod = deployment["spec"]["template"]["spec"]
    environ = {one["name"]: one for one in pod["containers"][0]["env"]}
    assert environ["PGPASSWORD"]["valueFrom"]["secretKeyRef"] == {
        "name": "exporter-database",
        "key": "password",
    }
    assert environ["PGSSLROOTCERT"]["value"] == "/etc/cloud-browser-exporter/postgresql/ca.crt"
    assert deployment["spec"]["strategy"] == {"type": "RollingUpdate"}
    assert not any("persistentVolumeClaim" in volume for volume in pod["volumes"])


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("postgresql://exporter@db1,db2:6432/ledger?target_session_attrs=read-write", {5432, 6432}),
        ("postgresql://exporter@[::1]/ledger", {5432}),
        ("postgresql:///ledger?host=db1&port=6432", {6432}),
        ("postgresql:///ledger?host=db1,db2&port=6432,6433&user=exporter", {6432, 6433}),
    ],
)
def test_every_host_of_the_database_may_be_reached(url: str, wanted: set[int]) -> None:
    given = ACCOUNTS | {"ledger": {"postgresql": {"url": url}}, "networkPolicy": {"enabled": True}}
    (policy,) = of_kind("NetworkPolicy", resources(given=given))
    ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
    assert ports == {53, 443} | wanted


def test_the_pod_of_helm_test_may_connect_where_not_everybody_may() -> None:
    found = resources(CHART / "ci" / "postgresql-values.yaml")
    (policy,), (test,) = of_kind("NetworkPolicy", found), of_kind("Pod", found)
    (rule,) = policy["spec"]["ingress"]
    allowed = [one["podSelector"]["matchLabels"] for one in rule["from"] if one.keys() == {"podSelector"}]
    assert any(labels.items() <= test["metadata"]["labels"].items() for labels in allowed)
    (policy,) = of_kind("NetworkPolicy", resources(CHART / "ci" / "tls-values.yaml"))
    assert "from" not in policy["spec"]["ingress"][0], "it would shut out Prometheus"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "accounts: none"),
        ({"accounts": ACCOUNTS["accounts"] * 2}, "browserbase/a is there twice"),
        (ACCOUNTS | {"replicas": 2}, "/ledger/postgresql/url"),
        (ACCOUNTS | {"ledger": {"postgresql": {"url": "postgresql://u:hidden@db/l"}}}, "holds a password"),
        (
            ACCOUNTS | {"ledger": {"postgresql": {"url": "postgresql://db/l?sslpassword=hidden"}}},
            "holds a password",
        ),
        (ACCOUNTS | {"ledger": {"postgresql": {"url": "mysql://db/l"}}}, "/ledger/postgresql/url"),
        (ACCOUNTS | {"ledger": {"postgresql": {"url": "postgres://db/l"}}}, "/ledger/postgresql/url"),
        (ACCOUNTS | {"ledger": {"url": "postgresql://db/l"}}, "'url' not allowed"),
        (
            ACCOUNTS | {"serviceMonitor": {"enabled": True}, "scrapeConfig": {"enabled": True}},
            "/scrapeConfig/enabled",
        ),
        (ACCOUNTS | {"webConfig": {"tls": True}}, "/webConfig/existingSecret"),
        ({"accounts": [{"name": "a", "provider": "browserbase", "api_key_env": "K"}]}, "apiKeySecret"),
        ({"accounts": [ACCOUNTS["accounts"][0] | {"api_key_file": "/k"}]}, "api_key_file"),
        (ACCOUNTS | {"replica": 2}, "'replica' not allowed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_would_not_work_are_refused(given: Any, said: str) -> None:
    code, out, errors = helm("template", "x", CHART, "--values", "-", given=json.dumps(given))
    assert code == 1
    assert out == ""
    assert said in errors
    assert "hidden" not in errors


def test_the_schema_knows_the_values_that_there_are() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert schema["properties"].keys() - {"global"} == values.keys()  # Helm adds `global`
    assert not schema["additionalProperties"]


def test_the_chart_has_the_exporters_version(tmp_path: Path) -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == chart["version"] == __version__
    code, _, errors = helm("package", CHART, "--destination", tmp_path)
    assert code == 0, errors
    with tarfile.open(tmp_path / f"cloud-browser-exporter-{__version__}.tgz") as package:
        members = {member.name.partition("/")[2]: member for member in package.getmembers()}
    rules = {f"files/rules/{file.name}" for file in (ROOT / "deploy" / "prometheus" / "rules").glob("*.yml")}
    assert rules
    assert rules == {name for name in members if name.startswith("files/rules/") and members[name].isfile()}
    assert not any(name.startswith("ci/") for name in members)


def test_plain_manifests_are_made_from_the_chart() -> None:
    assert tool("helm")
    made = ROOT / "dist" / "kubernetes" / "cloud-browser-exporter.yaml"
    # A helm that is older than its module would be built again.
    code, out, errors = run("make", "-C", ROOT, "--old-file=.tools/helm", "manifests", environ={})
    assert code == 0, out + errors
    plain = [one for one in yaml.safe_load_all(made.read_text()) if one]
    assert {one["metadata"]["namespace"] for one in plain} == {"monitoring"}
    assert {one["kind"] for one in plain} == {
        *("ConfigMap", "Deployment", "PersistentVolumeClaim", "Service", "ServiceAccount")
    }
