-- Inputs: none; loaded with the names of three pools (writes, reads, and whoever is asked for passwords) and PgBouncer's
-- default_pool_size.
-- Pooled clients see a planned change of server as a delay, not as an error.
--   holdfast pause MILLISECONDS [FOR]   of the leader's pool, and of who asks it for passwords: open transactions end, servers are let go,
--                                  whoever comes waits. Answers "paused"; "busy" when transactions were still open by then: nobody new
--                                  gets in, and it is paused as soon as they have ended.
--   holdfast resume                answers "resumed" or "was not paused".
--   holdfast spare SERVER MILLISECONDS   no new readers for it for a moment, and the pool's leave it between two transactions. Answers
--                                  "spared"; "busy" when transactions were still open there by then.
-- Whoever asked for it may die: what is not ended in time ends by itself, and a new process begins by ending what an old one left.
local writes <const>, reads <const>, logins <const>, pool_size <const> = table.unpack({ ... })
local socket <const> = "unix@/run/pgbouncer/.s.PGSQL.6432"
local pause_seconds <const> = 7
-- Longer than a member needs to stop and to be found down.
local spare_seconds <const> = 15
local answer_seconds <const> = 1
local look_ms <const> = 100
-- When each ends by itself: of pools, and of servers.
local paused, spared = {}, {}
-- By when whoever limits the pools to one server will have ended that; nil: they are not limited.
local limited = nil

local function seconds()
  local now = core.now()
  return now.sec + now.usec / 1000000
end

-- A message's number of fields, and each as `read` finds it.
local function fields(body, read)
  local count, at = string.unpack(">I2", body)
  local found = {}
  for index = 1, count do found[index], at = read(body, at) end
  return found
end

local function column(body, at)
  local name, behind = string.unpack("z", body, at)
  -- table, attribute, type, length, modifier, format
  return name, behind + 18
end

local function value(body, at)
  local length, behind = string.unpack(">i4", body, at)
  if length < 0 then return "", behind end
  return body:sub(behind, behind + length - 1), behind + length
end

