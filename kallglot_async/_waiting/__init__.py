"""Whose turn it is in a call for many ids, and when the call is over.

`creator`: how an analysis is requested. `waits`: which ids a call is for, how it begins, and where calls meet that wait
for the same id. `call`: what it waits for, what it gives, and when it is over. `poller`: when its polls are sent, and
what follows from their answers. `following`: which of several calls polls an id that all of them want. `batch`: what
the two calls do alike that do not only wait: `retrieve_many`, and `analyze_many`, which waits for what it has
requested. `endings`: what is told of an id that has no analysis.
"""
