// The rules as one file for Prometheus: `make rules` writes deploy/prometheus/rules/cloud-browser.yml from it.
local mixin = import 'mixin.libsonnet';

'# Made by `make rules` from deploy/mixin/: change that, or set limits of your own as docs/alerts.md says.\n'
+ std.manifestYamlDoc(
  { groups: mixin.prometheusRules.groups + mixin.prometheusAlerts.groups },
  indent_array_in_object=true,
  quote_keys=false,
)
