-- Inputs: none; loaded with the seconds that a client waits at most.
-- `tcp-request content lua.await_server BACKEND`: holds a new client while the backend has no server that takes clients, for as
-- long as a failover or a restart may take. The client waits in its connection instead of being turned away and having to try again.
local limit_seconds <const> = tonumber((...))
local look_ms <const> = 10

-- HAProxy takes servers for well until their first check; which of them leads is known only after it.
local checked = {}

local function is_checked(backend)
  if checked[backend] then return true end
  for _, server in pairs(core.backends[backend].servers) do
    local stats = server:get_stats()
    -- nil: nobody asks it; a check that is under way has an asterisk in front
    local check = stats.status ~= "no check" and stats.check_status or nil
    if check ~= nil and (check == "" or check:match("INI$")) then return false end
  end
  checked[backend] = true
  return true
end

-- By the clock: on a busy machine each look comes later than it was asked for.
local function seconds()
  local now = core.now()
  return now.sec + now.usec / 1000000
end

-- Servers that get no new client for a moment, by the controller's word: it saw their Postgres dead before our checks could.
-- Held rather than marked down: HAProxy 3.0 ends the sessions of a server that goes down, and of one that is just being connected
-- it forgets to tell the client, who then waits for ever. A controller that dies leaves nothing behind: this ends by itself.
local hold_seconds <const> = 4
local held = {}

-- For the other scripts, too.
Clients = {}

function Clients.hold(server, for_seconds)
  held[server] = seconds() + for_seconds
end

function Clients.admit(server)
  held[server] = nil
end

local function is_held(server)
  local name = server:gsub("^leader%-", "")
  if held[name] ~= nil and held[name] < seconds() then held[name] = nil end
  return held[name] ~= nil
end

core.register_cli({ "holdfast", "hold" }, "holdfast hold SERVER [MS] : no new client for it, for a moment", function(_, _, _, server, ms)
  Clients.hold(server, tonumber(ms) and tonumber(ms) / 1000 or hold_seconds)
end)
core.register_cli({ "holdfast", "admit" }, "holdfast admit SERVER : ends its hold", function(_, _, _, server)
  Clients.admit(server)
end)

local function has_server(backend)
  local proxy = core.backends[backend]
  if not is_checked(backend) or proxy:get_srv_act() + proxy:get_srv_bck() == 0 then return false end
  if next(held) == nil then return true end
  for name, server in pairs(proxy.servers) do
    local status = server:get_stats().status
    if not is_held(name) and (status:sub(1, 2) == "UP" or status == "no check") then return true end
  end
  return false
end

core.register_action("await_server", { "tcp-req" }, function(_, backend)
  local deadline = seconds() + limit_seconds
  while not has_server(backend) and seconds() < deadline do
    core.msleep(look_ms)
  end
end, 1)
