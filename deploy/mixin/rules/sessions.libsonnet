// Sessions that start, end, fail, and stay open.
function(config, promql)
  local ended = 'cloud_browser_sessions_ended_total', failed = 'status=~"error|timed_out"';
  local levels = { account: 'provider, account', region: 'provider, account, region' };

  local endings(level, window) =
    local by = levels[level], base = '%s:cloud_browser_' % level;
    local total = base + 'sessions_ended_total:sum';
    [
      {
        record: '%ssessions_ended:increase%s' % [base, window],
        expr: 'sum by (%s) (increase(%s[%s]))' % [by, total, window],
      },
      {
        record: '%sfailures:increase%s' % [base, window],
        expr: 'increase(%s{%s}[%s])' % [total, failed, window],
      },
      {
        record: '%sfailures:ratio%s' % [base, window],
        expr: '%(base)sfailures:increase%(window)s\n  / on (%(by)s) group_left () (%(base)ssessions_ended:increase%(window)s > 0)\n'
              % { base: base, window: window, by: by },
      },
    ];

  {
    name: 'cloud-browser-sessions',
    rules:
      [
        {
          record: 'region:cloud_browser_sessions_ended_total:sum',
          expr: promql.now(ended, by='provider, account, region, status'),
        },
        {
          record: 'account:cloud_browser_sessions_ended_total:sum',
          expr: 'sum by (provider, account, status) (region:cloud_browser_sessions_ended_total:sum)',
        },
      ]
      + endings('account', '10m')
      + endings('region', '10m')
      + endings('account', '30m')
      + endings('account', '6h')
      + [
        {
          record: 'account:cloud_browser_sessions_started:increase1h',
          expr: 'increase(account:cloud_browser_sessions_started_total:sum[1h])',
        },
        {
          record: 'account:cloud_browser_short_sessions:increase1h',
          expr: promql.rise('cloud_browser_session_duration_seconds_bucket', '1h', '1m', 'le=~"10([.]0)?"'),
        },
        {
          record: 'account:cloud_browser_short_sessions:ratio1h',
          expr: |||
            account:cloud_browser_short_sessions:increase1h
              / on (provider, account) (%s > 0)
          ||| % promql.rise('cloud_browser_session_duration_seconds_bucket', '1h', '1m', 'le=~"[+]Inf"'),
        },
        {
          record: 'account:cloud_browser_sessions_open:sum',
          expr: promql.now('cloud_browser_sessions', 'status=~"%s"' % std.join('|', config.openStatuses)),
        },
        {
          record: 'account:cloud_browser_keep_alive_sessions:sum',
          expr: promql.now('cloud_browser_keep_alive_sessions'),
        },
        {
          record: 'account:cloud_browser_session_age_seconds:max',
          expr: 'time() - min by (provider, account) (last_over_time(%s[5m]))'
                % promql.series('cloud_browser_oldest_open_session_start_timestamp_seconds'),
        },
        {
          // Of those that are not kept alive on purpose: the bound of the histogram above the oldest one's age.
          record: 'account:cloud_browser_session_age_seconds:bound',
          expr: 'histogram_quantile(1, %s)' % promql.now(
            'cloud_browser_open_session_age_seconds_bucket', 'keep_alive="false"', 'provider, account, le'
          ),
        },
        {
          record: 'project:cloud_browser_quota_sessions:ratio',
          expr: |||
            (
              max by (provider, account, project) (last_over_time(%(used)s[10m]))
              or on (provider, account, project) %(listed)s
            ) / on (provider, account, project) (
              max by (provider, account, project) (last_over_time(%(limit)s[10m])) > 0
            )
          ||| % {
            used: promql.series('cloud_browser_quota_sessions_used'),
            limit: promql.series('cloud_browser_quota_sessions_limit'),
            listed: promql.now(
              'cloud_browser_sessions',
              'status=~"%s"' % std.join('|', config.openStatuses),
              'provider, account, project',
            ),
          },
        },
        {
          record: 'account:cloud_browser_quota_sessions:unlisted',
          expr: |||
            sum by (provider, account) (
              max by (provider, account, project) (last_over_time(%(used)s[10m]))
            ) - on (provider, account) account:cloud_browser_sessions_open:sum
          ||| % { used: promql.series('cloud_browser_quota_sessions_used') },
        },
      ],
  }
