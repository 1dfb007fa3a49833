-- What wrk measured, as JSON, into the file that BENCH_REPORT names.
function done(summary, latency, requests)
    local file = assert(io.open(os.getenv("BENCH_REPORT"), "w"))
    local errors = summary.errors
    file:write(string.format(
        '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p90_ms": %.3f, "p99_ms": %.3f, "p999_ms": %.3f, "max_ms": %.3f, ' ..
            '"errors": {"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3,
        latency:percentile(99.9) / 1e3, latency.max / 1e3, errors.connect, errors.read, errors.write, errors.timeout, errors.status))
    file:close()
end
