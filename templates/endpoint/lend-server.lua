-- Inputs: none.
-- While a database moves, reads may go on at the server that follows: it takes clients of be_rw although it does not lead, and PostgreSQL
-- itself refuses their writes.
--   holdfast lend SERVER MS   that server gets clients, and its checks are not asked, for that long at most.
--   holdfast return SERVER    its checks are asked again.
-- Whoever asked for it may die: it ends by itself.
local look_ms <const> = 100
-- When each ends by itself, by name.
local lent = {}

local function seconds()
  local now = core.now()
  return now.sec + now.usec / 1000000
end

local function server_named(name)
  return core.backends["be_rw"].servers[name or ""]
end

core.register_cli({ "holdfast", "lend" }, "holdfast lend SERVER MS       : takes clients although it does not lead", function(applet, _, _, name, ms)
  local server, for_seconds = server_named(name), (tonumber(ms) or 0) / 1000
  if server == nil then return applet:send("No such server.\n") end
  if for_seconds <= 0 then return applet:send("for how many milliseconds?\n") end
  lent[name] = seconds() + for_seconds
  server:check_disable()
  server:check_force_up()
end)

core.register_cli({ "holdfast", "return" }, "holdfast return SERVER       : ends that", function(applet, _, _, name)
  local server = server_named(name)
  if server == nil then return applet:send("No such server.\n") end
  lent[name] = nil
  server:check_enable()
end)

local function end_what_is_due()
  local now, due = seconds(), {}
  for name, at in pairs(lent) do
    if at < now then due[#due + 1] = name end
  end
  for _, name in ipairs(due) do
    lent[name] = nil
    local server = server_named(name)
    if server ~= nil then server:check_enable() end
  end
end

core.register_task(function()
  while true do
    core.msleep(look_ms)
    -- an error would end the task, and the checks would never be asked again
    local is_well, reason = pcall(end_what_is_due)
    if not is_well then core.Warning("the lent servers were not looked after: " .. tostring(reason)) end
  end
end)
