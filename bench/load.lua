-- What wrk sends: the arguments are the method, the length of the body and the version of HTTP. What
-- it has seen is told in one line of JSON, as its own report is rounded.

function init(args)
    wrk.method = args[1]
    local size = tonumber(args[2])
    if size > 0 then
        wrk.body = string.rep("x", size)
        wrk.headers["Content-Type"] = "application/octet-stream"
    end
    local format = wrk.format
    wrk.format = function(...)
        return (format(...):gsub("HTTP/1.1", "HTTP/" .. args[3], 1))
    end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\n{"duration_us": %d, "requests": %d, "p50_us": %d, "p99_us": %d, "connect": %d, "read": %d, ' ..
        '"write": %d, "status": %d, "timeout": %d}\n',
        summary.duration, summary.requests, latency:percentile(50), latency:percentile(99),
        errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
