-- Reads the pages of one person's rooms: "token path" a line of the file that is the script's argument.
require "report"

local requests, at = {}, 0

function init(args)
    for line in io.lines(args[1]) do
        local token, path = line:match("(%S+) (%S+)")
        requests[#requests + 1] = wrk.format("GET", "/api/v1" .. path, { ["Authorization"] = "Bearer " .. token })
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end
