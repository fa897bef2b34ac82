// Money and traffic.
function(config, promql, alert)
  local who = '{{ $labels.provider }} account {{ $labels.account }}';
  local usd = '{{ $value | printf "%.2f" }} USD';
  local unusual(kind, limit, history) = |||
    account:cloud_browser_%(kind)s:timely1h
      > on (provider, account) (
        account:cloud_browser_%(kind)s:usual1h
          * %(growth)s
      )
    and account:cloud_browser_%(kind)s:timely1h
      >= %(least)s
    and on (provider, account) last_over_time(account:cloud_browser_%(kind)s:timely1h[2h] offset %(history)s)
  ||| % { kind: kind, history: history, growth: promql.limit(limit[0]), least: promql.limit(limit[1]) };
  local left(limit) = |||
    account:cloud_browser_credit_hours:left
      < %s
  ||| % promql.limit(limit);
  local total(window) = 'on () group_left () cloud_browser:limit:effective{limit="total_budget_usd_per_%s"}' % window;
  {
    name: 'cloud-browser-spending-alerts',
    rules: [
      alert('SpendAboveHourlyBudget', 'critical', '5m', |||
        account:cloud_browser_cost_usd:timely1h
          > %s
      ||| % promql.limit('budget_usd_per_hour'), usd + ' in an hour: ' + who, |||
        Sessions of this account have cost {{ $value | printf "%.2f" }} USD in the last hour, which is above the
        budget.
      |||, 'spend'),
      alert('TotalSpendAboveHourlyBudget', 'critical', '5m', |||
        cloud_browser:cost_usd:timely1h > %s
      ||| % total('hour'), usd + ' in an hour over all accounts', |||
        Sessions of all accounts have cost {{ $value | printf "%.2f" }} USD in the last hour, which is above the
        budget for all of them.
      |||, 'spend'),
      alert('SpendAboveMonthlyBudget', 'warning', '1h', |||
        account:cloud_browser_cost_usd:pace30d
          > %s
      ||| % promql.limit('budget_usd_per_month'), '{{ $value | printf "%.0f" }} USD in 30 days at this pace: ' + who, |||
        At the pace of the last day this account will have cost {{ $value | printf "%.0f" }} USD in 30 days, which is
        above the budget.
      |||, 'spend'),
      alert(
        'TotalSpendAboveMonthlyBudget',
        'warning',
        '1h',
        'cloud_browser:cost_usd:pace30d > %s\n' % total('month'),
        '{{ $value | printf "%.0f" }} USD in 30 days at this pace over all accounts',
        |||
          At the pace of the last day all accounts will have cost {{ $value | printf "%.0f" }} USD in 30 days, which
          is above the budget for all of them.
        |||,
        'spend'
      ),
      alert('SpendAboveUsual', 'warning', '15m', unusual('cost_usd', ['spend_growth', 'spend_least_usd_per_hour'], '1w'),
            'Spending is far above the usual: ' + who, |||
              Sessions of this account have cost {{ $value | printf "%.2f" }} USD in the last hour, several times what
              they cost at this time of earlier days.
            |||, 'spend'),
      alert(
        'ProxyTrafficSpike',
        'warning',
        '5m',
        unusual('proxy_bytes', ['traffic_growth', 'traffic_least_bytes_per_hour'], '2d'),
        '{{ $value | humanize }}B of proxy traffic in an hour: ' + who,
        |||
          That is several times what it was at this time of earlier days. Proxy traffic is billed by the byte.
        |||,
        'spend'
      ),
      alert('CreditLow', 'warning', '5m', left('credit_hours_warning'),
            'Credit for {{ $value | printf "%.1f" }} hours is left: ' + who, |||
              At the present pace the account's credit is used up in {{ $value | printf "%.1f" }} hours. Then the
              provider starts no browsers.
            |||, 'spend'),
      alert('CreditNearlyGone', 'critical', '5m', left('credit_hours_critical'),
            'Credit for {{ $value | printf "%.1f" }} hours is left: ' + who, |||
              At the present pace the account's credit is used up in {{ $value | printf "%.1f" }} hours. Then the
              provider starts no browsers.
            |||, 'spend'),
    ],
  }
