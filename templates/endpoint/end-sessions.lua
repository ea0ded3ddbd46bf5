-- Inputs: none.
-- Ends the sessions of servers that have been down for a while: their clients can only err there. HAProxy's own way to do that, at
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
        if stats.status:sub(1, 4) == "DOWN" and stats.lastchg >= down_seconds then server:shut_sess() end
      end
    end
    core.msleep(look_ms)
  end
end)
