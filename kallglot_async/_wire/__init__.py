"""What happens on the way of a request: slots, connections, deadlines, retries. No other room of the client sends any.

`pipeline`: the way itself, and the loop of attempts; `attempts`: what those have shown. `limiter`: who waits for a
slot. `admission`: who waits to ask for what others have to follow. `pool`: connections, and which of them are used
again; `session`: how those of an event loop are opened and closed; `stream`: an answer that arrives piece by piece;
`failures`: what goes wrong there, as errors of ours. `keys`: keys that are asked for. `download`: the way of audio;
`sink`: where it goes; `part_file`: what is there before it is whole.
"""
