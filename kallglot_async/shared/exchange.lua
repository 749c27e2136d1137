-- What one process tells the others, and what it may send: rules 17 to 19 of `_core/limit`.
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
local KEPT = 10                  -- one request in so many of a window is not spent ahead of the pace, ...
local MOST_KEPT = 60             -- ... and no more than these of one of hours
local ROUNDING = 1.0             -- s by which whole-second headers can overstate the time left
local DOCUMENTED_PERIOD = 60.0   -- s: "requests per minute"
local PROBE = 2.0                -- s after which a probe that nobody hears of is given up
local LIVE = 10.0                -- s: who has told nothing for longer shares no limit
local FORGOTTEN = 60.0           -- s: of that one nothing is kept
local ARRIVED = 1.0              -- s after which a request has arrived, however slow its way, ...
local TRIPS = 2                  -- ... or after so many times what the slowest answer has lately taken, ...
local LEAST_TRIP = 0.05          -- ... which may be no less than so many s
local SETTLING = 1.5             -- s after somebody was alone, in which not everybody has told yet
local FEW = 3                    -- slots at a time, where they last as many horizons
local SOON = 0.1                 -- s until who waits for an answer of another looks for it
local LOOK_AGAIN = 2.0           -- s at most until who got too little asks again
local LOOKS = 8                  -- of who takes turns, in the time of one
local KEPT_FOR = 3600            -- s that all this is kept for after the last exchange

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
-- A server that hung runs what has piled up meanwhile: nobody waits for that any more.
if DEADLINE > 0 and now > DEADLINE then return '' end

local state, others = {}, {}
local own = {had = 0, window = 0}  -- what its polls have had of which window
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

-- A clock that was set back, or that of a replica which took over: what was dated by the one before is as old as it was.
local behind = (state.at or now) - now
if behind > 0 then
  for _, name in ipairs({'ends', 'heard', 'sent', 'pause', 'probed', 'probe_until', 'settled', 'expires', 'since'}) do
    if state[name] then state[name] = state[name] - behind end
  end
  for _, other in pairs(others) do other.seen, other.lapses = other.seen - behind, other.lapses - behind end
end
state.at = now

if #flat == 0 or ask.is_back then
  if now >= (state.settled or 0) then state.since = now end
  state.settled = now + SETTLING
end
local is_settling = now < (state.settled or 0)

-- What is known of the window.

local function spend(number)
  if state.remaining then state.remaining = math.max(0, state.remaining - number) end
end

spend(ask.lost)
state.people = (state.people or 0) + ask.people
if figures and ask.is_fresh then state.sent = math.max(state.sent or 0, now - ask.sent_ago) end
if figures and (ask.is_fresh or not state.limit) then
  local is_newer = not state.reset or figures.reset > state.reset + SAME_RESET
  local is_later = ask.is_fresh and now - ask.sent_ago - 0.005 > (state.heard or 0)
  if is_newer or is_later then
    if is_newer then
      state.usual, state.people = state.reset and state.people / math.max(1, state.rest), 0
    end
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
  -- A figure has what had arrived before its own request was sent: it would be counted twice.
  local arrived = math.min(ARRIVED, math.max(LEAST_TRIP, TRIPS * other.trip))
  if sent >= other.seen + arrived then other.flying = 0 end
  if sent >= other.lapses + arrived then other.slots = 0 end
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

if state.limit then state.rest = math.max(state.rest or 0, ask.rest) end

-- Who else is there.

