-- Posts messages, each with a body of its own, round the (token, room) pairs of the file that is the script's argument.
require "report"

local pairs_, at, thread_number, sent = {}, 0, 0, 0
local threads = 0

function setup(thread)
    thread:set("thread_number", threads)
    threads = threads + 1
end

function init(args)
    for line in io.lines(args[1]) do
        local token, room = line:match("(%S+) (%S+)")
        pairs_[#pairs_ + 1] = {
            path = "/api/v1/rooms/" .. room .. "/messages",
            headers = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" },
        }
    end
    at = thread_number * 7919
end

function request()
    at, sent = at + 1, sent + 1
    local pair = pairs_[at % #pairs_ + 1]
    local body = '{"body":"Message ' .. sent .. " of thread " .. thread_number .. ', long enough to be something that a person might say in a room."}'
    return wrk.format("POST", pair.path, pair.headers, body)
end
