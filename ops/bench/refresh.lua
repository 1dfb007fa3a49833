-- Refreshes sessions. The file that is the script's argument has a refresh token a line, some more than there are connections;
-- each answer's token goes to the end of the queue, and each request takes the first.
require "report"

local tokens, first, last = {}, 1, 0

local function put(token)
    last = last + 1
    tokens[last] = token
end

function init(args)
    for token in io.lines(args[1]) do
        put(token)
    end
end

function request()
    local token = tokens[first]
    tokens[first], first = nil, first + 1
    return wrk.format("POST", "/api/v1/auth/refresh", { ["Content-Type"] = "application/json" }, '{"refreshToken":"' .. token .. '"}')
end

function response(status, headers, body)
    local token = body:match('"refreshToken":"([^"]+)"')
    if token then
        put(token)
    end
end
