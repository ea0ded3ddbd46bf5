-- Inputs: none.
-- Loaded in front of a standalone: `holdfast restart MILLISECONDS` says that its server is about to be stopped and will be back. The
-- pools are paused, as soon as open transactions have ended, and whoever connects waits. Answers "waiting", or "busy" when transactions
-- were still open by then: they meet the end of the server. All of it ends by itself once the server takes connections again, when it
-- does not go away, or after a while: whoever asked may die.
local server_name <const> = "standalone"
local longest_seconds <const> = 15
local leave_seconds <const> = 5
local look_ms <const> = 50
local answer_seconds <const> = 1
-- PostgreSQL says it while it starts and while it stops.
local cannot_connect_now <const> = "57P03"
local restart = nil

local function seconds()
  local now = core.now()
  return now.sec + now.usec / 1000000
end

-- Asks for a session that nobody may have, without encryption: a server that is ready refuses that, and says so.
local function takes_connections()
  local tcp = core.tcp()
  tcp:settimeout(answer_seconds)
  local address, port = core.backends["be_rw"].servers[server_name]:get_addr():match("^(.*):(%d+)$")
  if tcp:connect(address, tonumber(port)) == nil then return false end
  local greeting = string.pack(">I4 z z B", 196608, "user", "holdfast_nobody", 0)
  tcp:send(string.pack(">I4", #greeting + 4) .. greeting)
  local head = tcp:receive(5)
  local length = head ~= nil and #head == 5 and string.unpack(">I4", head, 2) or 0
  local body = length > 4 and tcp:receive(length - 4) or ""
  tcp:close()
  if head == nil or body == nil or body == "" then return false end
  return head:sub(1, 1) ~= "E" or body:match("C(%w%w%w%w%w)\0") ~= cannot_connect_now
end

local function finish()
  restart = nil
  Clients.admit(server_name)
  Pools.resume()
end

local function look()
  if takes_connections() then
    if restart.was_away or seconds() > restart.leaves_by then finish() end
  else
    restart.was_away = true
    if seconds() > restart.ends_by then finish() end
  end
end

core.register_cli({ "holdfast", "restart" }, "holdfast restart MS          : waits for the server to stop and come back", function(applet, _, _, ms)
  local wait_seconds = (tonumber(ms) or 0) / 1000
  if wait_seconds <= 0 then return applet:send("for how many milliseconds?\n") end
  Clients.hold(server_name, longest_seconds)
  local outcome = Pools.pause(wait_seconds, longest_seconds)
  local now = seconds()
  restart = { leaves_by = now + leave_seconds, ends_by = now + longest_seconds, was_away = false }
  applet:send((outcome == "paused" and "waiting" or outcome) .. "\n")
end)

core.register_task(function()
  while true do
    core.msleep(look_ms)
    if restart ~= nil then
      -- an error would end the task, and nobody would be let in any more before the time is over
      local is_well, reason = pcall(look)
      if not is_well then core.Warning("the server was not looked after: " .. tostring(reason)) end
    end
  end
end)
