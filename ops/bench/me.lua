-- Reads the account of whoever is logged in, one person after another.
require "report"

local requests, at = {}, 0

function init(args)
    for line in io.lines(args[1]) do
        requests[#requests + 1] = wrk.format("GET", "/api/v1/users/me", { ["Authorization"] = "Bearer " .. line:match("%S+") })
    end
    at = math.random(#requests)
end

function request()
    at = at % #requests + 1
    return requests[at]
end
