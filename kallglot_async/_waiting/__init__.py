"""Whose turn it is in a call for many ids, and when the call is over.

`waits`: which ids a call is for, and how it begins. `call`: what it waits for, what it gives, and when it is over.
`poller`: when its polls are sent, and what follows from their answers. `following`: where calls meet that want the same
id, and which of them polls it. `batch`: what the two calls do alike that do not only wait: `retrieve_many`, and
`analyze_many`, which waits for what it has requested. `endings`: what is told of an id that has no analysis.
"""
