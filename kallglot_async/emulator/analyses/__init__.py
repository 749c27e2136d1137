"""Analyses: how long they take, what they find, how a request for one is read, and how they are shown."""
