-- What one process tells the others, and what it may send: rules 15 to 18 of `_core/limit`.
-- Everything counts on this server's clock; processes tell durations only.
--   KEYS[1]  the limit of one group under one key     KEYS[2]  the configured ceiling, over all of them
--   ARGV     who asks, until when it waits for the answer, its horizon, the ceiling, its seconds, an `Ask`
-- The answer is a `Reply`, or empty where its deadline is over. In both, what is None or infinite is left out.

local ID, DEADLINE, HORIZON = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local CEILING, PER = tonumber(ARGV[4]), tonumber(ARGV[5])
local ask = cjson.decode(ARGV[6])
local figures = ask.figures

local SAME_RESET = 0.5           -- s: as in `window`
local GUARD, GUARD_SHARE = 1.2, 5 -- s past a reset, at most one in so many of a window: as in `window`
local HEADROOM = 50              -- one request in so many is left unused by paced polls
local KEPT = 10                  -- one request in so many of a window is not spent ahead of the pace
local ROUNDING = 1.0             -- s by which whole-second headers can overstate the time left
local DOCUMENTED_PERIOD = 60.0   -- s: "requests per minute"
local PROBE = 2.0                -- s after which a probe that nobody hears of is given up
local LIVE = 10.0                -- s: who has told nothing for longer shares no limit
local FORGOTTEN = 60.0           -- s: of that one nothing is kept
local ARRIVED = 1.0              -- s after which a request has arrived, however slow its way
local SETTLING = 1.5             -- s after somebody was alone, in which not everybody has told yet
local FEW = 3                    -- slots at a time, where they last as many horizons
local LOOK_AGAIN = 2.0           -- s at most until who got too little asks again
local KEPT_FOR = 3600            -- s that all this is kept for after the last exchange

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
-- A server that hung runs what has piled up meanwhile: nobody waits for that any more.
if DEADLINE > 0 and now > DEADLINE then return '' end

local state, others = {}, {}
local own = {had = 0, window = 0}  -- the slots that its polls have had, and in which window
local flat = redis.call('HGETALL', KEYS[1])
for place = 1, #flat, 2 do
  local id, value = string.match(flat[place], '^p:(.*)$'), flat[place + 1]
  if id == ID then
    own = cjson.decode(value)
  elseif id then
    others[id] = cjson.decode(value)
  elseif value ~= '' then
    state[flat[place]] = tonumber(value) or value
  end
end
if #flat == 0 then state.settled = now + SETTLING end
if ask.is_back then state.settled = math.max(state.settled or 0, now + SETTLING) end
local is_settling = now < (state.settled or 0)

-- What is known of the window.

local function spend(number)
  if state.remaining then state.remaining = math.max(0, state.remaining - number) end
end

spend(ask.lost)
if figures and ask.is_fresh then state.sent = math.max(state.sent or 0, now - ask.sent_ago) end
if figures and (ask.is_fresh or not state.limit) then
  local is_newer = not state.reset or figures.reset > state.reset + SAME_RESET
  local is_later = ask.is_fresh and now - ask.sent_ago - 0.005 > (state.heard or 0)
  if is_newer or is_later then
    if is_newer then state.window = (state.window or 0) + 1 end
    if is_newer or figures.reset < state.reset - SAME_RESET then
      state.ends = now + figures.resets_in
      state.rest = math.max(state.rest or 0, figures.resets_in)
    else
      state.ends = math.min(state.ends, now + figures.resets_in)  -- `Date` is rounded down: the earliest is the best
    end
    state.limit, state.remaining, state.reset = figures.limit, figures.remaining, figures.reset
    state.heard, state.quiet = now, nil
  elseif figures.reset > state.reset - SAME_RESET then
    state.ends = math.min(state.ends, now + figures.resets_in)
    if figures.remaining < state.remaining then state.remaining, state.heard = figures.remaining, now end
  end
end

