-- The client: posts the bodies of a folder in turn, and prints what it measured as one line of JSON.

local function from_environment(name)
  return os.getenv(name) or error(name .. " is not set")
end

local requests = {}
local turn = 0

function init()
  local headers = { ["Content-Type"] = from_environment("CONTENT_TYPE") }
  if os.getenv("TOKEN") then headers["Authorization"] = "Bearer " .. os.getenv("TOKEN") end
  for number = 0, tonumber(from_environment("BODIES")) - 1 do
    local file = assert(io.open(from_environment("FOLDER") .. "/" .. number, "rb"))
    requests[number + 1] = wrk.format("POST", from_environment("URL_PATH"), headers, file:read("*a"))
    file:close()
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "p999_ms": %.3f, "errors": %d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency:percentile(99.9) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
