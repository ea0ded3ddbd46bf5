-- `tcp-request content lua.await_server BACKEND`: holds a new client while the backend has no server that takes clients, for as
-- long as a failover may take. The client waits in its connection instead of being turned away and having to try again.
local limit_seconds <const> = 7
local look_ms <const> = 10

-- HAProxy takes servers for well until their first check; which of them leads is known only after it.
local checked = {}

local function is_checked(backend)
  if checked[backend] then return true end
  for _, server in pairs(core.backends[backend].servers) do
    local status = server:get_stats().check_status
    if status == "INI" or status == "" then return false end
  end
  checked[backend] = true
  return true
end

local function has_server(backend)
  local proxy = core.backends[backend]
  return is_checked(backend) and proxy:get_srv_act() + proxy:get_srv_bck() > 0
end

-- By the clock: on a busy machine each look comes later than it was asked for.
local function seconds()
  local now = core.now()
  return now.sec + now.usec / 1000000
end

core.register_action("await_server", { "tcp-req" }, function(_, backend)
  local deadline = seconds() + limit_seconds
  while not has_server(backend) and seconds() < deadline do
    core.msleep(look_ms)
  end
end, 1)
