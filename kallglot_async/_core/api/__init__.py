"""What goes over the wire: headers, operations to requests, answers to values or errors.

`operation`: what a request is made of. `analyses`, `sessions`, `recordings`: the documented requests, and how their
bodies are read; `free_request`: any other. `answers`: the headers of a request, and what an answer says: the error
table. `lenient_json`: how every body is read. `meaning`: what a failure means, to every kind of call. Of a download,
`audio_link`: where the audio is; `resuming`: how far it is; `endurance`: how long to go on.
"""
