// Which accounts are read, which were ever read, and whether their ledger is still the one it was.
function(config, promql)
  local up = promql.series('cloud_browser_up');
  local started = 'account:cloud_browser_sessions_started_total:sum';
  {
    name: 'cloud-browser-accounts',
    rules: [
      { record: 'account:cloud_browser_up:max', expr: 'max by (provider, account) (%s)' % up },
      {
        // Carried on while the account cannot be read: an account that was read once is never "never read".
        record: 'account:cloud_browser_last_read_timestamp_seconds:max',
        expr: |||
          0 * (account:cloud_browser_up:max == 1) + time()
          or max by (provider, account) (%(success)s > 0)
          or max by (provider, account) (last_over_time(account:cloud_browser_last_read_timestamp_seconds:max[1d]))
            and on (provider, account) account:cloud_browser_known:bool
        ||| % { success: promql.series('cloud_browser_last_success_timestamp_seconds') },
      },
      {
        record: 'account:cloud_browser_account_state:code',
        expr: |||
          max by (provider, account) (last_over_time(account:cloud_browser_up:max[5m]))
            and on (provider, account) account:cloud_browser_last_read_timestamp_seconds:max
          or 2 + 0 * max by (provider, account) (last_over_time(account:cloud_browser_up:max[5m]))
        |||,
      },
      {
        // Read now, and not for eight minutes before: what is counted now happened earlier.
        record: 'account:cloud_browser_read_again:bool',
        expr: |||
          max by (provider, account) (max_over_time(%(up)s[2m])) == 1
          and on (provider, account) (
            max by (provider, account) (max_over_time(%(up)s[8m] offset 3m)) == 0
            or account:cloud_browser_last_read_timestamp_seconds:max offset 3m < time() - 660
          )
        ||| % { up: up },
      },
      { record: started, expr: promql.now('cloud_browser_sessions_started_total') },
      {
        // Counters never fall, and the maximum over instances outlives any of them.
        record: 'account:cloud_browser_ledger_lost:resets6h',
        expr: 'resets(%s[6h])' % started,
      },
      {
        // Counters that rise again to what they were, or a first import once more. A little more than the hour
        // that an import may take.
        record: 'account:cloud_browser_ledger_refilled:bool',
        expr: |||
          resets(%(started)s[65m]) > bool 0 == 1
          or on (provider, account) max by (provider, account) (last_over_time(%(complete)s[5m])) == bool 0 == 1
        ||| % { started: started, complete: promql.series('cloud_browser_history_complete') },
      },
    ],
  }
