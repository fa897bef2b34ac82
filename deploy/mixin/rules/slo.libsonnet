// Session success as a service level: errors and timeouts against all that ended.
function(config, promql)
  local total = 'account:cloud_browser_sessions_ended_total:sum';
  local windows = { '1h': '1m', '6h': '5m', '1d': '10m', '14d': '1h' };
  local ratio(window) = {
    record: 'account:cloud_browser_slo_errors:ratio' + window,
    expr: |||
      sum by (provider, account) (increase(%(total)s{status=~"error|timed_out"}[%(window)s:%(step)s]))
        / on (provider, account) (sum by (provider, account) (increase(%(total)s[%(window)s:%(step)s])) > 0)
    ||| % { total: total, window: window, step: windows[window] },
  };
  local allowed = '(1 - account:cloud_browser_limit:effective{limit="slo_objective"} > 0)';
  local burn(window) = {
    record: 'account:cloud_browser_slo_burn_rate:ratio' + window,
    expr: 'account:cloud_browser_slo_errors:ratio%s / on (provider, account) %s' % [window, allowed],
  };
  {
    name: 'cloud-browser-slo',
    rules: [ratio(window) for window in std.objectFields(windows)]
           + [burn(window) for window in ['1h', '6h', '1d']]
           + [{
             record: 'account:cloud_browser_slo_error_budget:left14d',
             expr: '1 - account:cloud_browser_slo_errors:ratio14d / on (provider, account) %s' % allowed,
           }],
  }