-- Reads PostgreSQL's messages up to the one that says that the server is ready. Nil, or what went wrong; and the rows by column.
local function read_answer(tcp)
  local failure, columns, rows = nil, {}, {}
  while true do
    local head = tcp:receive(5)
    if head == nil or #head < 5 then return failure or "no answer", rows end
    local kind, length = string.unpack(">c1 I4", head)
    local body = length > 4 and tcp:receive(length - 4) or ""
    if body == nil or #body < length - 4 then return failure or "no answer", rows end
    -- its fields end with a zero each; M is the message for people
    if kind == "E" then failure = failure or body:match("\0M([^\0]*)") or "an error without a message" end
    if kind == "T" then columns = fields(body, column) end
    if kind == "D" then
      local row = {}
      for index, text in ipairs(fields(body, value)) do row[columns[index] or index] = text end
      rows[#rows + 1] = row
    end
    if kind == "Z" then return failure, rows end
  end
end

local function query(statement)
  return "Q" .. string.pack(">I4 z", #statement + 5, statement)
end

local function run(tcp, statement)
  tcp:send(query(statement))
  return read_answer(tcp)
end

local function limit(servers)
  return "SET default_pool_size = " .. servers
end

-- PgBouncer ends a login of its own that is under way when it pauses or reconnects, takes that for a server that fails, and answers
-- whoever comes next with that error (tag_pool_dirty and check_fast_fail in its objects.c). So it is asked when none is under way,
-- as far as there is time, and none begins meanwhile: a pool of one at the most begins none as long as it has a server. The pool
-- has its size again by the same packet, and PgBouncer begins nothing between two statements of one.
local function run_between_logins(tcp, statement, pool, wait_seconds)
  local ends = seconds() + wait_seconds
  limited = ends
  local failure, rows = run(tcp, limit(1)), {}
  while failure == nil and seconds() < ends do
    local under_way = 0
    failure, rows = run(tcp, "SHOW POOLS")
    for _, row in ipairs(rows) do
      if row.database == pool then under_way = under_way + (tonumber(row.sv_login) or 0) end
    end
    if failure ~= nil or under_way == 0 then break end
    core.msleep(2)
  end
  tcp:send(query(limit(pool_size)) .. query(statement))
  failure = read_answer(tcp)
  if failure == nil then limited = nil end
  return failure or read_answer(tcp)
end

-- PgBouncer's console knows the user pgbouncer by the system's user behind the socket. Nil, or what went wrong; and whether it was
-- asked at all: what was asked may still happen. `unsettled`: a pool whose logins under way are waited for as long again.
local function ask(statement, wait_seconds, unsettled)
  local tcp = core.tcp()
  tcp:settimeout(wait_seconds)
  if tcp:connect(socket) == nil then return "PgBouncer does not listen", false end
  local greeting = string.pack(">I4 z z z z B", 196608, "user", "pgbouncer", "database", "pgbouncer", 0)
  tcp:send(string.pack(">I4", #greeting + 4) .. greeting)
  local failure = read_answer(tcp)
  local is_asked = failure == nil
  if is_asked then
    if unsettled ~= nil then failure = run_between_logins(tcp, statement, unsettled, wait_seconds) else failure = run(tcp, statement) end
  end
  tcp:close()
  return failure, is_asked
end

local function pause(pool, wait_seconds, for_seconds)
  -- before it and after it: nothing that happens meanwhile leaves it paused for ever
  paused[pool] = seconds() + for_seconds
  local failure, is_asked = ask('PAUSE "' .. pool .. '"', wait_seconds, pool)
  paused[pool] = seconds() + for_seconds
  if failure == nil or failure:match("already") then return "paused" end
  return is_asked and failure == "no answer" and "busy" or failure
end

-- A pause that came meanwhile keeps its own end.
local function resume(pool)
  local mine = paused[pool]
  local failure = ask('RESUME "' .. pool .. '"', answer_seconds)
  -- may be the answer just before a pause that is on its way: the task asks once more
  if failure ~= nil and failure:match("not paused") then return "was not paused" end
  if failure ~= nil then return failure end
  if paused[pool] == mine then paused[pool] = nil end
  return "resumed"
end

-- For the other scripts, too: all pools of a database.
Pools = {}

-- Answers "paused", "busy" or what went wrong; after `for_seconds` they resume by themselves.
function Pools.pause(wait_seconds, for_seconds)
  local outcome = "paused"
  -- whoever logs in waits last: until then it may still be asked for a password
  for _, pool in ipairs({ writes, reads, logins }) do
    local of_pool = pause(pool, wait_seconds, for_seconds)
    if outcome == "paused" then outcome = of_pool end
  end
  return outcome
end

function Pools.resume()
  for _, pool in ipairs({ logins, writes, reads }) do
    -- one that cannot be resumed is tried again soon
    paused[pool] = 0
    resume(pool)
  end
end

core.register_cli({ "holdfast", "pause" }, "holdfast pause MS [FOR_MS]   : holds the clients of the pool", function(applet, _, _, ms, for_ms)
  local wait_seconds = (tonumber(ms) or 0) / 1000
  if wait_seconds <= 0 then return applet:send("for how many milliseconds?\n") end
  local for_seconds = tonumber(for_ms) and tonumber(for_ms) / 1000 or pause_seconds
  local outcome = pause(writes, wait_seconds, for_seconds)
  -- whoever logs in waits, too, instead of asking a server that is on its way out
  local of_logins = pause(logins, wait_seconds, for_seconds)
  applet:send((outcome == "paused" and of_logins or outcome) .. "\n")
end)

core.register_cli({ "holdfast", "resume" }, "holdfast resume              : ends that", function(applet)
  resume(logins)
  applet:send(resume(writes) .. "\n")
end)

core.register_cli({ "holdfast", "spare" }, "holdfast spare SERVER MS     : leads readers elsewhere", function(applet, _, _, name, ms)
  local server = core.backends["be_ro"].servers[name or ""]
  local wait_seconds = (tonumber(ms) or 0) / 1000
  if server == nil then return applet:send("No such server.\n") end
  if wait_seconds <= 0 then return applet:send("for how many milliseconds?\n") end
  server:set_drain()
  spared[name] = seconds() + spare_seconds
  local failure = ask('RECONNECT "' .. reads .. '"', wait_seconds, reads)
  if failure ~= nil then return applet:send(failure .. "\n") end
  failure = ask('WAIT_CLOSE "' .. reads .. '"', wait_seconds)
  applet:send((failure == nil and "spared" or failure == "no answer" and "busy" or failure) .. "\n")
end)

local function due(ends)
  local now, names = seconds(), {}
  for name, at in pairs(ends) do
    if at < now then names[#names + 1] = name end
  end
  return names
end

local function end_what_is_due()
  -- whoever limited it was not heard any more
  if limited ~= nil and limited < seconds() and ask(limit(pool_size), answer_seconds) == nil then limited = nil end
  for name, at in pairs(spared) do
    local server = core.backends["be_ro"].servers[name]
    -- once it is down, the checks know best when it is fit for readers again
    local status = server ~= nil and server:get_stats().status or ""
    local is_over = at < seconds() or server == nil or status:sub(1, 4) == "DOWN"
    if is_over then spared[name] = nil end
    -- one that was taken out of use meanwhile stays so
    if is_over and server ~= nil and status:sub(1, 5) ~= "MAINT" then server:set_ready() end
  end
  for _, pool in ipairs(due(paused)) do
    local mine = paused[pool]
    local outcome = resume(pool)
    -- one that cannot be resumed is tried again in a while
    local is_over = outcome == "resumed" or outcome == "was not paused"
    if paused[pool] == mine then paused[pool] = not is_over and seconds() + answer_seconds or nil end
  end
end

for _, pool in ipairs({ writes, reads, logins }) do paused[pool] = 0 end
core.register_task(function()
  -- what an old process may have left between two statements
  while ask(limit(pool_size), answer_seconds) ~= nil do core.msleep(look_ms) end
  while true do
    core.msleep(look_ms)
    -- an error would end the task, and nobody would be let go any more
    local is_well, reason = pcall(end_what_is_due)
    if not is_well then core.Warning("the pools were not looked after: " .. tostring(reason)) end
  end
end)
