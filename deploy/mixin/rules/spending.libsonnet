// Money and traffic. What is counted late, after an outage or a lost ledger, was not spent in the last hour.
function(config, promql)
  local up = promql.series('cloud_browser_up');
  local cost = 'account:cloud_browser_cost_usd_total:sum';
  local started = 'account:cloud_browser_sessions_started_total:sum';

  // Minute by minute, so that the minutes of late counting can be left out.
  local timely(metric) = |||
    sum_over_time((
      clamp_min(
        %(total)s
          - %(before)s,
        0
      )
      unless on (provider, account) (
        max by (provider, account) (max_over_time(%(up)s[2m])) == 1
        unless on (provider, account) max by (provider, account) (max_over_time(%(up)s[8m] offset 3m)) == 1
      )
      unless on (provider, account) account:cloud_browser_ledger_refilled:bool
    )[1h:1m])
    or on (provider, account) 0 * %(total)s
  ||| % {
    total: promql.now(metric),
    before: std.strReplace(promql.now(metric), '[5m]', '[5m] offset 1m'),
    up: up,
  };

  // An hour to either side, since what is done every day is not done at the same minute.
  local usual(record) = promql.union('max', [
    'max_over_time(%s[2h] offset %dh)' % [record, 24 * days - 1]
    for days in [1, 2, 3, 7]
  ]);

  local month(record, expr) = [
    { record: 'account:cloud_browser_cost_usd:' + record, expr: expr },
    { record: 'cloud_browser:cost_usd:' + record, expr: 'sum(account:cloud_browser_cost_usd:%s)' % record },
  ];

  local balance = promql.now('cloud_browser_credit_balance_usd', 'kind="total"');
  local mean(minutes) = 'avg_over_time(account:cloud_browser_credit_usd:settled[15m]%s)'
                        % (if minutes == 0 then '' else ' offset %dm' % minutes);
  local fall(minutes) = '%s - %s' % [mean(minutes + 15), mean(minutes)];
  {
    name: 'cloud-browser-spending',
    rules: [
      { record: cost, expr: promql.now('cloud_browser_cost_usd_total') },
      { record: 'account:cloud_browser_cost_usd:timely1h', expr: timely('cloud_browser_cost_usd_total') },
      { record: 'cloud_browser:cost_usd:timely1h', expr: 'sum(account:cloud_browser_cost_usd:timely1h)' },
      { record: 'account:cloud_browser_proxy_bytes:timely1h', expr: timely('cloud_browser_proxy_bytes_total') },
      {
        record: 'account:cloud_browser_cost_usd:usual1h',
        expr: usual('account:cloud_browser_cost_usd:timely1h'),
      },
      {
        record: 'account:cloud_browser_proxy_bytes:usual1h',
        expr: usual('account:cloud_browser_proxy_bytes:timely1h'),
      },
    ] + month('pace30d', |||
      30 * increase(%(cost)s[1d:10m])
        / on (provider, account) (
          clamp_min(
            (time() - min_over_time(account:cloud_browser_last_read_timestamp_seconds:max[1d])) / 86400,
            1
          )
          or on (provider, account) 1 + 0 * account:cloud_browser_known:bool
        )
      unless on (provider, account) resets(%(started)s[1d:10m]) > 0
    ||| % { cost: cost, started: started }) + month('month_to_date', |||
      (
        max by (provider, account) (last_over_time(account:cloud_browser_cost_usd:month_to_date[1d]))
          and on () last_over_time(cloud_browser:month:number[1d]) == month()
        or on (provider, account) 0 * %(cost)s
      ) + on (provider, account) (
        clamp_min(%(cost)s - on (provider, account) last_over_time(account:cloud_browser_cost_usd:carried[1d]), 0)
          unless on (provider, account) account:cloud_browser_ledger_refilled:bool
        or on (provider, account) 0 * %(cost)s
      )
    ||| % { cost: cost }) + [
      // What the month so far includes, for the next evaluation to go on from.
      { record: 'account:cloud_browser_cost_usd:carried', expr: cost },
      { record: 'cloud_browser:month:number', expr: 'month()' },
    ] + month('month_forecast', |||
      account:cloud_browser_cost_usd:month_to_date
        + on (provider, account) scalar(days_in_month() + 1 - day_of_month() - hour() / 24 - minute() / 1440) * (
          24 * increase(%(cost)s[3d:1h]) / on (provider, account) count_over_time(%(cost)s[3d:1h])
            unless on (provider, account) resets(%(started)s[3d:1h]) > 0
          or on (provider, account) account:cloud_browser_cost_usd:pace30d / 30
        )
    ||| % { cost: cost, started: started }) + [
      {
        // What is charged upfront for open sessions comes back, or is counted when they end.
        record: 'account:cloud_browser_credit_usd:settled',
        expr: '%(balance)s\n  + on (provider, account) (%(open)s or on (provider, account) 0 * %(balance)s)\n' % {
          balance: balance,
          open: promql.now('cloud_browser_open_sessions_cost_usd'),
        },
      },
      {
        // The least of three quarters of an hour: one charge that comes back is no pace.
        record: 'account:cloud_browser_credit_usd:pace1h',
        expr: '4 * %s > 0\n' % promql.union('min', [fall(0), fall(15), fall(30)])
              + 'and on (provider, account) %s\n' % mean(45),
      },
      {
        record: 'account:cloud_browser_credit_hours:left',
        expr: |||
          %s
            / on (provider, account) account:cloud_browser_credit_usd:pace1h
        ||| % balance,
      },
    ],
  }