local sent, gone = state.sent or 0, {}
for id, other in pairs(others) do
  -- A figure has what was under way a second before its own request: it would be counted twice.
  if sent >= other.seen + ARRIVED then other.flying = 0 end
  if sent >= other.lapses + ARRIVED then other.slots = 0 end
  if now - other.seen > FORGOTTEN then
    spend(other.flying + other.slots)  -- it fell silent, and has sent all that, as far as anybody knows
    gone[#gone + 1], others[id] = 'p:' .. id, nil
  end
end

if ask.pause > 0 then state.pause = math.max(state.pause or 0, now + ask.pause) end
if ask.landed and state.probe == ID then
  state.round = now - state.probed
  state.probe = nil
  if ask.is_quiet then state.quiet, state.limit = 1, nil end
end

-- Who else is there.

local RECENT = 2 * HORIZON + 3  -- s in which who has polls asks again
local held, gone_out, live, rivals = ask.flying + ask.unspent, 0, 1, {}
local sharers, askers = ask.polls > 0 and 1 or 0, ask.direct > 0 and 1 or 0
for _, other in pairs(others) do
  held = held + other.flying + other.slots
  -- By its pace it has sent some of them since it told: the newest figure counts them, and so it counts them twice.
  if (other.every or 0) > 0 then gone_out = gone_out + math.min(other.slots, math.max(0, sent - other.seen) / other.every) end
  if now - other.seen < LIVE then live = live + 1 end
  if now - other.seen < RECENT then
    if other.polls > 0 then
      sharers = sharers + 1
      rivals[#rivals + 1] = {want = other.polls, had = other.window == state.window and other.had or 0}
    end
    if other.direct > 0 then askers = askers + 1 end
  end
end
if is_settling then
  live = math.max(live, ask.processes)
  sharers = math.max(sharers, ask.polls > 0 and ask.processes or 0)
  askers = math.max(askers, live)
end

-- What its polls have had of this window.

if own.window ~= state.window then
  own.had, own.led, own.window = math.max(own.led or 0, ask.flying + ask.unspent), 0, state.window
end
own.had = math.max(0, own.had - ask.lapsed)
-- Polls that come anew begin with what the others have had on average: they have a part of what is left, and no more.
if ask.polls > 0 and not ((own.polls or 0) > 0 and now - own.seen < RECENT) and #rivals > 0 then
  local sum = 0
  for _, rival in ipairs(rivals) do sum = sum + rival.had end
  own.had = math.max(own.had, math.floor(sum / #rivals))
end

-- What may be sent.

local direct, paced, interval, again, is_probe = 0, 0, 0, 0, false
local rate, even, available, left = math.huge, math.huge, math.huge, math.huge
local paused = math.max(0, (state.pause or 0) - now)

if state.limit then
  local limit, spare = state.limit, math.floor(state.limit / HEADROOM)
  local period = state.rest > 0 and state.rest or DOCUMENTED_PERIOD
  available, left = state.remaining - held, state.ends - now
  even = math.max(1, limit - spare) / period
  local shortest = math.max(0, state.rest - 2 * ROUNDING) / math.max(1, limit - spare)
  local rest = left - ((shortest > 0 and period < 10) and ROUNDING or 0)
  rate = 1 / math.max(shortest > 0 and shortest or (left <= 0 and period / limit or 0), rest / math.max(1, available + gone_out - spare))
end

-- What polls may have of `total` more slots in the next `span` seconds, so that at their end all have had alike: who was
-- late catches up, and of a remainder whoever has had the least takes one. Who wants less leaves the rest to the others.
local function owed_of(total, span)
  local sum, number = total + own.had, math.max(1, sharers)
  for _, rival in ipairs(rivals) do
    rival.most = rival.had + rival.want * span / HORIZON
    sum = sum + rival.had
  end
  table.sort(rivals, function(one, other) return one.most < other.most end)
  for _, rival in ipairs(rivals) do
    if rival.most >= sum / number or number == 1 then break end
    sum, number = sum - rival.most, number - 1
  end
  local level, rest = sum / number, total
  local owed = level - own.had
  for _, rival in ipairs(rivals) do
    rest = rest - math.max(0, math.min(rival.most, math.floor(level)) - rival.had)
  end
  if owed < 1 and rest >= 1 then return math.ceil(owed - 0.001) end
  -- Who has had too much goes on at half of an even pace, where that is a slot or more.
  return math.max(math.floor(total / math.max(1, sharers) / 2), owed)
end

local function guard_of(window)
  return math.min(GUARD, (window.rest or 0) / GUARD_SHARE)
end

local function open_with_probe(reopens)
  if now < reopens then
    again = reopens - now
  elseif state.probe and state.probe ~= ID and now < state.probe_until then
    again = math.max(0.02, math.min(0.25, (state.round or 0.05) / 2))
  elseif ask.direct + ask.polls > 0 then
    direct, is_probe = 1, true
    state.probe, state.probed, state.probe_until = ID, now, now + PROBE
  end
end

if paused > 0 then
  again = paused
elseif state.quiet then
  direct, paced = ask.direct, ask.polls
elseif not state.limit then
  open_with_probe(0)
elseif available < 1 then
  open_with_probe(state.ends + guard_of(state))
  if left > 0 and state.remaining >= 1 then again = ask.direct > 0 and 0.05 or 0.25 end  -- somebody holds it
else
  direct = math.min(ask.direct, math.ceil(available / math.max(1, askers)))
  local rest = available - direct
  local kept = math.floor(state.limit / KEPT)
  if ask.polls > 0 and rest >= 1 then
    local most = math.floor((state.limit - kept) / math.max(1, sharers)) - own.had
    local ahead = ask.is_ahead and math.floor(math.min(ask.polls, most, rest - kept)) or 0
    if ahead >= 1 then
      direct, own.had = direct + ahead, own.had + ahead
    else
      -- The last of a window are for people, and half of them lead into the next one, so that no probe has to.
      local spare = math.floor(state.limit / HEADROOM)
      local room = rest - (left > 0 and spare or math.floor(spare / 2))
      local likely = math.max(0, room + gone_out)
      local span = math.max(1, likely) / rate
      local owed = math.max(left > 0 and 0 or 1, owed_of(likely, math.max(span, left)))
      local part = owed * HORIZON / span
      interval = span / owed
      local due = interval - ask.idle_for
      if owed >= 1 and due > HORIZON then
        again = math.min(due, math.max(left, 0.05))
      elseif (owed < 1 or room < 1) and left > 0 then
        again = likely < 1 and left or math.min(left, math.max(0.25, left / 2))  -- somebody will give back what it holds
        again = math.max(0.02, again)
      elseif room < 1 then
        open_with_probe(state.ends + guard_of(state))
      else
        local most = left > 0 and math.max(1, math.floor(left / interval + 0.5)) or ask.polls
        -- Of a slow pace, a few slots at a time: one for each exchange would be mostly exchanges.
        local few = math.min(FEW, FEW * HORIZON / interval)
        paced = math.floor(math.min(room, math.max(1, math.min(ask.polls, math.max(part + 0.5, few), most, owed))))
      end
    end
  end
  if direct + paced < ask.direct + math.min(1, ask.polls) and again == 0 then again = 0.05 end
end
again = math.min(again, LOOK_AGAIN)

-- The configured ceiling: a bucket that holds a fifth, so that no stretch of its seconds sees more than it names.

if CEILING then
  local most = math.max(1, math.floor(CEILING / 5))
  local refill = math.max(1, CEILING - most) / (PER + 4 * HORIZON)  -- for so long a slot may lie before it is used
  local bucket = redis.call('HMGET', KEYS[2], 'tokens', 'at')
  local tokens = math.min(most, (tonumber(bucket[1]) or most) + math.max(0, now - (tonumber(bucket[2]) or now)) * refill)
  local wanted = direct + paced
  direct = math.min(direct, math.floor(tokens))
  paced = math.min(paced, math.floor(tokens) - direct)
  if direct + paced < wanted then again = math.max(again, 1 / refill) end
  if is_probe and direct == 0 then is_probe, state.probe = false, nil end
  tokens = tokens - direct - paced
  rate, even = math.min(rate, refill), math.min(even, refill)
  interval = math.max(interval, math.max(1, sharers) / refill)
  redis.call('HSET', KEYS[2], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.6f', now))
  redis.call('EXPIRE', KEYS[2], KEPT_FOR)
end

-- What is kept.

local function text(number)
  return type(number) == 'number' and string.format('%.6f', number) or number
end

local lapses = now + math.max(direct > 0 and HORIZON or 0, paced > 0 and HORIZON + paced * interval or 0, ask.lapses_in)
own.flying, own.slots, own.lapses = ask.flying, ask.unspent + direct + paced, lapses
own.had, own.led = own.had + paced, left > 0 and 0 or (own.led or 0) + paced  -- what led into the next is had there
own.every = paced > 0 and interval or ask.unspent > 0 and own.every or 0
-- Who holds slots for its polls asks for none, and has polls all the same.
own.direct, own.polls, own.seen = ask.direct, (ask.polls > 0 or ask.unspent == 0) and ask.polls or own.polls or 0, now
local fields = {'p:' .. ID, cjson.encode(own)}
local is_expiring = (state.expires or 0) < now + KEPT_FOR / 2
if is_expiring then state.expires = now + KEPT_FOR end
for _, name in ipairs({'limit', 'remaining', 'reset', 'ends', 'rest', 'heard', 'sent', 'pause', 'probe', 'probed', 'probe_until',
                       'round', 'quiet', 'settled', 'expires', 'window'}) do
  fields[#fields + 1] = name
  fields[#fields + 1] = text(state[name]) or ''
end
redis.call('HSET', KEYS[1], unpack(fields))
if is_expiring then redis.call('EXPIRE', KEYS[1], KEPT_FOR) end
if ask.is_leaving then gone[#gone + 1] = 'p:' .. ID end
if #gone > 0 then redis.call('HDEL', KEYS[1], unpack(gone)) end

-- JSON has no word for infinity.
local function finite(number)
  return number < math.huge and number or nil
end

return cjson.encode({
  direct = direct, paced = paced, interval = paced > 0 and interval or 0, is_probe = is_probe, again_in = again,
  processes = live, sharers = math.max(1, sharers), pause = paused, limit = state.limit,
  available = finite(available - direct - paced), ends_in = finite(left), rate = finite(rate), even = finite(even),
})
