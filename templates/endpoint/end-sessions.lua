-- Inputs: none.
-- Ends the sessions of servers that have been down for a while: their clients can only err there. So are those of a server that is out of
-- use for writers: while it followed, they could read there. HAProxy's own way to do that, at
-- once (`on-marked-down shutdown-sessions`), forgets in 3.0 those that are just being connected and have spoken already: nobody tells
-- the client, who waits for ever. A server that is down gets no new clients, so after its connect timeout nobody is being connected.
local backends <const> = { "be_rw", "be_ro" }
local look_ms <const> = 200
-- Whole seconds since it went down, as HAProxy counts them: between one and two.
local down_seconds <const> = 2

core.register_task(function()
  while true do
    for _, backend in ipairs(backends) do
      local proxy = core.backends[backend]
      for _, server in pairs(proxy and proxy.servers or {}) do
        local stats = server:get_stats()
        local is_out = stats.status:sub(1, 4) == "DOWN" or (backend == "be_rw" and stats.status:sub(1, 5) == "MAINT")
        if is_out and stats.lastchg >= down_seconds then server:shut_sess() end
      end
    end
    core.msleep(look_ms)
  end
end)