local held, live, sharers, askers = ask.flying + ask.unspent, 1, 0, ask.direct > 0 and 1 or 0
own.appetite, own.is_ahead = ask.appetite, ask.is_ahead
local eaters = {}  -- the others that have polls
local unheard = 0  -- processes that have not told since it began to settle
local twice = 0  -- slots that are held, as far as was told, and that the newest figure counts already
if own.appetite > 0 then sharers = 1 end
for _, other in pairs(others) do
  held = held + other.flying + other.slots
  if other.every > 0 then twice = twice + math.min(other.slots, math.max(0, sent - other.seen) / other.every) end
  if now - other.seen < LIVE then
    live = live + 1
    if is_settling and other.appetite > 0 and other.seen < (state.since or 0) then unheard = unheard + 1 end
  end
  if now - other.seen < 2 * HORIZON + 3 then
    if other.appetite > 0 then sharers, eaters[#eaters + 1] = sharers + 1, other end
    if other.direct > 0 then askers = askers + 1 end
  end
end
if is_settling then
  unheard = unheard + math.max(0, ask.processes - live)
  live = math.max(live, ask.processes)
  sharers = math.max(sharers, ask.appetite > 0 and ask.processes or 0)
  askers = math.max(askers, live)
end

-- What may be sent.

local direct, paced, interval, again, is_probe, own_left = 0, 0, 0, 0, false, 0
local turn = nil  -- where a turn is had: the window of the one before
local rate, even, available, left = math.huge, math.huge, math.huge, math.huge
local paused = math.max(0, (state.pause or 0) - now)

local period, spare, shortest, time_left = 0, 0, 0, math.huge

if state.limit then
  period, spare = state.rest > 0 and state.rest or DOCUMENTED_PERIOD, math.floor(state.limit / HEADROOM)
  available, left = state.remaining - held, state.ends - now
  local most = math.max(1, state.limit - spare)
  even, shortest = most / period, math.max(0, state.rest - 2 * ROUNDING) / most
  time_left = left - ((shortest > 0 and period < 10) and ROUNDING or 0)
  rate = 1 / math.max(shortest > 0 and shortest or (left <= 0 and period / state.limit or 0), time_left / math.max(1, available - spare))
end

-- What people will have sent in so many seconds: as in the window before, and as they do in this one.
local function people_in(seconds)
  local rate = ((state.usual or 0) * period + state.people) / ((state.usual and period or 0) + math.max(1, period - left))
  return math.max(spare, math.min(rate * seconds, state.limit / 2))
end

-- Each process with polls has an even part of a window, people apart. What it has not had of that it may claim, as far
-- as its appetite and its pace go in the time left; what nobody claims is divided among those that are hungry.
local function own_part(window)
  local part = (state.limit - people_in(period)) / math.max(1, sharers)
  local claimed, hungry = 0, 0

  local function claim_of(process)
    local claim = math.max(0, part - (process.window == window and process.had or 0))
    if not process.is_ahead then claim = math.min(claim, part * left / period) end
    local most = process.appetite * left / HORIZON
    claimed, hungry = claimed + math.min(claim, most), hungry + (claim <= most and 1 or 0)
    return math.min(claim, most), claim <= most
  end

  for _, other in ipairs(eaters) do claim_of(other) end
  local mine, is_hungry = claim_of(own)
  claimed = claimed + (sharers - 1 - #eaters) * part * math.min(1, left / period)  -- of those not heard of yet
  local total = available + twice - people_in(left)
  if claimed > total then return mine * math.max(0, total) / claimed end
  return is_hungry and mine + (total - claimed) / hungry or mine
end

local function guard_of(window)
  return math.min(GUARD, (window.rest or 0) / GUARD_SHARE)
end

local function open_with_probe(reopens)
  if now < reopens then
    again = reopens - now
    if held > ask.flying then again = math.min(again, SOON) end  -- an answer to one of the others will open it
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
  local rest = available - direct - math.ceil(unheard * even * HORIZON / live)  -- polls leave what those may hold
  local kept = math.min(math.floor(state.limit / KEPT), period > 2 * DOCUMENTED_PERIOD and MOST_KEPT or math.huge)
  local window = math.floor(state.reset)
  if own.window ~= window then own.had, own.window = 0, window end
  own.had = math.max(0, own.had - ask.foregone)
  if ask.foregone > 0 and own.turn == window then own.turn = nil end  -- it was not had after all
  -- The last of a window are for people, and half of them lead into the next one, so that no probe has to.
  local room = rest - (left > 0 and spare or math.floor(spare / 2))
  local part = left > 0 and own_part(window) or room / math.max(1, sharers)
  local whole = (state.limit - people_in(period)) / math.max(1, sharers)  -- its part of a whole window
  if ask.polls > 0 and rest >= 1 then
    local ahead = ask.is_ahead and left > 0 and not is_settling
      and math.floor(math.min(ask.polls, part - kept / math.max(1, sharers), rest - kept)) or 0
    interval = time_left > 0 and math.max(shortest, time_left / math.max(0.1, part)) or math.max(1, sharers) / rate
    local due = interval - ask.idle_for
    if ahead >= 1 then
      direct, own.had = direct + ahead, own.had + ahead
    elseif room < 1 and left <= 0 then
      open_with_probe(state.ends + guard_of(state))
    elseif left > 0 and whole < 1 and part < 1 then
      -- Fewer requests than processes: they take turns, at the pace of all together.
      local windows = math.abs(window - (own.turn or 0)) / period  -- since it had one
      local has_turn = windows > 0.5 and (windows > math.floor(1 / whole) - 0.5 or left < math.max(HORIZON, period / 10))
      local due_in = left - room / even
      if room < 1 or not has_turn then
        again = left
      elseif due_in > 0 then
        again = math.max(due_in, sharers / even / LOOKS)
      else
        turn = {before = own.turn}
        paced, interval, own.had, own.turn = 1, shortest, own.had + 1, window
      end
    elseif left > 0 and part < (left < HORIZON and 0.25 or 0.5) then  -- nobody else wants what is left at the end
      again = math.max(0.02, left)
    elseif left > 0 and (room < 1 or due > left) then
      -- Somebody may tell that it has sent what it holds, or leave a rest.
      again = math.max(0.02, math.min(left, math.max(0.1, left / 2)))
    elseif due > HORIZON then
      again = math.min(due, math.max(left, 0.05))
    else
      local most = left > 0 and 1 + math.floor((left - math.max(0, due)) / interval) or ask.polls
      -- Of a slow pace, a few slots at a time: one for each exchange would be mostly exchanges.
      local few = math.max(HORIZON / interval + 0.5, math.min(FEW, FEW * HORIZON / interval))
      paced = math.floor(math.min(room, most, math.max(1, math.min(ask.polls, few, part))))
      own.had = own.had + paced
    end
  elseif ask.polls > 0 and direct == 0 and left <= 0 then
    open_with_probe(state.ends + guard_of(state))  -- those not heard of yet are left the rest of a window that is over
  end
  own_left = math.max(0, part - direct - paced)
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
  if turn and paced == 0 then own.turn = turn.before end
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
own.direct, own.seen, own.trip, own.every = ask.direct, now, ask.trip, paced > 0 and interval or 0
local fields = {'p:' .. ID, cjson.encode(own)}
if behind > 0 then
  for id, other in pairs(others) do
    fields[#fields + 1], fields[#fields + 2] = 'p:' .. id, cjson.encode(other)
  end
end
local is_expiring = (state.expires or 0) < now + KEPT_FOR / 2
if is_expiring then state.expires = now + KEPT_FOR end
for _, name in ipairs({'limit', 'remaining', 'reset', 'ends', 'rest', 'heard', 'sent', 'pause', 'probe', 'probed', 'probe_until',
                       'round', 'quiet', 'settled', 'expires', 'people', 'usual', 'since', 'at'}) do
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
  direct = direct, paced = paced, interval = interval, is_probe = is_probe, again_in = again,
  processes = live, sharers = math.max(1, sharers), pause = paused, limit = state.limit, reset = state.reset,
  available = finite(available - direct - paced), ends_in = finite(left), rate = finite(rate), even = finite(even),
  period = period, part = own_left,
})
