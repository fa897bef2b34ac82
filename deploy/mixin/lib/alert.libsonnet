// An alert with its annotations: the runbook's section, and the dashboard that shows it.
function(config)
  function(name, severity, pending, expr, summary, description, dashboard) {
    local filter = if std.length(std.findSubstr('$labels.account', summary)) > 0
    then '?var-provider={{ $labels.provider }}&var-account={{ $labels.account }}' else '',
    alert: 'CloudBrowser' + name,
    expr: expr,
    'for': pending,
    labels: { severity: severity },
    annotations: {
      summary: summary,
      description: std.strReplace(std.stripChars(description, '\n'), '\n', ' '),
      runbook_url: '%s#%s' % [config.runbookUrl, std.asciiLower('CloudBrowser' + name)],
      dashboard_url: '%s/d/cloud-browser-%s%s' % [config.grafanaUrl, dashboard, filter],
    },
  }
