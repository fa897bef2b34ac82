// Accounts that cannot be read.
function(config, promql, alert)
  local up = promql.series('cloud_browser_up');
  local who = '{{ $labels.provider }} account {{ $labels.account }}';
  local unread(window) = promql.highest('max_over_time(%s[%s])' % [up, window]) + ' == 0';
  local refused(reason) = |||
    %s > 0
    and on (provider, account) %s
  ||| % [
    promql.highest('increase(%s[15m])' % promql.series('cloud_browser_exporter_errors_total', 'reason="%s"' % reason)),
    unread('5m'),
  ];
  {
    name: 'cloud-browser-providers',
    rules: [
      alert('ProviderDown', 'critical', '4m', |||
        %s
        and on (provider, account) account:cloud_browser_last_read_timestamp_seconds:max
      ||| % unread('5m'), who + ' cannot be read', |||
        No scrape of the last minutes has read the account. Its counters stand still and its sessions are not
        shown; what happens meanwhile is counted when it can be read again.
      |||, 'exporter'),
      alert('ProviderUnstable', 'warning', '30m', |||
        %s < 0.6
        and on (provider, account) %s < 1
        unless on (provider, account) %s
      ||| % [
        promql.highest('avg_over_time(%s[1h])' % up),
        promql.highest('avg_over_time(%s[10m])' % up),
        unread('15m'),
      ], who + ' can be read only now and then', |||
        {{ $value | humanizePercentage }} of the last hour's scrapes have read the account.
      |||, 'exporter'),
      alert('AccountNeverRead', 'warning', '15m', |||
        %s
        unless on (provider, account) account:cloud_browser_last_read_timestamp_seconds:max
      ||| % unread('5m'), who + ' was never read', |||
        No scrape has read the account since it was configured: its key, its base_url or the network is wrong.
      |||, 'exporter'),
      alert('KeyRefused', 'critical', '5m', refused('auth'), who + ' refuses the API key', |||
        The provider answers 401 or 403, or there is no key to send. Nothing of this account is seen until it has a
        key that works.
      |||, 'exporter'),
      alert('PaymentRequired', 'critical', '5m', refused('payment'), who + ' has reached its spending limit', |||
        The provider answers 402. It does not let the account be read, and most likely starts no browsers for it.
      |||, 'spend'),
      alert('RateLimited', 'warning', '5m', |||
        %s >= 3
        and on (provider, account) %s == 0
      ||| % [
        promql.highest(
          'increase(%s[15m])' % promql.series('cloud_browser_exporter_errors_total', 'reason="rate_limited"')
        ),
        promql.highest('min_over_time(%s[5m])' % up),
      ], who + ' is rate limited', |||
        {{ $value | printf "%.0f" }} scrapes in 15 minutes were answered 429, or sent no request because the
        provider's Retry-After was still in force.
      |||, 'exporter'),
      alert('ReplicaCannotRead', 'warning', '10m', |||
        max by (job, instance, provider, account) (max_over_time(%(up)s[15m])) == 0
        and on (provider, account) %(read)s == 1
      ||| % {
        up: up,
        read: promql.highest('max_over_time(%s[5m])' % up),
      }, '{{ $labels.instance }} cannot read %s, another replica can' % who, |||
        The account is read, but by one replica alone. The key or the network of {{ $labels.instance }} is wrong.
      |||, 'exporter'),
      alert('AccountVanished', 'warning', '5m', |||
        max by (provider, account) (
          target:cloud_browser_account_missing:bool
          unless on (job, instance) %(targets)s == 0
        )
        and on () (
          max(job:cloud_browser_exporter_answered_timestamp_seconds:max) > time() - 120
        )
        unless on (provider, account) (
          target:cloud_browser_account_missing:bool
          and on (job) job:cloud_browser_exporter_answered_timestamp_seconds:max < time() - 300
        )
        unless on (provider, account) %(now)s
      ||| % {
        targets: promql.series('up'),
        now: promql.highest('last_over_time(%s[10m])' % up),
      }, who + ' is no longer exported', |||
        The account was exported within the last twelve hours, and no exporter has it now. Was it removed from the
        configuration, or renamed?
      |||, 'overview'),
    ],
  }
