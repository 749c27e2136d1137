"""Whose turn it is in a call for many ids, and when the call is over."""
