// Rules and dashboards of cloud-browser-exporter, as a monitoring mixin. See docs/alerts.md for the settings.
(import 'config.libsonnet') {
  local config = self._config,
  local promql = (import 'lib/promql.libsonnet')(config),
  local alert = (import 'lib/alert.libsonnet')(config),

  prometheusRules+:: {
    groups+: [
      (import 'rules/limits.libsonnet')(config, promql),
      (import 'rules/accounts.libsonnet')(config, promql),
      (import 'rules/sessions.libsonnet')(config, promql),
      (import 'rules/spending.libsonnet')(config, promql),
      (import 'rules/slo.libsonnet')(config, promql),
      (import 'rules/exporter.libsonnet')(config, promql),
    ],
  },

  prometheusAlerts+:: {
    groups+: [
      (import 'alerts/providers.libsonnet')(config, promql, alert),
      (import 'alerts/sessions.libsonnet')(config, promql, alert),
      (import 'alerts/spending.libsonnet')(config, promql, alert),
      (import 'alerts/exporter.libsonnet')(config, promql, alert),
    ],
  },

  grafanaDashboards+:: (import 'dashboards.libsonnet'),
}
