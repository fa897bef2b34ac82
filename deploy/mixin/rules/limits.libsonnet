// Limits as series: defaults in one place, an account's own before them.
function(config, promql)
  local known = 'account:cloud_browser_known:bool', own = 'account:cloud_browser_limit:own';
  local ofProvider = std.set(std.flattenArrays([
    std.objectFields(config.providerLimits[provider])
    for provider in std.objectFields(config.providerLimits)
  ]));

  local default(name, value, labels={}) = {
    record: 'cloud_browser:limit:default',
    expr: 'vector(%s)' % (if std.floor(value) == value then '%d' else '%g') % value,
    labels: { limit: name } + labels,
  };

  local effective(name) = {
    local all(matcher) = 'cloud_browser:limit:effective{limit="%s",%s}' % [name, matcher],
    record: 'account:cloud_browser_limit:effective',
    expr:
      '%s{limit="%s"}\n' % [own, name]
      + (
        if std.setMember(name, ofProvider) then
          'or on (provider, account) (0 * %s + on (provider) group_left () max by (provider) (%s))\n'
          % [known, all('provider!=""')]
        else ''
      )
      + 'or on (provider, account) (0 * %s + scalar(%s))\n' % [known, all('provider=""')],
    labels: { limit: name },
  };

  local names = std.objectFields(config.limits);
  {
    name: 'cloud-browser-limits',
    rules:
      [default(name, config.limits[name]) for name in names]
      + [default(name, config.totalLimits[name]) for name in std.objectFields(config.totalLimits)]
      + [
        default(name, config.providerLimits[provider][name], { provider: provider })
        for provider in std.objectFields(config.providerLimits)
        for name in std.objectFields(config.providerLimits[provider])
      ]
      + [
        {
          record: 'cloud_browser:limit:effective',
          expr: |||
            max by (limit, provider) (last_over_time(cloud_browser:limit:override[10m]))
            or max by (limit, provider) (cloud_browser:limit:default)
          |||,
        },
        // Every account of which there are series, and for ten minutes more: a missing scrape takes no limit away.
        {
          record: 'account:cloud_browser_present:bool',
          expr: 'group by (provider, account) (%s)'
                % promql.series('', '__name__=~"cloud_browser_.+",account!=""'),
        },
        { record: known, expr: 'last_over_time(account:cloud_browser_present:bool[10m])' },
        {
          record: own,
          expr: |||
            max by (provider, account, limit) (last_over_time(account:cloud_browser_limit:override[10m]))
            or max by (provider, account, limit) (last_over_time(%s[10m]))
          ||| % promql.series('cloud_browser_limit'),
        },
      ]
      + [effective(name) for name in names],
  }
