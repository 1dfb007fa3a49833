-- Reads pages of 50: the newest of each room, or, with a second argument, pages that end before a random older number.
require "report"

local pairs_, requests, at = {}, {}, 0

local function format(pair, query)
    return wrk.format("GET", "/api/v1/rooms/" .. pair.room .. "/messages?limit=50" .. query, { ["Authorization"] = "Bearer " .. pair.token })
end

function init(args)
    local spread = args[2] == "old" and 64 or 1
    for line in io.lines(args[1]) do
        local token, room, last = line:match("(%S+) (%S+) (%d+)")
        pairs_[#pairs_ + 1] = { token = token, room = room, last = tonumber(last) }
    end
    math.randomseed(os.time())
    for _ = 1, spread do
        for _, pair in ipairs(pairs_) do
            local query = ""
            if args[2] == "old" then -- beyond the 128 newest, which Redis keeps
                query = "&before=" .. math.random(51, math.max(52, pair.last - 200))
            end
            requests[#requests + 1] = format(pair, query)
        end
    end
    at = math.random(#requests)
end

function request()
    at = at % #requests + 1
    return requests[at]
end
