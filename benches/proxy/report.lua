-- Makes wrk end with one line of plain numbers:
-- requests, seconds, p50 and p99 in milliseconds, and everything that was not a whole 200.
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("numbers %d %.3f %.3f %.3f %d\n",
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
